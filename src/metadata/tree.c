/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The rules of the tree: versions, parents, children, sequences, undo.
 *
 * Value of a node, all big-endian:
 *
 *   0 format (1) | 1 flags | 2 version (4) | 6 children version (4) | 10 created id (8)
 *   18 modified id (8) | 26 created ms (8) | 34 modified ms (8) | 42 data ...
 *
 * Invariants:
 * I1. Every node but the root has a parent in the map. The root may have no entry yet.
 * I2. After a multi that failed the map is as before it (the undo list), or txn->error is set.
 */

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "metadata/store_private.h"

enum {
    TREE_FORMAT = 1,
    TREE_FLAG_EPHEMERAL = 1 << 0,
    TREE_FLAG_NULL_DATA = 1 << 1,
    TREE_HEADER_SIZE = 42,
    SEQUENCE_SIZE = 10, /* digits of a sequential name */
};

struct tree_undo {
    struct tree_undo *next;
    struct slice key;
    struct slice value; /* null: the key was absent */
};

/* A node while it is worked on. */
struct tree_node {
    struct store_stat stat;
    struct slice data;
};

static void node_decode(struct slice value, struct tree_node *ret_node)
{
    const uint8_t *p = value.data;
    const unsigned flags = p[1];
    ret_node->stat = (struct store_stat){
        .is_ephemeral = (flags & TREE_FLAG_EPHEMERAL) != 0,
        .version = (int32_t)be32_load(p + 2),
        .children_version = (int32_t)be32_load(p + 6),
        .created_id = (int64_t)be64_load(p + 10),
        .modified_id = (int64_t)be64_load(p + 18),
        .created_ms = (int64_t)be64_load(p + 26),
        .modified_ms = (int64_t)be64_load(p + 34),
    };
    ret_node->data = (flags & TREE_FLAG_NULL_DATA) != 0
                         ? SLICE_NULL
                         : slice_of(p + TREE_HEADER_SIZE, value.size - TREE_HEADER_SIZE);
}

/* The null slice without memory. */
static struct slice node_encode(struct arena *arena, const struct tree_node *node)
{
    const size_t size = TREE_HEADER_SIZE + node->data.size;
    uint8_t *p = arena_alloc(arena, size, 1);
    if (p == NULL) {
        return SLICE_NULL;
    }
    p[0] = TREE_FORMAT;
    p[1] = (uint8_t)((node->stat.is_ephemeral ? TREE_FLAG_EPHEMERAL : 0U) |
                     (slice_is_null(node->data) ? TREE_FLAG_NULL_DATA : 0U));
    be32_store(p + 2, (uint32_t)node->stat.version);
    be32_store(p + 6, (uint32_t)node->stat.children_version);
    be64_store(p + 10, (uint64_t)node->stat.created_id);
    be64_store(p + 18, (uint64_t)node->stat.modified_id);
    be64_store(p + 26, (uint64_t)node->stat.created_ms);
    be64_store(p + 34, (uint64_t)node->stat.modified_ms);
    if (node->data.size > 0) {
        memcpy(p + TREE_HEADER_SIZE, node->data.data, node->data.size);
    }
    return slice_of(p, size);
}

/* --- paths and keys --- */

static bool path_is_valid(struct slice path)
{
    if (path.size == 0 || path.data[0] != '/') {
        return false;
    }
    if (path.size == 1) {
        return true;
    }
    for (size_t i = 0; i < path.size; i++) {
        const bool is_last = i + 1 == path.size;
        if (path.data[i] == '\0' || (path.data[i] == '/' && (is_last || path.data[i + 1] == '/'))) {
            return false;
        }
    }
    return true;
}

static size_t path_last_slash(struct slice path)
{
    size_t i = path.size - 1;
    while (path.data[i] != '/') {
        i--;
    }
    return i;
}

/* Key: the path with its last slash replaced by NUL. */
static struct slice path_key(struct arena *arena, struct slice path)
{
    uint8_t *key = arena_alloc(arena, path.size, 1);
    if (key == NULL) {
        return SLICE_NULL;
    }
    memcpy(key, path.data, path.size);
    key[path_last_slash(path)] = '\0';
    return slice_of(key, path.size);
}

static struct slice path_parent(struct slice path)
{
    const size_t slash = path_last_slash(path);
    return slash == 0 ? SLICE("/") : slice_of(path.data, slash);
}

