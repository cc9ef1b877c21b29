/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One batch at a time: submit → waiting → (end of turn, or the batch before is done) → running on a
 * worker, one LMDB transaction → back on the loop, completed in order.
 *
 * Invariants:
 * I1. LMDB is used by one thread at a time: the opener, then the job of the lane. So neither its
 *     lock file nor thread-bound readers are needed (MDB_NOLOCK, MDB_NOTLS); a lock on the file
 *     keeps other processes out.
 * I2. A request whose batch did not commit has an error, whatever was computed for it.
 * I3. After a failed fsync nothing is written any more (rule 50): is_failed.
 */

#include "metadata/embedded/embedded_store.h"

#include <errno.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/uuid.h"
#include "io/system_error.h"
#include "metadata/embedded/marker_private.h"
#include "metadata/store_private.h"

enum {
    /* Address space, not memory; doubles when it is full. 5,000 topics take some 4 MiB. */
    MAP_SIZE_FIRST = 64 * 1024 * 1024,
    PATH_SIZE_MAX = 4096,
};

struct embedded_store {
    struct store store;
    struct loop *loop;
    struct worker_pool *workers;
    struct clock *clock;
    struct job_lane lane;
    struct job job;
    struct deferred deferred;
    struct list waiting; /* the loop's */
    struct list running; /* the job's while is_running, else empty */
    bool is_running;     /* the loop's */
    bool is_failed;      /* the job's, as all below */
    MDB_env *env;
    MDB_dbi dbi;
    struct file *lock; /* ottla.mdb, locked */
};

struct embedded_txn {
    struct tree_txn tree;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_dbi dbi;
    int result; /* the first of LMDB's that was neither success nor not found */
};

static enum error error_from_lmdb(int result)
{
    switch (result) {
    case MDB_SUCCESS:
        return E_OK;
    case MDB_NOTFOUND:
        return E_LOCAL_NOT_FOUND;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_PANIC:
        return E_LOCAL_CORRUPT;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return E_LOCAL_LIMIT;
    default:
        return result > 0 ? error_from_errno(result) : E_LOCAL_IO;
    }
}

/* --- the map --- */

static struct embedded_txn *txn_of(struct tree_txn *tree)
{
    return container_of(tree, struct embedded_txn, tree);
}

static MDB_val val_of(struct slice slice)
{
    return (MDB_val){.mv_size = slice.size, .mv_data = (void *)(uintptr_t)slice.data};
}

static enum error txn_result(struct embedded_txn *txn, int result)
{
    if (result != MDB_SUCCESS && result != MDB_NOTFOUND && txn->result == MDB_SUCCESS) {
        txn->result = result;
    }
    return error_from_lmdb(result);
}

static enum error map_get(struct tree_txn *tree, struct slice key, struct slice *ret_value)
{
    struct embedded_txn *txn = txn_of(tree);
    MDB_val key_val = val_of(key);
    MDB_val value;
    const enum error error = txn_result(txn, mdb_get(txn->txn, txn->dbi, &key_val, &value));
    if (error == E_OK) {
        *ret_value = slice_of(value.mv_data, value.mv_size);
    }
    return error;
}

static enum error map_put(struct tree_txn *tree, struct slice key, struct slice value)
{
    struct embedded_txn *txn = txn_of(tree);
    MDB_val key_val = val_of(key);
    MDB_val value_val = val_of(value);
    return txn_result(txn, mdb_put(txn->txn, txn->dbi, &key_val, &value_val, 0));
}

static enum error map_remove(struct tree_txn *tree, struct slice key)
{
    struct embedded_txn *txn = txn_of(tree);
    MDB_val key_val = val_of(key);
    return txn_result(txn, mdb_del(txn->txn, txn->dbi, &key_val, NULL));
}

