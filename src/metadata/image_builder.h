/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Makes the next image from the current one: gather all changes of a turn, then publish once.
 *
 * Errors: E_LOCAL_NO_MEMORY from each change; then free the builder: a replaced topic may be gone
 * from it already.
 * Thread: the controller's loop. One builder per source at a time.
 */

#include "metadata/image.h"

struct image_builder;

/* What belongs to the cluster and not to a topic; all is copied (settings: a reference). */
struct image_cluster_spec {
    struct slice cluster_id;
    int32_t controller_id;
    int32_t controller_epoch;
    bool is_read_only;
    const struct image_broker *brokers;
    uint32_t broker_count;
    const struct image_feature *features;
    uint32_t feature_count;
    int64_t feature_epoch;
    struct settings *settings;
};

/* Begins with all of the current image. */
NODISCARD enum error image_builder_new(struct image_source *source,
                                       struct image_builder **ret_builder);
/* Drops what was gathered. NULL is fine. */
void image_builder_free(struct image_builder *builder);

/*
 * Inserts a topic, or replaces the one of this name, whatever its id. A deep copy is made; the
 * member `shared` of spec is ignored; the configs need not be sorted.
 */
NODISCARD enum error image_builder_put_topic(struct image_builder *builder,
                                             const struct image_topic *spec);
/* Nothing when there is no such topic. */
NODISCARD enum error image_builder_remove_topic(struct image_builder *builder, struct slice name);
NODISCARD enum error image_builder_set_cluster(struct image_builder *builder,
                                               const struct image_cluster_spec *spec);

/* The topics as changed so far. NULL: unknown. */
const struct image_topic *image_builder_find_topic(const struct image_builder *builder,
                                                   struct slice name);

/* Swaps the image of the source, calls the listeners, frees the builder. Cannot fail. */
void image_builder_publish(struct image_builder *builder);
