/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The cluster image: everything the cluster agrees on, immutable and persistent. A request reads
 * one image from start to end. A change copies one topic node and the path to it in the trie and
 * swaps a pointer.
 *
 *   image ── brokers[] · settings · controller ── topics trie (by name) / trie (by id) ──
 * image_topic ── partitions[]
 *
 * Thread: any thread reads an image it holds a reference to. Only the controller's loop makes new
 * ones.
 */

#include "base/shared.h"
#include "base/slice.h"
#include "base/uuid.h"

struct settings; /* config/ */

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

struct image_config {
    struct slice name;
    struct slice value;
};

struct image_topic {
    struct slice name;
    struct uuid id;
    bool is_internal;
    bool is_held; /* found on disk, configs unknown (design §1.2) */
    uint32_t partition_count;
    uint32_t config_count;
    const struct image_partition *partitions;
    const struct image_config *configs; /* overrides only */
    const struct settings *settings;    /* effective: overrides over the broker's */
};

struct image {
    struct shared shared;
    struct slice cluster_id;
    int32_t controller_id;
    uint32_t broker_count;
    const struct image_broker *brokers;
    const struct settings
        *settings; /* of this broker: static, dynamic default and dynamic layers */
    size_t topic_count;
    size_t partition_count;
    int64_t version;             /* rises with each change */
    struct image_topics *topics; /* private */
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

/* Where the current image is published. The owner swaps; readers take. */
struct image_source;
/* A reference for the caller. Any thread (a short lock); on a loop, once per request. */
struct image *image_source_take(struct image_source *source);

struct image_delta_topic {
    const struct image_topic *before; /* NULL: new */
    const struct image_topic *after;  /* NULL: deleted */
};

/* What changed between two images; calls come on the controller's loop, in order, after the swap.
 */
struct image_listener {
    struct image_listener *next;
    void *context;
    void (*on_change)(void *context, const struct image *before, const struct image *after,
                      const struct image_delta_topic *topics, size_t topic_count,
                      bool settings_changed);
};
void image_source_subscribe(struct image_source *source, struct image_listener *listener);