static enum error map_next(struct tree_txn *tree, struct slice key, struct slice *ret_key,
                           struct slice *ret_value)
{
    struct embedded_txn *txn = txn_of(tree);
    MDB_val key_val = val_of(key);
    MDB_val value;
    int result =
        mdb_cursor_get(txn->cursor, &key_val, &value, key.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
    if (result == MDB_SUCCESS && slice_equal(slice_of(key_val.mv_data, key_val.mv_size), key)) {
        result = mdb_cursor_get(txn->cursor, &key_val, &value, MDB_NEXT);
    }
    const enum error error = txn_result(txn, result);
    if (error == E_OK) {
        *ret_key = slice_of(key_val.mv_data, key_val.mv_size);
        *ret_value = slice_of(value.mv_data, value.mv_size);
    }
    return error;
}

static const struct tree_map embedded_map = {
    .get = map_get,
    .put = map_put,
    .remove = map_remove,
    .next = map_next,
};

/* --- one transaction --- */

static int txn_begin(struct embedded_store *store, struct embedded_txn *txn, bool is_write)
{
    *txn = (struct embedded_txn){.dbi = store->dbi};
    int result = mdb_txn_begin(store->env, NULL, is_write ? 0 : MDB_RDONLY, &txn->txn);
    if (result != MDB_SUCCESS) {
        return result;
    }
    result = mdb_cursor_open(txn->txn, store->dbi, &txn->cursor);
    if (result != MDB_SUCCESS) {
        mdb_txn_abort(txn->txn);
        return result;
    }
    tree_txn_init(&txn->tree, &embedded_map, store->clock->wall_ms(store->clock));
    return MDB_SUCCESS;
}

/* Commits unless something failed. Returns LMDB's result of the whole, or 0 with *ret_error set
 * for a failure of ours (no memory, damaged value). */
static int txn_end(struct embedded_txn *txn, enum error *ret_error)
{
    mdb_cursor_close(txn->cursor);
    tree_txn_done(&txn->tree);
    if (txn->tree.error != E_OK || txn->result != MDB_SUCCESS) {
        mdb_txn_abort(txn->txn);
        *ret_error = txn->tree.error;
        return txn->result;
    }
    *ret_error = E_OK;
    return mdb_txn_commit(txn->txn);
}

static int grow_map(struct embedded_store *store)
{
    MDB_envinfo info;
    const int result = mdb_env_info(store->env, &info);
    return result != MDB_SUCCESS ? result : mdb_env_set_mapsize(store->env, 2 * info.me_mapsize);
}

/* work fills the transaction; it runs again, from the start, when the map had to grow. */
static enum error in_txn(struct embedded_store *store, bool is_write,
                         void (*work)(struct embedded_txn *txn, void *context), void *context)
{
    struct embedded_txn txn;
    for (;;) {
        enum error error = E_OK;
        int result = txn_begin(store, &txn, is_write);
        if (result != MDB_SUCCESS) {
            return error_from_lmdb(result);
        }
        work(&txn, context);
        result = txn_end(&txn, &error);
        if (result == MDB_MAP_FULL) {
            result = grow_map(store);
            if (result == MDB_SUCCESS) {
                continue;
            }
        }
        if (is_write && result == EIO) {
            store->is_failed = true; /* I3 */
        }
        return result != MDB_SUCCESS ? error_from_lmdb(result) : error;
    }
}

/* --- batches --- */

static struct store_request *request_of(struct list *link)
{
    return container_of(link, struct store_request, link);
}

static void execute_all(struct embedded_txn *txn, void *context)
{
    const struct embedded_store *store = context;
    LIST_FOREACH (it, &store->running) {
        tree_execute(&txn->tree, request_of(it));
        if (txn->tree.error != E_OK) {
            return;
        }
    }
}

static void fail_all(struct list *requests, enum error error)
{
    LIST_FOREACH (it, requests) {
        request_of(it)->error = error;
        request_of(it)->failed = 0;
    }
}

static bool has_writes(const struct list *requests)
{
    LIST_FOREACH (it, requests) {
        if (request_of(it)->kind == STORE_MULTI) {
            return true;
        }
    }
    return false;
}

static void batch_run(struct job *job)
{
    struct embedded_store *store = container_of(job, struct embedded_store, job);
    const bool is_write = has_writes(&store->running);
    enum error error = E_LOCAL_OFFLINE;
    if (!is_write || !store->is_failed) {
        error = in_txn(store, is_write, execute_all, store);
    }
    if (error != E_OK) {
        fail_all(&store->running, error); /* I2 */
    }
}

static void batch_start(struct embedded_store *store)
{
    if (store->is_running || list_is_empty(&store->waiting)) {
        return;
    }
    check(list_is_empty(&store->running));
    list_splice_back(&store->running, &store->waiting);
    store->is_running = true;
    worker_pool_submit_in_order(store->workers, &store->lane, &store->job);
}

static void on_batch_done(struct job *job)
{
    struct embedded_store *store = container_of(job, struct embedded_store, job);
    struct list done;
    list_init(&done);
    list_splice_back(&done, &store->running);
    store->is_running = false;
    batch_start(store); /* before the callbacks: the disk need not wait for them */
    for (struct list *it = list_pop_front(&done); it != NULL; it = list_pop_front(&done)) {
        store_complete(&store->store, request_of(it));
    }
}

static void on_turn_end(struct deferred *deferred)
{
    batch_start(container_of(deferred, struct embedded_store, deferred));
}

static void embedded_submit(struct store *base, struct store_request *request)
{
    struct embedded_store *store = container_of(base, struct embedded_store, store);
    check(loop_is_current(store->loop));
    check(request->kind == STORE_MULTI || request->kind == STORE_SYNC || request->arena != NULL);
    list_push_back(&store->waiting, &request->link);
    if (!store->is_running) {
        loop_defer(store->loop, &store->deferred, PHASE_WRITE); /* all of this turn go together */
    }
}

static void embedded_free(struct embedded_store *store)
{
    if (store->env != NULL) {
        mdb_env_close(store->env);
    }
    file_unref(store->lock);
    free(store);
}

static void embedded_close(struct store *base)
{
    struct embedded_store *store = container_of(base, struct embedded_store, store);
    check(!store->is_running && list_is_empty(&store->waiting));
    deferred_cancel(&store->deferred);
    embedded_free(store);
}

static const struct store_engine embedded_engine = {
    .name = "embedded",
    .submit = embedded_submit,
    .close = embedded_close,
};

/* --- opening --- */

struct opening {
    struct embedded_store *store;
    const struct embedded_store_options *options;
    char *text;
    char path[PATH_SIZE_MAX]; /* of ottla.mdb */
    struct uuid marker_id;    /* of the first log directory that has one; zero: none */
    const char *marker_directory;
    struct uuid id; /* of the store */
    bool is_id_new;
};

static PRINTF_LIKE(2, 3) void say(struct opening *opening, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(opening->text, STORE_TEXT_SIZE, format, args);
    va_end(args);
}

static enum error open_failed(struct opening *opening, enum error error, const char *what)
{
    say(opening, "%s: %s: %s", opening->path, what, error_text(error));
    return error;
}

/* Unreadable directories are the log manager's business. */
static enum error read_markers(struct opening *opening)
{
    for (size_t i = 0; i < opening->options->log_directory_count; i++) {
        const char *directory = opening->options->log_directories[i];
        struct uuid id;
        const enum error error = marker_read(opening->options->vfs, directory, &id);
        if (error == E_LOCAL_CORRUPT) {
            say(opening, "%s/ottla.metadata is damaged", directory);
            return error;
        }
        if (error != E_OK || uuid_is_zero(&id)) {
            continue;
        }
        if (uuid_is_zero(&opening->marker_id)) {
            opening->marker_id = id;
            opening->marker_directory = directory;
        } else if (!uuid_equal(&id, &opening->marker_id)) {
            say(opening,
                "log directories %s and %s belong to different brokers (their files "
                "ottla.metadata name different stores)",
                opening->marker_directory, directory);
            return E_LOCAL_BAD_CONFIG;
        }
    }
    return E_OK;
}

static enum error say_lost(struct opening *opening)
{
    say(opening,
        "%s is lost, but %s/ottla.metadata says that it was there: restore it from a "
        "backup. To start anew from the partitions on disk, with their configs lost, "
        "remove ottla.metadata from all log directories",
        opening->path, opening->marker_directory);
    return E_LOCAL_NOT_FOUND;
}

static enum error open_file(struct opening *opening)
{
    struct vfs *vfs = opening->options->vfs;
    struct file_status status;
    enum error error = vfs->path_status(vfs, opening->path, &status);
    if (error == E_LOCAL_NOT_FOUND && !uuid_is_zero(&opening->marker_id)) {
        return say_lost(opening);
    }
    error = vfs->make_directory(vfs, opening->options->directory);
    if (error != E_OK && error != E_LOCAL_EXISTS) {
        return open_failed(opening, error, "cannot make the directory");
    }
    error = vfs->open(vfs, opening->path, FILE_WRITE | FILE_CREATE, &opening->store->lock);
    if (error == E_OK) {
        error = vfs->lock(opening->store->lock);
    }
    return error == E_OK ? E_OK : open_failed(opening, error, "cannot open and lock");
}

static int open_env(struct embedded_store *store, const char *path)
{
    int result = mdb_env_create(&store->env);
    if (result != MDB_SUCCESS) {
        return result;
    }
    result = mdb_env_set_mapsize(store->env, MAP_SIZE_FIRST); /* the file's own, if larger */
    if (result == MDB_SUCCESS) {
        result = mdb_env_open(store->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0644);
    }
    MDB_txn *txn;
    if (result == MDB_SUCCESS) {
        result = mdb_txn_begin(store->env, NULL, 0, &txn);
    }
    if (result != MDB_SUCCESS) {
        return result;
    }
    result = mdb_dbi_open(txn, NULL, 0, &store->dbi);
    if (result != MDB_SUCCESS) {
        mdb_txn_abort(txn);
        return result;
    }
    return mdb_txn_commit(txn);
}

/*
 * Pages behind the end of the file would be read as SIGBUS. LMDB leaves free ones unwritten, so
 * they may be missing rightly; as zeros they do no harm there, and elsewhere LMDB finds them
 * damaged.
 */
static enum error fill_to_size(struct opening *opening)
{
    struct vfs *vfs = opening->options->vfs;
    struct file_status status;
    MDB_envinfo info;
    MDB_stat tree;
    int result = mdb_env_info(opening->store->env, &info);
    if (result == MDB_SUCCESS) {
        result = mdb_env_stat(opening->store->env, &tree);
    }
    enum error error = error_from_lmdb(result);
    if (error == E_OK) {
        error = vfs->path_status(vfs, opening->path, &status);
    }
    if (error != E_OK) {
        return error;
    }
    const int64_t size = (int64_t)(info.me_last_pgno + 1) * tree.ms_psize;
    return status.size < size ? vfs->truncate(opening->store->lock, size) : E_OK;
}

/* Reads the store's id, or gives it one; ends the session of the process before. */
static void begin_session(struct embedded_txn *txn, void *context)
{
    struct opening *opening = context;
    struct slice value;
    char text[UUID_TEXT_SIZE + 1];
    enum error error = map_get(&txn->tree, SLICE("store"), &value);
    if (error == E_OK && !uuid_parse(value, &opening->id)) {
        error = E_LOCAL_CORRUPT;
    } else if (error == E_LOCAL_NOT_FOUND && !uuid_is_zero(&opening->marker_id)) {
        error = E_LOCAL_NOT_FOUND; /* emptied */
    } else if (error == E_LOCAL_NOT_FOUND) {
        if (!opening->is_id_new) {
            opening->id = uuid_random(opening->options->rng);
            opening->is_id_new = true;
        }
        uuid_format(&opening->id, text);
        error = map_put(&txn->tree, SLICE("store"), slice_from_string(text));
    }
    if (error == E_OK) {
        tree_remove_ephemerals(&txn->tree);
    } else {
        txn->tree.error = error;
    }
}

static enum error write_markers(struct opening *opening)
{
    for (size_t i = 0; i < opening->options->log_directory_count; i++) {
        const char *directory = opening->options->log_directories[i];
        struct uuid id;
        enum error error = marker_read(opening->options->vfs, directory, &id);
        if (error != E_OK || !uuid_is_zero(&id)) {
            continue;
        }
        error = opening->options->vfs->make_directory(opening->options->vfs, directory);
        if (error == E_OK || error == E_LOCAL_EXISTS) {
            error = marker_write(opening->options->vfs, directory, &opening->id);
        }
        if (error != E_OK && opening->options->log_directory_count == 1) {
            return open_failed(opening, error, "cannot write ottla.metadata");
        }
    }
    return E_OK;
}

static enum error open_store(struct opening *opening)
{
    struct embedded_store *store = opening->store;
    enum error error = read_markers(opening);
    if (error == E_OK) {
        error = open_file(opening);
    }
    if (error != E_OK) {
        return error;
    }
    error = error_from_lmdb(open_env(store, opening->path));
    if (error == E_OK) {
        error = fill_to_size(opening);
    }
    if (error != E_OK) {
        return open_failed(opening, error,
                           "not a metadata store, or damaged; restore it from a backup");
    }
    error = in_txn(store, true, begin_session, opening);
    if (error == E_LOCAL_NOT_FOUND) {
        return say_lost(opening);
    }
    if (error != E_OK) {
        return open_failed(opening, error,
                           "cannot begin; if it is damaged, restore it from a backup");
    }
    if (!uuid_is_zero(&opening->marker_id) && !uuid_equal(&opening->marker_id, &opening->id)) {
        say(opening,
            "%s is not the store that %s/ottla.metadata names: it belongs to another "
            "broker, or is not the newest",
            opening->path, opening->marker_directory);
        return E_LOCAL_BAD_CONFIG;
    }
    error =
        opening->options->vfs->sync_directory(opening->options->vfs, opening->options->directory);
    return error != E_OK ? open_failed(opening, error, "cannot sync its directory")
                         : write_markers(opening);
}

enum error embedded_store_open(const struct embedded_store_options *options,
                               struct store **ret_store, char *ret_text)
{
    struct embedded_store *store = calloc(1, sizeof(*store));
    struct opening opening = {.store = store, .options = options, .text = ret_text};
    const int size =
        snprintf(opening.path, sizeof(opening.path), "%s/ottla.mdb", options->directory);
    if (store == NULL) {
        return open_failed(&opening, E_LOCAL_NO_MEMORY, "cannot open");
    }
    store_init(&store->store, &embedded_engine);
    store->loop = options->loop;
    store->workers = options->workers;
    store->clock = options->clock;
    job_lane_init(&store->lane);
    store->job = (struct job){.run = batch_run, .on_done = on_batch_done, .loop = options->loop};
    deferred_init(&store->deferred, on_turn_end);
    list_init(&store->waiting);
    list_init(&store->running);
    enum error error = size < (int)sizeof(opening.path)
                           ? open_store(&opening)
                           : open_failed(&opening, E_LOCAL_LIMIT, "path too long");
    if (error != E_OK) {
        embedded_free(store);
        return error;
    }
    *ret_store = &store->store;
    return E_OK;
}
