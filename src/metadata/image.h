/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The cluster image: everything the cluster agrees on, immutable and persistent. A request reads
 * one image from start to end. A change copies one topic and the paths to it in two balanced
 * trees, and swaps a pointer (image_builder.h).
 *
 *   image ─┬─ brokers[] · settings · features[]
 *          ├─ topics by name ─┐
 *          └─ topics by id ───┴─ image_topic ── partitions[] · configs[]
 *
 * Thread: any thread reads an image it holds a reference to. Only the controller's loop makes new
 * ones.
 */

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/shared.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "config/settings.h"

struct topic_settings; /* config/topic_config.h */

struct image_endpoint {
    struct slice listener; /* "PLAINTEXT" */
    struct slice host;     /* null: the address at which the client's connection arrived */
    uint16_t port;
};

struct image_broker {
    int32_t id;
    int64_t epoch;
    struct slice rack; /* null: none */
    uint32_t endpoint_count;
    const struct image_endpoint *endpoints;
};

struct image_partition {
    int32_t leader;          /* broker id, -1: none */
    int32_t leader_epoch;    /* as stored; the live one is the partition's (design §2) */
    int32_t partition_epoch; /* version of the state node */
    uint32_t replica_count;
    uint32_t isr_count;
    const int32_t *replicas;
    const int32_t *isr;
    uint32_t directory; /* of this broker's replica; UINT32_MAX: not placed yet */
};

struct image_topic {
    struct shared shared; /* private: images share their topics */
    struct slice name;
    struct uuid id;
    bool is_internal;
    bool is_held; /* found on disk, configs unknown (design §1.2) */
    uint32_t partition_count;
    uint32_t config_count;
    const struct image_partition *partitions; /* by index, without gaps */
    const struct config_entry *configs;       /* overrides only, by rising name */
};

/* A finalized feature ("group.version"). */
struct image_feature {
    struct slice name;
    int16_t level;
};

struct image_tree; /* private */

struct image {
    struct shared shared;
    int64_t version; /* rises with each change */
    struct slice cluster_id;
    int32_t controller_id; /* -1: none */
    int32_t controller_epoch;
    /* The metadata store is lost or refuses writes: the node serves reads only (design §2). */
    bool is_read_only;
    uint32_t broker_count;
    const struct image_broker *brokers; /* registered ones, by rising id */
    uint32_t feature_count;
    const struct image_feature *features; /* by rising name */
    int64_t feature_epoch;                /* rises with each change of features */
    /* Of this broker: static, dynamic default and dynamic layers. */
    struct settings *settings;
    size_t topic_count;
    size_t partition_count;
    struct image_tree *topics_by_name; /* private, as the rest */
    struct image_tree *topics_by_id;
    struct image_cluster *cluster; /* holds the memory of cluster_id, brokers, features */
};

static inline struct image *image_ref(struct image *image)
{
    if (image != NULL) {
        shared_ref(&image->shared);
    }
    return image;
}

static inline struct image *image_unref(struct image *image)
{
    if (image != NULL) {
        shared_unref(&image->shared);
    }
    return NULL;
}

/* NULL: unknown. The topic lives as long as the image. */
const struct image_topic *image_find_topic(const struct image *image, struct slice name);
const struct image_topic *image_find_topic_by_id(const struct image *image, const struct uuid *id);
/* All topics by rising name; NULL first, NULL at the end. O(log n) each. */
const struct image_topic *image_next_topic(const struct image *image,
                                           const struct image_topic *after);
const struct image_broker *image_find_broker(const struct image *image, int32_t id);

/*
 * Effective settings of a topic: its overrides above image->settings. The view borrows from the
 * image and from the arena.
 * Errors: E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error image_topic_settings(const struct image *image,
                                          const struct image_topic *topic, struct arena *arena,
                                          struct topic_settings *ret_settings);

/* Where the current image is published. The owner swaps; readers take. */
struct image_source;

/* Starts with an empty image over these settings (takes a reference). NULL without memory. */
NODISCARD struct image_source *image_source_new(struct settings *settings);
/* NULL is fine. No listener is called. */
void image_source_free(struct image_source *source);
/* A reference for the caller. Any thread (a short lock); on a loop, once per request. */
struct image *image_source_take(struct image_source *source);

struct image_delta_topic {
    const struct image_topic *before; /* NULL: new */
    const struct image_topic *after;  /* NULL: deleted */
};

/*
 * What changed between two images; calls come on the controller's loop, in order, after the swap.
 * A topic that was deleted and made again under its name comes as two entries: deletion first.
 */
struct image_listener {
    struct image_listener *next; /* the source's */
    void *context;
    void (*on_change)(void *context, const struct image *before, const struct image *after,
                      const struct image_delta_topic *topics, size_t topic_count,
                      bool settings_changed);
};
/* Before the controller starts, in the order of the calls. The listener outlives the source. */
void image_source_subscribe(struct image_source *source, struct image_listener *listener);
