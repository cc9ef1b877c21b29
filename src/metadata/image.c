/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata/image.h"

#include <stdlib.h>

#include "base/list.h"
#include "metadata/image_private.h"

static void image_destroy(struct shared *shared)
{
    struct image *image = container_of(shared, struct image, shared);
    image_tree_unref(image->topics_by_name);
    image_tree_unref(image->topics_by_id);
    settings_unref(image->settings);
    if (image->cluster != NULL) {
        shared_unref(&image->cluster->shared);
    }
    free(image);
}

struct image *image_new(void)
{
    struct image *image = calloc(1, sizeof(*image));
    if (image != NULL) {
        shared_init(&image->shared, image_destroy);
        image->controller_id = -1;
    }
    return image;
}

const struct image_topic *image_find_topic(const struct image *image, struct slice name)
{
    return image_tree_find(image->topics_by_name, IMAGE_TREE_BY_NAME, name);
}

const struct image_topic *image_find_topic_by_id(const struct image *image, const struct uuid *id)
{
    return image_tree_find(image->topics_by_id, IMAGE_TREE_BY_ID,
                           slice_of(id->bytes, sizeof(id->bytes)));
}

const struct image_topic *image_next_topic(const struct image *image,
                                           const struct image_topic *after)
{
    return image_tree_next(image->topics_by_name, IMAGE_TREE_BY_NAME,
                           after == NULL ? SLICE_NULL : after->name);
}

const struct image_broker *image_find_broker(const struct image *image, int32_t id)
{
    for (uint32_t i = 0; i < image->broker_count; i++) {
        if (image->brokers[i].id == id) {
            return &image->brokers[i];
        }
    }
    return NULL;
}

/* --- the source --- */

struct image_source *image_source_new(struct settings *settings)
{
    struct image_source *source = calloc(1, sizeof(*source));
    struct image *image = image_new();
    if (source == NULL || image == NULL || pthread_mutex_init(&source->lock, NULL) != 0) {
        image_unref(image);
        free(source);
        return NULL;
    }
    image->settings = settings_ref(settings);
    source->image = image;
    return source;
}

void image_source_free(struct image_source *source)
{
    if (source != NULL) {
        check(!source->is_building);
        image_unref(source->image);
        pthread_mutex_destroy(&source->lock);
        free(source);
    }
}

struct image *image_source_take(struct image_source *source)
{
    pthread_mutex_lock(&source->lock);
    struct image *image = image_ref(source->image);
    pthread_mutex_unlock(&source->lock);
    return image;
}

void image_source_subscribe(struct image_source *source, struct image_listener *listener)
{
    struct image_listener **end = &source->listener;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    listener->next = NULL;
    *end = listener;
}
