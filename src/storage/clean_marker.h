/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How the last run ended: two small files in each log directory.
 *
 *   .kafka_cleanshutdown   Kafka's: there only between a clean stop and the next start
 *   .ottla_boot            ours: the machine's boot id under which everything in the directory was
 *                          last known good; a difference means that the page cache was lost
 *                          (reliability rule 48). Kafka looks at directories only and passes over
 *                          it (docs/decisions/log-directory-files.md).
 *
 * Thread: start-up or a worker; blocks.
 */

#include "base/error.h"
#include "io/vfs.h"

enum { BOOT_ID_SIZE = 36 };

struct boot_id {
    char text[BOOT_ID_SIZE + 1]; /* empty: unknown */
};

/*
 * Rule 46: looks for the marker, deletes it and syncs the directory, so that no later crash finds
 * it again. Only after this may anything be appended. Its existence counts, as for Kafka, whose
 * older releases wrote an empty file.
 */
NODISCARD enum error clean_marker_take(struct vfs *vfs, const char *directory, bool *ret_was_clean);
/* Last step of a clean stop. broker_epoch: -1 without ZooKeeper. */
NODISCARD enum error clean_marker_write(struct vfs *vfs, const char *directory,
                                        int64_t broker_epoch);

/* Of the running machine. */
struct boot_id boot_id_current(struct vfs *vfs);
/* Of the directory; unknown when there is none or it is damaged. */
struct boot_id boot_id_read(struct vfs *vfs, const char *directory);
NODISCARD enum error boot_id_write(struct vfs *vfs, const char *directory, struct boot_id id);
/* Two unknown ones are not the same boot. */
bool boot_id_is_same(struct boot_id a, struct boot_id b);
