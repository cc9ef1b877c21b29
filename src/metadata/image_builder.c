/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata/image_builder.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "metadata/image_private.h"

enum {
    CLUSTER_SIZE_MAX = 16 * 1024 * 1024, /* some thousand brokers of a few hundred bytes */
};

struct image_builder {
    struct image_source *source;
    const struct image *before;           /* borrowed: the source holds it until publish */
    struct image *image;                  /* ours alone */
    struct image_tree_spares name_spares; /* reserved for one change of each tree */
    struct image_tree_spares id_spares;
    bool is_settings_changed;
    /* A reference to each topic that was put or removed, in order. Names only; may repeat. */
    struct image_topic **changed;
    size_t changed_count;
    size_t changed_capacity;
    struct image_delta_topic *deltas; /* room for 2 × changed_capacity */
};

enum error image_builder_new(struct image_source *source, struct image_builder **ret_builder)
{
    check(!source->is_building);
    struct image_builder *builder = calloc(1, sizeof(*builder));
    struct image *image = image_new();
    if (builder == NULL || image == NULL) {
        free(builder);
        image_unref(image);
        return E_LOCAL_NO_MEMORY;
    }
    const struct image *before = source->image; /* only this thread swaps it */
    /* Behind the reference counts: others count that of `before` meanwhile. */
    static_assert(offsetof(struct image, shared) == 0, "the first member");
    const size_t skipped = sizeof(struct shared);
    memcpy((uint8_t *)image + skipped, (const uint8_t *)before + skipped, sizeof(*image) - skipped);
    image->version++;
    image_tree_ref(image->topics_by_name);
    image_tree_ref(image->topics_by_id);
    settings_ref(image->settings);
    if (image->cluster != NULL) {
        shared_ref(&image->cluster->shared);
    }
    builder->source = source;
    builder->before = before;
    builder->image = image;
    source->is_building = true;
    *ret_builder = builder;
    return E_OK;
}

void image_builder_free(struct image_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    for (size_t i = 0; i < builder->changed_count; i++) {
        shared_unref(&builder->changed[i]->shared);
    }
    image_tree_spares_done(&builder->name_spares);
    image_tree_spares_done(&builder->id_spares);
    image_unref(builder->image);
    builder->source->is_building = false;
    free(builder->changed);
    free(builder->deltas);
    free(builder);
}

const struct image_topic *image_builder_find_topic(const struct image_builder *builder,
                                                   struct slice name)
{
    return image_find_topic(builder->image, name);
}

