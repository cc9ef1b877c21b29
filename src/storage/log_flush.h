/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Flushing inside of storage/; the public part is log_flush in log.h. */

#include "storage/log_private.h"

/* In line, on the calling thread: data, indexes, snapshots, directory, leader epochs; then the
 * recovery point is the end. A failure fails the log (I6). */
NODISCARD enum error log_flush_now(struct log *log);
/* Starts write-back of what was written since the last time, every 8 MiB, so that the kernel does
 * not do it in bursts that stall writers. */
void log_pace_write_back(struct log *log, struct segment *seg, struct file *file);
/* Indexes of the active segment to disk, reserved blocks given back; it may be written again. */
NODISCARD enum error log_finish_active(struct log *log);
