/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * meta.properties: whose log directory this is. Apache Kafka's file in both its forms:
 *
 *   version=0  broker.id, cluster.id                 ZooKeeper mode
 *   version=1  node.id, cluster.id, directory.id     KRaft, Kafka 4
 *
 * A file that was found is never written again, so version and lines that we do not know stay.
 * Thread: start-up; blocks.
 */

#include "base/arena.h"
#include "base/error.h"
#include "base/uuid.h"
#include "io/vfs.h"

struct meta_properties {
    int32_t version;          /* 0 or 1 */
    int32_t broker_id;        /* -1: not in the file */
    struct slice cluster_id;  /* in the arena; empty: not in the file */
    struct uuid directory_id; /* zero: not in the file */
};

/*
 * ret_text   Set with E_LOCAL_MALFORMED: what is wrong, static.
 * Errors: E_LOCAL_NOT_FOUND there is none. E_LOCAL_MALFORMED. E_LOCAL_UNSUPPORTED another version.
 * Of the vfs.
 */
NODISCARD enum error meta_properties_read(struct vfs *vfs, const char *directory,
                                          struct arena *arena,
                                          struct meta_properties *ret_properties,
                                          const char **ret_text);
NODISCARD enum error meta_properties_write(struct vfs *vfs, const char *directory,
                                           const struct meta_properties *properties);