static enum error builder_reserve_change(struct image_builder *builder)
{
    if (builder->changed_count < builder->changed_capacity) {
        return E_OK;
    }
    const size_t capacity = 2 * builder->changed_capacity + 8;
    void *changed = reallocarray(builder->changed, capacity, sizeof(struct image_topic *));
    if (changed == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    builder->changed = changed;
    void *deltas = reallocarray(builder->deltas, capacity, 2 * sizeof(struct image_delta_topic));
    if (deltas == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    builder->deltas = deltas;
    builder->changed_capacity = capacity;
    return E_OK;
}

/* After it one topic can be put or removed without failing. */
static enum error builder_reserve(struct image_builder *builder)
{
    enum error error = builder_reserve_change(builder);
    if (error == E_OK) {
        error = image_tree_reserve(&builder->name_spares, builder->image->topics_by_name);
    }
    if (error == E_OK) {
        error = image_tree_reserve(&builder->id_spares, builder->image->topics_by_id);
    }
    return error;
}

/* With a reference taken over. */
static void builder_note_change(struct image_builder *builder, struct image_topic *topic)
{
    check_cmp(builder->changed_count, <, builder->changed_capacity);
    builder->changed[builder->changed_count++] = topic;
}

/* A reference of our own to a topic of the image. */
static struct image_topic *topic_hold(const struct image_topic *topic)
{
    struct shared *shared = (struct shared *)(uintptr_t)&topic->shared;
    return container_of(shared_ref(shared), struct image_topic, shared);
}

enum error image_builder_remove_topic(struct image_builder *builder, struct slice name)
{
    struct image *image = builder->image;
    const struct image_topic *found = image_find_topic(image, name);
    if (found == NULL) {
        return E_OK;
    }
    const enum error error = builder_reserve(builder);
    if (error != E_OK) {
        return error;
    }
    struct image_topic *topic = topic_hold(found);
    image->topics_by_name = image_tree_remove(image->topics_by_name, IMAGE_TREE_BY_NAME,
                                              topic->name, &builder->name_spares);
    image->topics_by_id =
        image_tree_remove(image->topics_by_id, IMAGE_TREE_BY_ID,
                          slice_of(topic->id.bytes, sizeof(topic->id.bytes)), &builder->id_spares);
    image->topic_count--;
    image->partition_count -= topic->partition_count;
    builder_note_change(builder, topic);
    return E_OK;
}

/* Inserts a copy whose name is absent or has the same id; takes over the reference. */
static enum error builder_insert(struct image_builder *builder, struct image_topic *topic)
{
    struct image *image = builder->image;
    const enum error error = builder_reserve(builder);
    if (error != E_OK) {
        shared_unref(&topic->shared);
        return error;
    }
    const struct image_topic *replaced = image_find_topic(image, topic->name);
    image->topic_count += replaced == NULL;
    image->partition_count += topic->partition_count;
    image->partition_count -= replaced == NULL ? 0 : replaced->partition_count;
    image->topics_by_name =
        image_tree_put(image->topics_by_name, IMAGE_TREE_BY_NAME, topic, &builder->name_spares);
    image->topics_by_id =
        image_tree_put(image->topics_by_id, IMAGE_TREE_BY_ID, topic, &builder->id_spares);
    builder_note_change(builder, topic);
    return E_OK;
}

enum error image_builder_put_topic(struct image_builder *builder, const struct image_topic *spec)
{
    const struct image_topic *same_id = image_find_topic_by_id(builder->image, &spec->id);
    check(same_id == NULL || slice_equal(same_id->name, spec->name)); /* ids are unique */
    struct image_topic *topic = image_topic_copy(spec);
    if (topic == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const struct image_topic *replaced = image_find_topic(builder->image, topic->name);
    if (replaced != NULL && !uuid_equal(&replaced->id, &topic->id)) {
        const enum error error = image_builder_remove_topic(builder, topic->name);
        if (error != E_OK) {
            shared_unref(&topic->shared);
            return error;
        }
    }
    return builder_insert(builder, topic);
}

/* --- what is not a topic --- */

static void cluster_destroy(struct shared *shared)
{
    struct image_cluster *cluster = container_of(shared, struct image_cluster, shared);
    arena_done(&cluster->arena);
    free(cluster);
}

static bool copy_slice(struct arena *arena, struct slice *slice)
{
    const struct slice copy = arena_copy(arena, *slice);
    const bool is_copied = slice_is_null(*slice) || !slice_is_null(copy);
    *slice = copy;
    return is_copied;
}

static bool copy_broker(struct arena *arena, struct image_broker *broker)
{
    struct image_endpoint *endpoints =
        ARENA_NEW_ARRAY(arena, struct image_endpoint, broker->endpoint_count);
    if (endpoints == NULL || !copy_slice(arena, &broker->rack)) {
        return false;
    }
    for (uint32_t i = 0; i < broker->endpoint_count; i++) {
        endpoints[i] = broker->endpoints[i];
        if (!copy_slice(arena, &endpoints[i].listener) || !copy_slice(arena, &endpoints[i].host)) {
            return false;
        }
    }
    broker->endpoints = endpoints;
    return true;
}

static int compare_brokers(const void *a, const void *b)
{
    const int32_t left = ((const struct image_broker *)a)->id;
    const int32_t right = ((const struct image_broker *)b)->id;
    return left < right ? -1 : left > right;
}

static int compare_features(const void *a, const void *b)
{
    return slice_compare(((const struct image_feature *)a)->name,
                         ((const struct image_feature *)b)->name);
}

/* Copies the spec's memory into the arena and makes the spec point there. */
static bool copy_cluster_spec(struct arena *arena, struct image_cluster_spec *spec)
{
    struct image_broker *brokers = ARENA_NEW_ARRAY(arena, struct image_broker, spec->broker_count);
    struct image_feature *features =
        ARENA_NEW_ARRAY(arena, struct image_feature, spec->feature_count);
    if (brokers == NULL || features == NULL || !copy_slice(arena, &spec->cluster_id)) {
        return false;
    }
    for (uint32_t i = 0; i < spec->broker_count; i++) {
        brokers[i] = spec->brokers[i];
        if (!copy_broker(arena, &brokers[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < spec->feature_count; i++) {
        features[i] = spec->features[i];
        if (!copy_slice(arena, &features[i].name)) {
            return false;
        }
    }
    qsort(brokers, spec->broker_count, sizeof(*brokers), compare_brokers);
    qsort(features, spec->feature_count, sizeof(*features), compare_features);
    spec->brokers = brokers;
    spec->features = features;
    return true;
}

enum error image_builder_set_cluster(struct image_builder *builder,
                                     const struct image_cluster_spec *spec)
{
    struct image_cluster *cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    shared_init(&cluster->shared, cluster_destroy);
    arena_init(&cluster->arena, CLUSTER_SIZE_MAX);
    struct image_cluster_spec copy = *spec;
    if (!copy_cluster_spec(&cluster->arena, &copy)) {
        shared_unref(&cluster->shared);
        return E_LOCAL_NO_MEMORY;
    }

    struct image *image = builder->image;
    builder->is_settings_changed |= spec->settings != image->settings;
    settings_ref(spec->settings);
    settings_unref(image->settings);
    image->settings = spec->settings;
    if (image->cluster != NULL) {
        shared_unref(&image->cluster->shared);
    }
    image->cluster = cluster;
    image->cluster_id = copy.cluster_id;
    image->controller_id = spec->controller_id;
    image->controller_epoch = spec->controller_epoch;
    image->is_read_only = spec->is_read_only;
    image->broker_count = spec->broker_count;
    image->brokers = copy.brokers;
    image->feature_count = spec->feature_count;
    image->features = copy.features;
    image->feature_epoch = spec->feature_epoch;
    return E_OK;
}

/* --- publishing --- */

static int compare_changed(const void *a, const void *b)
{
    return slice_compare((*(struct image_topic *const *)a)->name,
                         (*(struct image_topic *const *)b)->name);
}

/* The differences of the changed names, each once, in order of name. */
static size_t builder_gather_deltas(struct image_builder *builder)
{
    size_t count = 0;
    if (builder->changed_count > 1) {
        qsort(builder->changed, builder->changed_count, sizeof(*builder->changed), compare_changed);
    }
    for (size_t i = 0; i < builder->changed_count; i++) {
        const struct slice name = builder->changed[i]->name;
        if (i > 0 && slice_equal(name, builder->changed[i - 1]->name)) {
            continue;
        }
        const struct image_topic *before = image_find_topic(builder->before, name);
        const struct image_topic *after = image_find_topic(builder->image, name);
        const bool is_remade =
            before != NULL && after != NULL && !uuid_equal(&before->id, &after->id);
        if (is_remade) {
            builder->deltas[count++] = (struct image_delta_topic){before, NULL};
            before = NULL;
        }
        if (before != after) {
            builder->deltas[count++] = (struct image_delta_topic){before, after};
        }
    }
    return count;
}

void image_builder_publish(struct image_builder *builder)
{
    struct image_source *source = builder->source;
    const size_t delta_count = builder_gather_deltas(builder);
    struct image *after = builder->image;
    builder->image = NULL;

    pthread_mutex_lock(&source->lock);
    struct image *before = source->image;
    source->image = image_ref(after);
    pthread_mutex_unlock(&source->lock);

    source->is_building = false;
    for (struct image_listener *it = source->listener; it != NULL; it = it->next) {
        it->on_change(it->context, before, after, builder->deltas, delta_count,
                      builder->is_settings_changed);
    }
    image_unref(before);
    image_unref(after);
    image_builder_free(builder);
}
