/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A file system in memory that remembers what was not synced, stops at any chosen call, and makes
 * up what a power cut may legally have left:
 *
 *   file        every 512-byte sector of every write since the last sync is there or not, each by
 *               itself (so writes are torn and reordered); truncations likewise
 *   directory   of the creations, renames and unlinks since the last sync of the directory, the
 *               first so many happened: journaling file systems keep the order within a directory
 *
 * Files and directories are independent of each other. Not modelled: damage to sectors that were
 * synced, hard links.
 * Thread: one.
 */

#include "base/rng.h"
#include "io/vfs.h"

struct crash_vfs;

struct crash_vfs *crash_vfs_new(void);
void crash_vfs_free(struct crash_vfs *crash);
struct vfs *crash_vfs_vfs(struct crash_vfs *crash);

/* The n-th call from now on that changes something (n >= 1) is the last: it may have happened in
 * part, and from then on every call fails. 0: never. */
void crash_vfs_stop_at(struct crash_vfs *crash, uint64_t n);
bool crash_vfs_is_stopped(const struct crash_vfs *crash);
/* Calls that changed something, so far. */
uint64_t crash_vfs_change_count(const struct crash_vfs *crash);
/* Files held open. */
uint32_t crash_vfs_open_count(const struct crash_vfs *crash);

/* kill -9: everything is there, and calls work again. No file may be open. */
void crash_vfs_restart_process(struct crash_vfs *crash);
/* Power cut: unsynced changes survive as rng says; another boot id. No file may be open. */
void crash_vfs_restart_machine(struct crash_vfs *crash, struct rng *rng);
