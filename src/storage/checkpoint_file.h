/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The offset checkpoints of a log directory, in Apache Kafka's text format:
 *
 *     0\n                       version
 *     2\n                       count of the lines that follow
 *     topic partition offset\n  for each
 *
 * Never torn by us (tmp, fsync, rename, fsync of the directory); whoever reads a missing, empty or
 * damaged one gets nothing from it and recovers more (reliability rule 45).
 * Thread: any. Source: kafka-facts, directory level files of 3.9.1.
 */

#include "base/arena.h"
#include "base/error.h"
#include "io/vfs.h"

#define CHECKPOINT_RECOVERY_POINT "recovery-point-offset-checkpoint"
#define CHECKPOINT_HIGH_WATERMARK "replication-offset-checkpoint"
#define CHECKPOINT_LOG_START      "log-start-offset-checkpoint"
#define CHECKPOINT_CLEANER        "cleaner-offset-checkpoint"

struct checkpoint_entry {
    struct slice topic; /* points into the text */
    int32_t partition;
    int64_t offset;
};

/*
 * Errors: E_LOCAL_CORRUPT another version, a torn line, or not as many lines as announced: nothing
 * of it may be used. E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error checkpoint_parse(struct slice text, struct arena *arena,
                                      struct checkpoint_entry **ret_entries, size_t *ret_count);
/* Errors: those of checkpoint_parse and of the vfs. */
NODISCARD enum error checkpoint_read(struct vfs *vfs, const char *path, struct arena *arena,
                                     struct checkpoint_entry **ret_entries, size_t *ret_count);

/* The text of a checkpoint in the making. */
struct checkpoint_text {
    char *data; /* heap; the lines begin behind room for the two lines of the head */
    size_t size;
    size_t capacity;
    uint32_t count;
    bool is_failed; /* no memory for a line: it must not be written */
};

/* All zero; nothing is allocated. */
void checkpoint_text_init(struct checkpoint_text *text);
void checkpoint_text_done(struct checkpoint_text *text);
void checkpoint_text_add(struct checkpoint_text *text, const struct checkpoint_entry *entry);
/* Errors: E_LOCAL_NO_MEMORY a line was left out; of vfs_replace_file. */
NODISCARD enum error checkpoint_text_write(struct checkpoint_text *text, struct vfs *vfs,
                                           const char *path);
