/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/collisions.h"

#include <stdlib.h>

#include "controller/topic_name.h"

struct candidate {
    struct slice name;
    struct controller_new_topic *topic; /* NULL: it exists */
};

static bool may_collide(struct slice name)
{
    return memchr(name.data, '.', name.size) != NULL || memchr(name.data, '_', name.size) != NULL;
}

/* By name as metrics show it; existing ones first, then as in the request. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    const int order = topic_name_compare_colliding(left->name, right->name);
    if (order != 0) {
        return order;
    }
    const uintptr_t left_place = (uintptr_t)left->topic;
    const uintptr_t right_place = (uintptr_t)right->topic;
    return left_place < right_place ? -1 : left_place > right_place;
}

static size_t gather(struct controller *controller, struct controller_create_topics *create,
                     struct candidate *candidates)
{
    const struct image *image = controller->plan.image;
    size_t count = 0;
    for (size_t i = 0; i < create->topic_count; i++) {
        struct controller_new_topic *topic = &create->topics[i];
        if (topic->failure.code == E_OK && may_collide(topic->name)) {
            candidates[count++] = (struct candidate){topic->name, topic};
        }
    }
    if (count == 0) {
        return 0;
    }
    for (const struct image_topic *it = image_next_topic(image, NULL); it != NULL;
         it = image_next_topic(image, it)) {
        if (may_collide(it->name)) {
            candidates[count++] = (struct candidate){it->name, NULL};
        }
    }
    return count;
}

enum error fail_collisions(struct controller *controller, struct controller_create_topics *create)
{
    struct candidate *candidates =
        ARENA_NEW_ARRAY(&controller->plan.arena, struct candidate,
                        create->topic_count + controller->plan.image->topic_count);
    if (candidates == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const size_t count = gather(controller, create, candidates);
    if (count > 1) {
        qsort(candidates, count, sizeof(*candidates), compare_candidates);
    }
    size_t first = 0; /* of those that collide with each other */
    for (size_t i = 1; i < count; i++) {
        if (!topic_names_collide(candidates[first].name, candidates[i].name)) {
            first = i;
        } else if (candidates[i].topic != NULL) {
            controller_fail(&create->request, &candidates[i].topic->failure,
                            E_INVALID_TOPIC_EXCEPTION,
                            "Topic '%.*s' collides with existing topic: %.*s",
                            SLICE_ARGS(candidates[i].name), SLICE_ARGS(candidates[first].name));
        }
    }
    return E_OK;
}
