/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the engines share: the rules of the tree over any ordered map of keys, and completion. */

#include "metadata/store.h"

void store_init(struct store *store, const struct store_engine *engine);
/* On the loop, request by request in order: fires the watches of what it changed, arms its own,
 * calls on_done. */
void store_complete(struct store *store, struct store_request *request);

/*
 * The tree as an ordered map. The key of a node is the path of its parent ("" for the root's
 * children), NUL, its name; so the children of a node lie together and in order:
 *
 *   "/brokers/topics\0a", "/brokers/topics\0b", ...        the root itself: "\0"
 *
 * The value is a header of TREE_HEADER_SIZE bytes (tree.c) and the data. The key "id" holds the id
 * of the last multi, the key "store" the store's own id; no node has such keys.
 */
struct tree_txn;

/* Values are borrowed until the next write. Errors: E_LOCAL_NOT_FOUND; others end the batch. */
struct tree_map {
    enum error (*get)(struct tree_txn *txn, struct slice key, struct slice *ret_value);
    enum error (*put)(struct tree_txn *txn, struct slice key, struct slice value);
    enum error (*remove)(struct tree_txn *txn, struct slice key);
    /* The entry with the smallest key above `key`. */
    enum error (*next)(struct tree_txn *txn, struct slice key, struct slice *ret_key,
                       struct slice *ret_value);
};

struct tree_undo;

/* One batch of requests over the map; first member of the engine's own struct. */
struct tree_txn {
    const struct tree_map *map;
    struct arena scratch;   /* keys, new values, what is needed to undo a multi */
    struct tree_undo *undo; /* of the multi in work, newest first */
    int64_t now_ms;
    int64_t last_id;  /* of the last multi that was carried out */
    enum error error; /* not E_OK: the map failed, nothing of the batch may stay */
};

/* Reads last_id. */
void tree_txn_init(struct tree_txn *txn, const struct tree_map *map, int64_t now_ms);
void tree_txn_done(struct tree_txn *txn);
/* Fills the answers of one request; stop at the first txn->error. */
void tree_execute(struct tree_txn *txn, struct store_request *request);
/* Ends the session of the process before: removes all ephemeral nodes. */
void tree_remove_ephemerals(struct tree_txn *txn);
