/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The controller: loads what the store holds, registers this broker, publishes the image, and
 * carries out what brokers ask through the channel. A single node is a cluster of one, with the
 * same epochs and the same fencing: every write is a multi that checks /controller_epoch.
 *
 *   new → start: containers, reads → election, registration, adoption (one multi) → image → serving
 *
 * One write is in work at a time; requests wait their turn in order.
 *
 * Thread: its loop; requests come from any (controller_channel.h).
 */

#include "base/diag.h"
#include "io/clock.h"
#include "io/loop.h"
#include "metadata/image.h"
#include "metadata/store.h"
#include "replication/controller_channel.h"

/* A partition directory found at start (storage/log_manager.h). */
struct found_partition {
    struct slice topic;
    int32_t partition;
    struct uuid topic_id; /* zero: no partition.metadata */
    uint32_t directory;   /* index of the log directory */
    int32_t latest_epoch; /* highest known leader epoch, -1: none or not read yet */
    bool is_deleted;      /* answer: of a topic whose deletion was not finished: delete it */
};

/* A feature that this broker serves ("group.version"). */
struct supported_feature {
    struct slice name;
    int16_t level_min;
    int16_t level_max;
    int16_t level_first; /* finalized when the store is made; 0: not */
};

struct controller_options {
    struct loop *loop;
    struct store *store;
    struct clock *clock;
    struct rng *rng;
    struct diag *diag;           /* NULL: silent */
    struct settings *settings;   /* static layer and defaults */
    struct image_source *source; /* published to; owned by the caller */
    int32_t broker_id;
    struct slice cluster_id;                /* of meta.properties */
    struct slice rack;                      /* null: none */
    const struct image_endpoint *endpoints; /* advertised; null host: see image.h */
    uint32_t endpoint_count;
    const struct supported_feature *features;
    uint32_t feature_count;
    struct found_partition *found; /* lives until on_started; sorted by the controller */
    size_t found_count;
    /* The store is lost (embedded_store.h) and `store` a simulated one: everything found is adopted
     * in memory, every request is refused. */
    bool is_read_only;
};

struct controller;

/* All options but found are copied or referenced. Errors: E_LOCAL_NO_MEMORY. */
NODISCARD enum error controller_new(const struct controller_options *options,
                                    struct controller **ret_controller);

/*
 * Once. on_started comes on the loop, before any answer; with E_OK the image is published. text
 * (never NULL with an error) says what is wrong, for one line to the operator.
 *
 * Errors: E_INCONSISTENT_CLUSTER_ID the store belongs to another cluster id.
 *         E_LOCAL_BAD_CONFIG        partitions on disk that do not fit the store, or have gaps.
 *         E_LOCAL_CORRUPT           a node that cannot be read; those of the store.
 */
typedef void (*controller_started_fn)(void *context, enum error error, const char *text);
void controller_start(struct controller *controller, controller_started_fn on_started,
                      void *context);

struct controller_channel *controller_get_channel(struct controller *controller);
/* No write in work, no request waiting. */
bool controller_is_idle(const struct controller *controller);
/* Idle, or never started. The store and the source stay the caller's. NULL is fine. */
void controller_free(struct controller *controller);
