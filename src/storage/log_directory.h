/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What lies in a log directory, by name:
 *
 *   <topic>-<partition>                        a partition
 *   <topic>-<partition>.<32 hex>-delete        deleted, to be unlinked; long topics are cut
 *   <topic>-<partition>.<32 hex>-future        Kafka moves a replica here: left alone
 *   <topic>-<partition>.<32 hex>-stray         Kafka put it aside: left alone
 *   __cluster_metadata-0                       Kafka's KRaft log: left alone
 *   lost+found, anything else                  left alone
 *
 * Thread: start-up or a worker; blocks.
 */

#include "storage/log.h"

enum {
    LOG_DIRECTORY_PATH_ROOM = 4096, /* with NUL: PATH_MAX of Linux */
    LOG_DIRECTORY_NAME_MAX = 255,   /* NAME_MAX of Linux */
    TOPIC_NAME_SIZE_MAX = 249,
};

enum log_directory_name {
    NAME_PARTITION,
    NAME_DELETED,
    NAME_OTHER,
};

/* "<directory>/<name>" into path (LOG_DIRECTORY_PATH_ROOM bytes); false: too long. */
NODISCARD bool log_directory_path(char *path, const char *directory, const char *name);
NODISCARD bool log_directory_partition_path(char *path, const char *directory,
                                            struct topic_partition topic_partition);
/* ret_topic_partition is set for NAME_PARTITION; its topic points into name. */
enum log_directory_name log_directory_parse_name(const char *name,
                                                 struct topic_partition *ret_topic_partition);
/* "<topic>-<partition>.<32 hex>-delete" into name (LOG_DIRECTORY_NAME_MAX + 1 bytes). */
void log_directory_deleted_name(char *name, struct topic_partition topic_partition,
                                const struct uuid *id);

/* Makes the directory and those above it where they are absent. */
NODISCARD enum error log_directory_make(struct vfs *vfs, const char *path);
/* Takes ".lock"; held until the file is closed. Errors: E_LOCAL_BUSY another process has it. */
NODISCARD enum error log_directory_lock(struct vfs *vfs, const char *path, struct file **ret_lock);
/* The topic id in partition.metadata; zero when there is none or it cannot be read. */
struct uuid log_directory_read_topic_id(struct vfs *vfs, const char *partition_path);
/* A directory of plain files, and itself. What is gone already is fine. */
NODISCARD enum error log_directory_remove(struct vfs *vfs, const char *path);
/* Can it be written? Makes, syncs and removes a small file; asks for free space. */
NODISCARD enum error log_directory_probe(struct vfs *vfs, const char *path);
