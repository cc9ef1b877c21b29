/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The persistent tree of topics and what image.c and image_builder.c share. */

#include <pthread.h>

#include "metadata/image.h"

/*
 * A node of a persistent AVL tree; the root stands for the tree, NULL is the empty one.
 *
 * A published node never changes. A builder changes a node in place only while it holds the one
 * reference to it and to all nodes above; otherwise it copies the node first (tree_own).
 *
 * Height: at most 1.44 log2(n + 2), so 47 for 2^32 topics: that bounds the recursions.
 */
struct image_tree {
    atomic_int ref_count;
    int height; /* 1: a leaf */
    struct image_tree *left;
    struct image_tree *right;
    struct image_topic *topic; /* a reference */
};

enum image_tree_key {
    IMAGE_TREE_BY_NAME,
    IMAGE_TREE_BY_ID,
};

enum {
    /* Per level of a path of 47: the node, its child and grandchild when rotating; one leaf. */
    IMAGE_TREE_SPARE_MAX = 3 * 47 + 1,
};

/* Nodes allocated beforehand, so that a change does not fail half-way. */
struct image_tree_spares {
    struct image_tree *nodes[IMAGE_TREE_SPARE_MAX];
    int count;
};

struct image_tree *image_tree_ref(struct image_tree *tree);
void image_tree_unref(struct image_tree *tree);
const struct image_topic *image_tree_find(const struct image_tree *tree, enum image_tree_key by,
                                          struct slice key);
/* The first topic whose key is larger, or the very first for the null slice. */
const struct image_topic *image_tree_next(const struct image_tree *tree, enum image_tree_key by,
                                          struct slice key);
/* Enough spares for one change of a tree. Errors: E_LOCAL_NO_MEMORY. */
NODISCARD enum error image_tree_reserve(struct image_tree_spares *spares,
                                        const struct image_tree *tree);
void image_tree_spares_done(struct image_tree_spares *spares);
/* Both take over the reference to tree and return the new root; spares must be reserved. */
struct image_tree *image_tree_put(struct image_tree *tree, enum image_tree_key by,
                                  struct image_topic *topic, struct image_tree_spares *spares);
struct image_tree *image_tree_remove(struct image_tree *tree, enum image_tree_key by,
                                     struct slice key, struct image_tree_spares *spares);
/* Heights and order are right, all over; for tests. */
bool image_tree_is_sound(const struct image_tree *tree, enum image_tree_key by);

/* A deep copy in one block, configs sorted. NULL without memory. */
struct image_topic *image_topic_copy(const struct image_topic *spec);

/* The memory of what an image_cluster_spec says. */
struct image_cluster {
    struct shared shared;
    struct arena arena;
};

struct image_source {
    pthread_mutex_t lock;
    struct image *image;             /* guarded by lock; one reference */
    struct image_listener *listener; /* set before the controller starts */
    bool is_building;                /* controller's loop */
};

/* All zero but version -1 and no controller. NULL without memory. */
struct image *image_new(void);
