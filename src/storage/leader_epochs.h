/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * At which offset each leader epoch began (KIP-101), and the file leader-epoch-checkpoint: text
 * "0\n<count>\n<epoch> <start offset>\n...".
 *
 * Invariant: epochs and start offsets rise strictly from entry to entry.
 * Thread: one at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/vfs.h"
#include "storage/log.h"

struct leader_epoch {
    int32_t epoch;
    int64_t start_offset;
};

struct leader_epochs {
    struct leader_epoch *entries;
    uint32_t count;
    uint32_t capacity;
    bool is_changed; /* since it was last written */
};

void leader_epochs_done(struct leader_epochs *epochs);
/* -1: none. */
int32_t leader_epochs_latest(const struct leader_epochs *epochs);
/* Room for count more entries, so that as many assigns cannot fail. */
NODISCARD enum error leader_epochs_reserve(struct leader_epochs *epochs, uint32_t count);
/* Epoch begins at start_offset. Entries that contradict it (same or later epoch or offset) are
 * dropped; nothing happens when it is known to begin there or earlier. Needs
 * leader_epochs_reserve. */
void leader_epochs_assign(struct leader_epochs *epochs, int32_t epoch, int64_t start_offset);
/* KIP-101 and KIP-279, as log_epoch_end. */
struct epoch_end leader_epochs_end(const struct leader_epochs *epochs, int32_t epoch,
                                   int64_t log_end);
/* Of the record at this offset; -1: unknown. */
int32_t leader_epochs_at(const struct leader_epochs *epochs, int64_t offset);
/* Drops epochs that begin at or above offset. */
void leader_epochs_truncate(struct leader_epochs *epochs, int64_t offset);
/* The log now begins at offset: earlier epochs go, the one that holds it begins there. */
void leader_epochs_raise_start(struct leader_epochs *epochs, int64_t offset);
void leader_epochs_clear(struct leader_epochs *epochs);

/* Errors: E_LOCAL_NOT_FOUND no file; E_LOCAL_CORRUPT it breaks the format (then epochs is empty);
 * of the vfs. */
NODISCARD enum error leader_epochs_read(struct leader_epochs *epochs, struct vfs *vfs,
                                        const char *path);
/* Does nothing when nothing has changed. */
NODISCARD enum error leader_epochs_write(struct leader_epochs *epochs, struct vfs *vfs,
                                         const char *path);
/* The file's text, for a write on another thread: in the arena. */
NODISCARD enum error leader_epochs_format(const struct leader_epochs *epochs, struct arena *arena,
                                          struct slice *ret_text);
