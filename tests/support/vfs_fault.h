/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A vfs around another one that makes the n-th call of chosen kinds fail, once or from then on, so
 * that a test can try n = 1, 2, ... until none is hit.
 * Thread: one, or any while nothing is set.
 */

#include "io/vfs.h"

enum fault_kind {
    FAULT_OPEN = 1 << 0,
    FAULT_READ = 1 << 1,
    FAULT_WRITE = 1 << 2,
    FAULT_SYNC = 1 << 3, /* of files, directories and all */
    FAULT_TRUNCATE = 1 << 4,
    FAULT_RENAME = 1 << 5,
    FAULT_UNLINK = 1 << 6, /* of files and directories */
    FAULT_MAKE_DIRECTORY = 1 << 7,
    FAULT_LIST = 1 << 8,
    FAULT_ALL = (1 << 9) - 1,
};

struct fault_vfs {
    struct vfs vfs; /* first */
    struct vfs *inner;
    unsigned kinds;
    enum error error;
    uint64_t countdown; /* 0: none will fail */
    bool is_short;      /* a failing write leaves half of its bytes */
    bool is_lasting;    /* all later calls of these kinds fail too */
    bool is_failing;    /* lasting, and begun */
    uint32_t fired_count;
    uint32_t open_count; /* files held open */
};

void fault_vfs_init(struct fault_vfs *fault, struct vfs *inner);
/* The n-th call (n >= 1) of these kinds from now on fails with error. */
void fault_vfs_set(struct fault_vfs *fault, unsigned kinds, uint64_t n, enum error error);
/* No more failures. True: one was injected since fault_vfs_set. */
bool fault_vfs_stop(struct fault_vfs *fault);
