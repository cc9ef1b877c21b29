/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata/store.h"

#include "metadata/store_private.h"

void store_init(struct store *store, const struct store_engine *engine)
{
    store->engine = engine;
    list_init(&store->data_watches);
    list_init(&store->children_watches);
}

static void drop_watches(struct list *watches)
{
    LIST_FOREACH_SAFE (it, next, watches) {
        store_watch_cancel(container_of(it, struct store_watch, node));
    }
}

void store_close(struct store *store)
{
    if (store != NULL) {
        drop_watches(&store->data_watches);
        drop_watches(&store->children_watches);
        store->engine->close(store);
    }
}

void store_watch_cancel(struct store_watch *watch)
{
    if (watch->is_armed) {
        list_remove(&watch->node);
        watch->is_armed = false;
    }
}

static void watch_arm(struct store *store, struct store_request *request)
{
    struct store_watch *watch = request->watch;
    store_watch_cancel(watch);
    watch->path = request->path;
    watch->is_armed = true;
    list_init(&watch->node);
    list_push_back(request->kind == STORE_GET ? &store->data_watches : &store->children_watches,
                   &watch->node);
}

/* Takes the watches of the path out first, since on_change may set new ones. */
static void fire(struct list *watches, struct slice path)
{
    struct list fired;
    list_init(&fired);
    LIST_FOREACH_SAFE (it, next, watches) {
        if (slice_equal(container_of(it, struct store_watch, node)->path, path)) {
            list_remove(it);
            list_push_back(&fired, it);
        }
    }
    for (struct list *it = list_pop_front(&fired); it != NULL; it = list_pop_front(&fired)) {
        struct store_watch *watch = container_of(it, struct store_watch, node);
        watch->is_armed = false;
        watch->on_change(watch);
    }
}

static struct slice parent_path(struct slice path)
{
    size_t size = path.size;
    while (size > 0 && path.data[size - 1] != '/') {
        size--;
    }
    return size <= 1 ? SLICE("/") : slice_of(path.data, size - 1);
}

static void fire_operation(struct store *store, const struct store_operation *op)
{
    const bool is_create = op->kind == STORE_CREATE;
    struct slice path = is_create && !slice_is_null(op->path_made) ? op->path_made : op->path;
    if (op->kind == STORE_CHECK) {
        return;
    }
    fire(&store->data_watches, path);
    if (op->kind == STORE_SET) {
        return;
    }
    if (op->kind == STORE_DELETE) {
        fire(&store->children_watches, path);
    }
    /* With STORE_PARENTS any node above may be new: its watches fire too, needed or not. */
    const bool is_parents = is_create && (op->create_flags & STORE_PARENTS) != 0;
    do {
        path = parent_path(path);
        fire(&store->children_watches, path);
        if (is_parents) {
            fire(&store->data_watches, path);
        }
    } while (is_parents && path.size > 1);
}

void store_complete(struct store *store, struct store_request *request)
{
    const bool has_watches =
        !list_is_empty(&store->data_watches) || !list_is_empty(&store->children_watches);
    if (request->kind == STORE_MULTI && request->error == E_OK && has_watches) {
        for (size_t i = 0; i < request->operation_count; i++) {
            fire_operation(store, &request->operations[i]);
        }
    }
    if (request->watch != NULL && (request->error == E_OK || request->error == E_LOCAL_NOT_FOUND)) {
        watch_arm(store, request);
    }
    request->on_done(request);
}
