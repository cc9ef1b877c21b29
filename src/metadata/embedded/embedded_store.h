/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The store of a cluster of one: LMDB, one file `ottla.mdb` in metadata.log.dir. All requests that
 * wait while a commit runs go into one next transaction (group commit), on one ordered lane of the
 * workers. The session ends with the process: opening removes all ephemeral nodes.
 *
 * Each log directory gets a small file `ottla.metadata` that names the store, so that a lost
 * `ottla.mdb` is told from a directory that Kafka wrote (docs/decisions/metadata-store-loss.md).
 */

#include "io/loop.h"
#include "io/vfs.h"
#include "io/worker.h"
#include "metadata/store.h"

struct embedded_store_options {
    struct loop *loop; /* requests come and complete here */
    struct worker_pool *workers;
    struct vfs *vfs; /* for the markers and the lock; LMDB does its own I/O */
    struct clock *clock;
    struct rng *rng;                    /* for the id of a new store */
    const char *directory;              /* of ottla.mdb; made if it is absent */
    const char *const *log_directories; /* that get the marker; those that fail are skipped */
    size_t log_directory_count;
};

/*
 * Blocks: before the loop runs. ret_text (room for STORE_TEXT_SIZE) says what is wrong and what
 * helps, for one line to the operator; set with each error.
 *
 * Errors: E_LOCAL_NOT_FOUND  the file is lost: a log directory names a store that is not there.
 *                            The caller serves reads only, over a simulated store.
 *         E_LOCAL_BAD_CONFIG a log directory names another store.
 *         E_LOCAL_BUSY       another process has it.
 *         E_LOCAL_CORRUPT    not a store, or damaged.
 *         E_LOCAL_PERMISSION, E_LOCAL_NO_SPACE, E_LOCAL_NO_MEMORY, E_LOCAL_IO
 */
enum {
    STORE_TEXT_SIZE = 512,
};
NODISCARD enum error embedded_store_open(const struct embedded_store_options *options,
                                         struct store **ret_store, char *ret_text);
