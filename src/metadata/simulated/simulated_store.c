/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata/simulated/simulated_store.h"

#include <stdlib.h>

#include "metadata/store_private.h"

/* A sorted array: simple, and fast enough for tests. */
struct simulated_entry {
    struct slice key; /* malloc'ed, as value */
    struct slice value;
};

struct simulated_store {
    struct store store;
    struct loop *loop;
    struct clock *clock;
    struct message message;
    bool is_posted;
    struct list waiting;
    struct simulated_entry *entries;
    size_t count;
    size_t capacity;
    enum error failure;
    unsigned failure_count;
};

struct simulated_txn {
    struct tree_txn tree;
    struct simulated_store *store;
};

static struct simulated_store *store_of(struct tree_txn *tree)
{
    return container_of(tree, struct simulated_txn, tree)->store;
}

/* The first entry whose key is not below. */
static size_t find(const struct simulated_store *store, struct slice key)
{
    size_t low = 0;
    size_t high = store->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (slice_compare(store->entries[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct simulated_store *store, size_t index, struct slice key)
{
    return index < store->count && slice_equal(store->entries[index].key, key);
}

static struct slice copy_bytes(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);
    if (copy == NULL) {
        return SLICE_NULL;
    }
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return slice_of(copy, bytes.size);
}

static void free_bytes(struct slice bytes)
{
    free((void *)(uintptr_t)bytes.data);
}

static enum error map_get(struct tree_txn *tree, struct slice key, struct slice *ret_value)
{
    const struct simulated_store *store = store_of(tree);
    const size_t index = find(store, key);
    if (!is_at(store, index, key)) {
        return E_LOCAL_NOT_FOUND;
    }
    *ret_value = store->entries[index].value;
    return E_OK;
}

static enum error insert(struct simulated_store *store, size_t index, struct slice key,
                         struct slice value)
{
    if (store->count == store->capacity) {
        const size_t capacity = 2 * store->capacity + 64;
        void *entries = reallocarray(store->entries, capacity, sizeof(*store->entries));
        if (entries == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        store->entries = entries;
        store->capacity = capacity;
    }
    key = copy_bytes(key);
    if (slice_is_null(key)) {
        return E_LOCAL_NO_MEMORY;
    }
    memmove(&store->entries[index + 1], &store->entries[index],
            (store->count - index) * sizeof(*store->entries));
    store->entries[index] = (struct simulated_entry){key, value};
    store->count++;
    return E_OK;
}

static enum error map_put(struct tree_txn *tree, struct slice key, struct slice value)
{
    struct simulated_store *store = store_of(tree);
    const size_t index = find(store, key);
    const struct slice copy = copy_bytes(value);
    if (slice_is_null(copy)) {
        return E_LOCAL_NO_MEMORY;
    }
    if (!is_at(store, index, key)) {
        const enum error error = insert(store, index, key, copy);
        if (error != E_OK) {
            free_bytes(copy);
        }
        return error;
    }
    free_bytes(store->entries[index].value);
    store->entries[index].value = copy;
    return E_OK;
}

static enum error map_remove(struct tree_txn *tree, struct slice key)
{
    struct simulated_store *store = store_of(tree);
    const size_t index = find(store, key);
    if (!is_at(store, index, key)) {
        return E_LOCAL_NOT_FOUND;
    }
    free_bytes(store->entries[index].key);
    free_bytes(store->entries[index].value);
    store->count--;
    memmove(&store->entries[index], &store->entries[index + 1],
            (store->count - index) * sizeof(*store->entries));
    return E_OK;
}

static enum error map_next(struct tree_txn *tree, struct slice key, struct slice *ret_key,
                           struct slice *ret_value)
{
    const struct simulated_store *store = store_of(tree);
    size_t index = find(store, key);
    index += is_at(store, index, key);
    if (index == store->count) {
        return E_LOCAL_NOT_FOUND;
    }
    *ret_key = store->entries[index].key;
    *ret_value = store->entries[index].value;
    return E_OK;
}

static const struct tree_map simulated_map = {
    .get = map_get,
    .put = map_put,
    .remove = map_remove,
    .next = map_next,
};

static enum error take_failure(struct simulated_store *store)
{
    if (store->failure_count == 0) {
        return E_OK;
    }
    store->failure_count--;
    return store->failure;
}

/* Executes and completes one by one: what on_done submits waits for the next turn. */
static void on_turn(struct message *message)
{
    struct simulated_store *store = container_of(message, struct simulated_store, message);
    struct simulated_txn txn = {.store = store};
    struct list batch;
    list_init(&batch);
    list_splice_back(&batch, &store->waiting);
    store->is_posted = false;
    const enum error failure = take_failure(store);

    tree_txn_init(&txn.tree, &simulated_map, store->clock->wall_ms(store->clock));
    for (struct list *it = list_pop_front(&batch); it != NULL; it = list_pop_front(&batch)) {
        struct store_request *request = container_of(it, struct store_request, link);
        request->error = failure;
        if (failure == E_OK) {
            tree_execute(&txn.tree, request);
        }
        if (txn.tree.error != E_OK) {
            request->error = txn.tree.error;
        }
        store_complete(&store->store, request);
    }
    tree_txn_done(&txn.tree);
}

static void simulated_submit(struct store *base, struct store_request *request)
{
    struct simulated_store *store = container_of(base, struct simulated_store, store);
    check(loop_is_current(store->loop));
    list_push_back(&store->waiting, &request->link);
    if (!store->is_posted) {
        store->is_posted = true;
        store->message.on_receive = on_turn;
        loop_post(store->loop, &store->message);
    }
}

static void simulated_close(struct store *base)
{
    struct simulated_store *store = container_of(base, struct simulated_store, store);
    check(!store->is_posted);
    for (size_t i = 0; i < store->count; i++) {
        free_bytes(store->entries[i].key);
        free_bytes(store->entries[i].value);
    }
    free(store->entries);
    free(store);
}

static const struct store_engine simulated_engine = {
    .name = "simulated",
    .submit = simulated_submit,
    .close = simulated_close,
};

struct store *simulated_store_new(struct loop *loop, struct clock *clock)
{
    struct simulated_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store_init(&store->store, &simulated_engine);
    store->loop = loop;
    store->clock = clock;
    list_init(&store->waiting);
    return &store->store;
}

void simulated_store_fail(struct store *base, enum error error, unsigned count)
{
    struct simulated_store *store = container_of(base, struct simulated_store, store);
    store->failure = error;
    store->failure_count = count;
}

void simulated_store_end_session(struct store *base)
{
    struct simulated_store *store = container_of(base, struct simulated_store, store);
    struct simulated_txn txn = {.store = store};
    tree_txn_init(&txn.tree, &simulated_map, store->clock->wall_ms(store->clock));
    tree_remove_ephemerals(&txn.tree);
    tree_txn_done(&txn.tree);
}
