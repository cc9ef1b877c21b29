/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "metadata/image_private.h"

static struct slice tree_key(const struct image_topic *topic, enum image_tree_key by)
{
    return by == IMAGE_TREE_BY_NAME ? topic->name
                                    : slice_of(topic->id.bytes, sizeof(topic->id.bytes));
}

struct image_tree *image_tree_ref(struct image_tree *tree)
{
    if (tree != NULL) {
        atomic_fetch_add_explicit(&tree->ref_count, 1, memory_order_relaxed);
    }
    return tree;
}

void image_tree_unref(struct image_tree *tree)
{
    if (tree == NULL || atomic_fetch_sub_explicit(&tree->ref_count, 1, memory_order_acq_rel) > 1) {
        return;
    }
    image_tree_unref(tree->left);
    image_tree_unref(tree->right);
    shared_unref(&tree->topic->shared);
    free(tree);
}

const struct image_topic *image_tree_find(const struct image_tree *tree, enum image_tree_key by,
                                          struct slice key)
{
    while (tree != NULL) {
        const int order = slice_compare(key, tree_key(tree->topic, by));
        if (order == 0) {
            return tree->topic;
        }
        tree = order < 0 ? tree->left : tree->right;
    }
    return NULL;
}

const struct image_topic *image_tree_next(const struct image_tree *tree, enum image_tree_key by,
                                          struct slice key)
{
    const struct image_topic *best = NULL;
    while (tree != NULL) {
        if (slice_is_null(key) || slice_compare(key, tree_key(tree->topic, by)) < 0) {
            best = tree->topic;
            tree = tree->left;
        } else {
            tree = tree->right;
        }
    }
    return best;
}

/* --- changes --- */