/* What all keys of the children of the path begin with. */
static struct slice path_children_prefix(struct arena *arena, struct slice path)
{
    const size_t size = path.size == 1 ? 0 : path.size;
    uint8_t *prefix = arena_alloc(arena, size + 1, 1);
    if (prefix == NULL) {
        return SLICE_NULL;
    }
    memcpy(prefix, path.data, size);
    prefix[size] = '\0';
    return slice_of(prefix, size + 1);
}

static enum error check_path(struct slice path)
{
    if (!path_is_valid(path)) {
        return E_LOCAL_MALFORMED;
    }
    return path.size > STORE_PATH_SIZE_MAX ? E_LOCAL_LIMIT : E_OK;
}

/* --- reading and writing nodes --- */

static enum error txn_fail(struct tree_txn *txn, enum error error)
{
    if (error != E_LOCAL_NOT_FOUND && error != E_OK) {
        txn->error = error;
    }
    return error;
}

/* data borrowed until the next write. Errors: E_LOCAL_NOT_FOUND, hard ones. */
static enum error node_get(struct tree_txn *txn, struct slice path, struct tree_node *ret_node)
{
    const struct slice key = path_key(&txn->scratch, path);
    if (slice_is_null(key)) {
        return txn_fail(txn, E_LOCAL_NO_MEMORY);
    }
    struct slice value;
    enum error error = txn->map->get(txn, key, &value);
    if (error == E_LOCAL_NOT_FOUND && path.size == 1) {
        *ret_node = (struct tree_node){.data = SLICE_NULL}; /* the root is always there */
        return E_OK;
    }
    if (error != E_OK) {
        return txn_fail(txn, error);
    }
    if (value.size < TREE_HEADER_SIZE || value.data[0] != TREE_FORMAT) {
        return txn_fail(txn, E_LOCAL_CORRUPT);
    }
    node_decode(value, ret_node);
    return E_OK;
}

static enum error undo_remember(struct tree_txn *txn, struct slice key)
{
    struct tree_undo *undo = ARENA_NEW(&txn->scratch, struct tree_undo);
    if (undo == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    struct slice value;
    const enum error error = txn->map->get(txn, key, &value);
    if (error == E_OK) {
        undo->value = arena_copy(&txn->scratch, value);
        if (slice_is_null(undo->value)) {
            return E_LOCAL_NO_MEMORY;
        }
    } else if (error != E_LOCAL_NOT_FOUND) {
        return error;
    }
    undo->key = key;
    undo->next = txn->undo;
    txn->undo = undo;
    return E_OK;
}

static enum error node_put(struct tree_txn *txn, struct slice path, const struct tree_node *node)
{
    const struct slice key = path_key(&txn->scratch, path);
    const struct slice value = node_encode(&txn->scratch, node);
    if (slice_is_null(key) || slice_is_null(value)) {
        return txn_fail(txn, E_LOCAL_NO_MEMORY);
    }
    enum error error = undo_remember(txn, key);
    if (error == E_OK) {
        error = txn->map->put(txn, key, value);
    }
    return txn_fail(txn, error);
}

static enum error node_remove(struct tree_txn *txn, struct slice path)
{
    const struct slice key = path_key(&txn->scratch, path);
    if (slice_is_null(key)) {
        return txn_fail(txn, E_LOCAL_NO_MEMORY);
    }
    enum error error = undo_remember(txn, key);
    if (error == E_OK) {
        error = txn->map->remove(txn, key);
    }
    return txn_fail(txn, error);
}

static void undo_all(struct tree_txn *txn)
{
    for (struct tree_undo *it = txn->undo; it != NULL && txn->error == E_OK; it = it->next) {
        (void)txn_fail(txn, slice_is_null(it->value) ? txn->map->remove(txn, it->key)
                                                     : txn->map->put(txn, it->key, it->value));
    }
    txn->undo = NULL;
}

/* The child after `after` (null: the first). */
static enum error next_child(struct tree_txn *txn, struct slice prefix, struct slice after,
                             struct slice *ret_key, struct slice *ret_value)
{
    struct slice key;
    struct slice value;
    const enum error error =
        txn->map->next(txn, slice_is_null(after) ? prefix : after, &key, &value);
    if (error != E_OK) {
        return txn_fail(txn, error);
    }
    if (key.size <= prefix.size || memcmp(key.data, prefix.data, prefix.size) != 0) {
        return E_LOCAL_NOT_FOUND;
    }
    if (value.size < TREE_HEADER_SIZE) {
        return txn_fail(txn, E_LOCAL_CORRUPT);
    }
    *ret_key = key;
    *ret_value = value;
    return E_OK;
}

static enum error has_children(struct tree_txn *txn, struct slice path, bool *ret_has)
{
    struct slice key;
    struct slice value;
    const struct slice prefix = path_children_prefix(&txn->scratch, path);
    if (slice_is_null(prefix)) {
        return txn_fail(txn, E_LOCAL_NO_MEMORY);
    }
    const enum error error = next_child(txn, prefix, SLICE_NULL, &key, &value);
    *ret_has = error == E_OK;
    return error == E_LOCAL_NOT_FOUND ? E_OK : error;
}

/* --- the operations of a multi --- */

static bool version_matches(const struct tree_node *node, int32_t expected)
{
    return expected == STORE_VERSION_ANY || expected == node->stat.version;
}

static enum error touch_parent(struct tree_txn *txn, struct slice path)
{
    struct tree_node parent;
    enum error error = node_get(txn, path_parent(path), &parent);
    if (error == E_OK) {
        parent.stat.children_version++;
        error = node_put(txn, path_parent(path), &parent);
    }
    return error;
}

static enum error create_node(struct tree_txn *txn, struct slice path, struct slice data,
                              bool is_ephemeral, struct store_stat *ret_stat)
{
    const struct tree_node node = {
        .stat = {.created_id = txn->last_id + 1,
                 .modified_id = txn->last_id + 1,
                 .created_ms = txn->now_ms,
                 .modified_ms = txn->now_ms,
                 .is_ephemeral = is_ephemeral},
        .data = data,
    };
    enum error error = touch_parent(txn, path);
    if (error == E_OK) {
        error = node_put(txn, path, &node);
    }
    *ret_stat = node.stat;
    return error;
}

/* Makes what is missing above the path, from the top. */
static enum error create_parents(struct tree_txn *txn, struct slice path)
{
    for (size_t size = 1; size < path.size; size++) {
        const struct slice above = slice_of(path.data, size);
        struct tree_node node;
        struct store_stat stat;
        if (path.data[size] != '/') {
            continue;
        }
        enum error error = node_get(txn, above, &node);
        if (error == E_LOCAL_NOT_FOUND) {
            error = create_node(txn, above, SLICE_NULL, false, &stat);
        }
        if (error != E_OK) {
            return error;
        }
    }
    return E_OK;
}

/* Kafka's and ZooKeeper's ten digits; the parent's children version never goes back. */
static struct slice sequential_path(struct slice path, const struct tree_node *parent,
                                    struct arena *arena)
{
    const char *text =
        arena_printf(arena, "%.*s%0*" PRId32, (int)path.size, (const char *)path.data,
                     SEQUENCE_SIZE, parent->stat.children_version);
    return slice_from_string(text);
}

static enum error apply_create(struct tree_txn *txn, struct store_operation *op,
                               struct arena *arena)
{
    if ((op->create_flags & STORE_PARENTS) != 0) {
        const enum error error = create_parents(txn, op->path);
        if (error != E_OK) {
            return error;
        }
    }
    struct tree_node parent;
    enum error error = node_get(txn, path_parent(op->path), &parent);
    if (error != E_OK) {
        return error;
    }
    if (parent.stat.is_ephemeral) {
        return E_LOCAL_MALFORMED;
    }
    struct slice path = op->path;
    if ((op->create_flags & STORE_SEQUENTIAL) != 0) {
        check(arena != NULL);
        path = sequential_path(op->path, &parent, arena);
        if (slice_is_null(path)) {
            return txn_fail(txn, E_LOCAL_NO_MEMORY);
        }
        op->path_made = path;
    }
    struct tree_node existing;
    error = node_get(txn, path, &existing);
    if (error != E_LOCAL_NOT_FOUND) {
        return error == E_OK ? E_LOCAL_EXISTS : error;
    }
    const bool is_ephemeral = (op->create_flags & STORE_EPHEMERAL) != 0;
    return create_node(txn, path, op->data, is_ephemeral, &op->stat);
}

static enum error apply_set(struct tree_txn *txn, struct store_operation *op)
{
    struct tree_node node;
    enum error error = node_get(txn, op->path, &node);
    if (error != E_OK) {
        return error;
    }
    if (!version_matches(&node, op->version)) {
        return E_LOCAL_BAD_VERSION;
    }
    node.data = op->data;
    node.stat.version++;
    node.stat.modified_id = txn->last_id + 1;
    node.stat.modified_ms = txn->now_ms;
    op->stat = node.stat;
    return node_put(txn, op->path, &node);
}

static enum error apply_delete(struct tree_txn *txn, const struct store_operation *op)
{
    struct tree_node node;
    bool is_parent;
    if (op->path.size == 1) {
        return E_LOCAL_MALFORMED; /* the root stays */
    }
    enum error error = node_get(txn, op->path, &node);
    if (error != E_OK) {
        return error;
    }
    if (!version_matches(&node, op->version)) {
        return E_LOCAL_BAD_VERSION;
    }
    error = has_children(txn, op->path, &is_parent);
    if (error != E_OK || is_parent) {
        return error != E_OK ? error : E_LOCAL_NOT_EMPTY;
    }
    error = node_remove(txn, op->path);
    return error != E_OK ? error : touch_parent(txn, op->path);
}

static enum error apply_check(struct tree_txn *txn, const struct store_operation *op)
{
    struct tree_node node;
    const enum error error = node_get(txn, op->path, &node);
    if (error != E_OK) {
        return error;
    }
    return version_matches(&node, op->version) ? E_OK : E_LOCAL_BAD_VERSION;
}

static enum error apply(struct tree_txn *txn, struct store_operation *op, struct arena *arena)
{
    enum error error = check_path(op->path);
    if (error != E_OK) {
        return error;
    }
    if (op->data.size > STORE_DATA_SIZE_MAX) {
        return E_LOCAL_LIMIT;
    }
    op->path_made = SLICE_NULL;
    switch (op->kind) {
    case STORE_CHECK:
        return apply_check(txn, op);
    case STORE_CREATE:
        return apply_create(txn, op, arena);
    case STORE_SET:
        return apply_set(txn, op);
    case STORE_DELETE:
        return apply_delete(txn, op);
    }
    return E_LOCAL_MALFORMED;
}

static void save_last_id(struct tree_txn *txn)
{
    uint8_t bytes[8];
    be64_store(bytes, (uint64_t)txn->last_id);
    (void)txn_fail(txn, txn->map->put(txn, SLICE("id"), slice_of(bytes, sizeof(bytes))));
}

static void execute_multi(struct tree_txn *txn, struct store_request *request)
{
    check(txn->undo == NULL);
    for (size_t i = 0; i < request->operation_count; i++) {
        request->operations[i].error = E_OK;
    }
    for (size_t i = 0; i < request->operation_count && txn->error == E_OK; i++) {
        struct store_operation *op = &request->operations[i];
        op->error = apply(txn, op, request->arena);
        if (op->error != E_OK) {
            request->error = op->error;
            request->failed = i;
            undo_all(txn);
            return;
        }
    }
    txn->undo = NULL;
    txn->last_id++;
    save_last_id(txn);
}

/* --- reads --- */

static bool copy_data(struct arena *arena, struct slice data, struct slice *ret_copy)
{
    *ret_copy = arena_copy(arena, data);
    return slice_is_null(data) || !slice_is_null(*ret_copy);
}

static enum error execute_get(struct tree_txn *txn, struct store_request *request)
{
    struct tree_node node;
    const enum error error = node_get(txn, request->path, &node);
    if (error != E_OK) {
        return error;
    }
    if (!copy_data(request->arena, node.data, &request->node.data)) {
        return E_LOCAL_NO_MEMORY;
    }
    request->node.name = request->path.size == 1
                             ? SLICE("")
                             : slice_of(request->path.data + path_last_slash(request->path) + 1,
                                        request->path.size - path_last_slash(request->path) - 1);
    request->node.stat = node.stat;
    return E_OK;
}

/* Doubles in the arena: what is left behind is at most as much again. */
static bool grow_nodes(struct store_request *request, size_t *capacity)
{
    if (request->node_count < *capacity) {
        return true;
    }
    const size_t wanted = *capacity == 0 ? 16 : 2 * *capacity;
    struct store_node *nodes = ARENA_NEW_ARRAY(request->arena, struct store_node, wanted);
    if (nodes == NULL) {
        return false;
    }
    if (request->node_count > 0) {
        memcpy(nodes, request->nodes, request->node_count * sizeof(*nodes));
    }
    request->nodes = nodes;
    *capacity = wanted;
    return true;
}

static enum error execute_children(struct tree_txn *txn, struct store_request *request,
                                   bool with_data)
{
    struct tree_node node;
    enum error error = node_get(txn, request->path, &node);
    const struct slice prefix = path_children_prefix(&txn->scratch, request->path);
    if (error == E_OK && slice_is_null(prefix)) {
        error = E_LOCAL_NO_MEMORY;
    }
    if (error != E_OK) {
        return error;
    }
    size_t capacity = 0;
    struct slice key = SLICE_NULL;
    struct slice value;
    while ((error = next_child(txn, prefix, key, &key, &value)) == E_OK) {
        if (!grow_nodes(request, &capacity)) {
            return E_LOCAL_NO_MEMORY;
        }
        struct store_node *child = &request->nodes[request->node_count];
        node_decode(value, &node);
        *child = (struct store_node){.stat = node.stat};
        if (!copy_data(request->arena, slice_of(key.data + prefix.size, key.size - prefix.size),
                       &child->name) ||
            !copy_data(request->arena, with_data ? node.data : SLICE_NULL, &child->data)) {
            return E_LOCAL_NO_MEMORY;
        }
        request->node_count++;
    }
    return error == E_LOCAL_NOT_FOUND ? E_OK : error;
}

void tree_execute(struct tree_txn *txn, struct store_request *request)
{
    request->error = E_OK;
    request->failed = 0;
    request->nodes = NULL;
    request->node_count = 0;
    if (request->kind == STORE_SYNC) {
        return;
    }
    if (request->kind == STORE_MULTI) {
        execute_multi(txn, request);
        arena_clear(&txn->scratch);
        return;
    }
    request->error = check_path(request->path);
    if (request->error == E_OK) {
        request->error = request->kind == STORE_GET
                             ? execute_get(txn, request)
                             : execute_children(txn, request, request->kind == STORE_READ_CHILDREN);
    }
    arena_clear(&txn->scratch);
}

/* --- the batch --- */

void tree_txn_init(struct tree_txn *txn, const struct tree_map *map, int64_t now_ms)
{
    struct slice value;
    txn->map = map;
    txn->undo = NULL;
    txn->now_ms = now_ms;
    txn->last_id = 0;
    txn->error = E_OK;
    arena_init(&txn->scratch, SIZE_MAX);
    if (txn_fail(txn, map->get(txn, SLICE("id"), &value)) == E_OK && value.size == 8) {
        txn->last_id = (int64_t)be64_load(value.data);
    }
}

void tree_txn_done(struct tree_txn *txn)
{
    arena_done(&txn->scratch);
}

/* Path of a key, in the scratch arena. */
static struct slice key_path(struct tree_txn *txn, struct slice key)
{
    struct slice path = arena_copy(&txn->scratch, key);
    uint8_t *nul = memchr((uint8_t *)(uintptr_t)path.data, '\0', path.size);
    check(nul != NULL);
    *nul = '/';
    return path;
}

void tree_remove_ephemerals(struct tree_txn *txn)
{
    struct slice key = SLICE("");
    struct slice value;
    while (txn->error == E_OK && txn_fail(txn, txn->map->next(txn, key, &key, &value)) == E_OK) {
        struct tree_node node;
        if (memchr(key.data, '\0', key.size) == NULL || value.size < TREE_HEADER_SIZE) {
            continue;
        }
        node_decode(value, &node);
        if (!node.stat.is_ephemeral) {
            continue;
        }
        key = arena_copy(&txn->scratch, key);
        const struct slice path = slice_is_null(key) ? key : key_path(txn, key);
        if (slice_is_null(path)) {
            txn->error = E_LOCAL_NO_MEMORY;
        } else if (node_remove(txn, path) == E_OK) {
            (void)touch_parent(txn, path);
        }
    }
    txn->undo = NULL;
    txn->last_id++;
    save_last_id(txn);
}