enum error image_tree_reserve(struct image_tree_spares *spares, const struct image_tree *tree)
{
    const int wanted = 3 * (tree == NULL ? 0 : tree->height) + 1;
    check_cmp(wanted, <=, IMAGE_TREE_SPARE_MAX);
    while (spares->count < wanted) {
        struct image_tree *node = malloc(sizeof(*node));
        if (node == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        spares->nodes[spares->count++] = node;
    }
    return E_OK;
}

void image_tree_spares_done(struct image_tree_spares *spares)
{
    while (spares->count > 0) {
        free(spares->nodes[--spares->count]);
    }
}

static struct image_tree *tree_new_node(struct image_tree_spares *spares, struct image_tree *left,
                                        struct image_tree *right, struct image_topic *topic)
{
    check_cmp(spares->count, >, 0);
    struct image_tree *node = spares->nodes[--spares->count];
    atomic_init(&node->ref_count, 1);
    node->height = 1;
    node->left = left;
    node->right = right;
    shared_ref(&topic->shared);
    node->topic = topic;
    return node;
}

/* The node itself when nobody else holds it, else a copy for the caller alone. */
static struct image_tree *tree_own(struct image_tree *node, struct image_tree_spares *spares)
{
    if (atomic_load_explicit(&node->ref_count, memory_order_acquire) == 1) {
        return node;
    }
    struct image_tree *copy =
        tree_new_node(spares, image_tree_ref(node->left), image_tree_ref(node->right), node->topic);
    copy->height = node->height;
    image_tree_unref(node);
    return copy;
}

static int tree_height(const struct image_tree *tree)
{
    return tree == NULL ? 0 : tree->height;
}

static void tree_update_height(struct image_tree *node)
{
    const int left = tree_height(node->left);
    const int right = tree_height(node->right);
    node->height = 1 + (left > right ? left : right);
}

/* node and the child that comes up are owned. */
static struct image_tree *tree_rotate_right(struct image_tree *node)
{
    struct image_tree *top = node->left;
    node->left = top->right;
    top->right = node;
    tree_update_height(node);
    tree_update_height(top);
    return top;
}

static struct image_tree *tree_rotate_left(struct image_tree *node)
{
    struct image_tree *top = node->right;
    node->right = top->left;
    top->left = node;
    tree_update_height(node);
    tree_update_height(top);
    return top;
}

static struct image_tree *tree_balance(struct image_tree *node, struct image_tree_spares *spares)
{
    const int lean = tree_height(node->left) - tree_height(node->right);
    check(lean >= -2 && lean <= 2);
    if (lean == 2) {
        node->left = tree_own(node->left, spares);
        if (tree_height(node->left->left) < tree_height(node->left->right)) {
            node->left->right = tree_own(node->left->right, spares);
            node->left = tree_rotate_left(node->left);
        }
        return tree_rotate_right(node);
    }
    if (lean == -2) {
        node->right = tree_own(node->right, spares);
        if (tree_height(node->right->right) < tree_height(node->right->left)) {
            node->right->left = tree_own(node->right->left, spares);
            node->right = tree_rotate_right(node->right);
        }
        return tree_rotate_left(node);
    }
    tree_update_height(node);
    return node;
}

static void tree_set_topic(struct image_tree *node, struct image_topic *topic)
{
    shared_ref(&topic->shared);
    shared_unref(&node->topic->shared);
    node->topic = topic;
}

struct image_tree *image_tree_put(struct image_tree *tree, enum image_tree_key by,
                                  struct image_topic *topic, struct image_tree_spares *spares)
{
    if (tree == NULL) {
        return tree_new_node(spares, NULL, NULL, topic);
    }
    struct image_tree *node = tree_own(tree, spares);
    const int order = slice_compare(tree_key(topic, by), tree_key(node->topic, by));
    if (order == 0) {
        tree_set_topic(node, topic);
        return node;
    }
    if (order < 0) {
        node->left = image_tree_put(node->left, by, topic, spares);
    } else {
        node->right = image_tree_put(node->right, by, topic, spares);
    }
    return tree_balance(node, spares);
}

/* Takes the reference to an owned node away, keeps its children. */
static void tree_drop_node(struct image_tree *node)
{
    node->left = NULL;
    node->right = NULL;
    image_tree_unref(node);
}

/* Removes the first node of a tree that is not empty; its topic, with a reference, to ret_topic. */
static struct image_tree *tree_remove_first(struct image_tree *tree,
                                            struct image_tree_spares *spares,
                                            struct image_topic **ret_topic)
{
    struct image_tree *node = tree_own(tree, spares);
    if (node->left == NULL) {
        struct image_tree *rest = node->right;
        shared_ref(&node->topic->shared);
        *ret_topic = node->topic;
        tree_drop_node(node);
        return rest;
    }
    node->left = tree_remove_first(node->left, spares, ret_topic);
    return tree_balance(node, spares);
}

struct image_tree *image_tree_remove(struct image_tree *tree, enum image_tree_key by,
                                     struct slice key, struct image_tree_spares *spares)
{
    if (tree == NULL) {
        return NULL;
    }
    struct image_tree *node = tree_own(tree, spares);
    const int order = slice_compare(key, tree_key(node->topic, by));
    if (order < 0) {
        node->left = image_tree_remove(node->left, by, key, spares);
    } else if (order > 0) {
        node->right = image_tree_remove(node->right, by, key, spares);
    } else if (node->left == NULL || node->right == NULL) {
        struct image_tree *rest = node->left == NULL ? node->right : node->left;
        tree_drop_node(node);
        return rest;
    } else {
        struct image_topic *successor;
        node->right = tree_remove_first(node->right, spares, &successor);
        tree_set_topic(node, successor);
        shared_unref(&successor->shared);
    }
    return tree_balance(node, spares);
}

bool image_tree_is_sound(const struct image_tree *tree, enum image_tree_key by)
{
    if (tree == NULL) {
        return true;
    }
    const int left = tree_height(tree->left);
    const int right = tree_height(tree->right);
    const struct slice key = tree_key(tree->topic, by);
    return tree->height == 1 + (left > right ? left : right) && left - right <= 1 &&
           right - left <= 1 &&
           (tree->left == NULL || slice_compare(tree_key(tree->left->topic, by), key) < 0) &&
           (tree->right == NULL || slice_compare(tree_key(tree->right->topic, by), key) > 0) &&
           image_tree_is_sound(tree->left, by) && image_tree_is_sound(tree->right, by);
}
