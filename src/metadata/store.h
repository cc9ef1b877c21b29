/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The store: what the cluster agrees on, as a tree of small versioned nodes, in Apache ZooKeeper's
 * shape. Two engines (embedded: LMDB; simulated: memory, for tests) and later zookeeper implement
 * one table of functions.
 *
 * Paths are absolute ("/brokers/topics/t"), without a final slash; the root is "/". Each node has
 * data (at most STORE_DATA_SIZE_MAX bytes; null is a value of its own), a version that a set
 * raises, and children.
 *
 * Requests: every call is asynchronous. Requests are carried out in the order of store_submit and
 * complete in that order on the caller's loop; never from inside store_submit. A multi is atomic:
 * all of its operations or none, and once it completes with E_OK it survives a crash of process
 * and machine.
 *
 * Watches are one-shot: set by a read, they fire at most once, on the loop, before any later
 * request completes that could see the change. They coalesce: act on a fresh read, not on the event
 * (rule 22).
 *
 * Thread: the loop that the store was opened with, for everything.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/list.h"
#include "base/slice.h"

enum {
    STORE_DATA_SIZE_MAX = 8 * 1024 * 1024, /* one topic of 200,000 partitions: some 4 MB of JSON */
    STORE_PATH_SIZE_MAX = 500,             /* LMDB keys hold 511 bytes */
    STORE_VERSION_ANY = -1,
};

struct store_stat {
    int64_t created_id;  /* of the multi that made the node; of /brokers/ids/N: the broker epoch */
    int64_t modified_id; /* of the last multi that set its data */
    int64_t created_ms;  /* wall clock */
    int64_t modified_ms;
    int32_t version;          /* 0 at birth, one more with each set */
    int32_t children_version; /* one more with each child made or deleted */
    bool is_ephemeral;
};

struct store_node {
    struct slice name; /* last segment of the path */
    struct slice data;
    struct store_stat stat;
};

enum store_operation_kind {
    STORE_CHECK,  /* version, or only that the node exists with STORE_VERSION_ANY */
    STORE_CREATE, /* the parent must exist */
    STORE_SET,
    STORE_DELETE, /* must have no children */
};

enum store_create_flags {
    STORE_EPHEMERAL = 1 << 0,  /* gone when the session ends: for embedded, with the process */
    STORE_SEQUENTIAL = 1 << 1, /* the path gets ten digits appended, rising within the parent */
    STORE_PARENTS = 1 << 2,    /* make missing parents too, persistent, with null data */
};

/*
 * One operation of a multi.
 *
 * Errors: E_LOCAL_BAD_VERSION the node has another version · E_LOCAL_NOT_FOUND no such node or
 * parent · E_LOCAL_EXISTS create: it is there · E_LOCAL_NOT_EMPTY delete: it has children ·
 * E_LOCAL_LIMIT path or data too long · E_LOCAL_MALFORMED not a path, or a parent that is
 * ephemeral.
 */
struct store_operation {
    enum store_operation_kind kind;
    unsigned create_flags;
    struct slice path; /* borrowed until on_done, as data */
    struct slice data;
    int32_t version; /* expected: check, set, delete */
    /* Answers. */
    enum error error;       /* why this one failed; E_OK for the others, which were not done */
    struct slice path_made; /* create: the path with the digits, in the request's arena */
    struct store_stat stat; /* after create and set */
};

enum store_request_kind {
    STORE_GET,           /* data and stat of one node (node) */
    STORE_CHILDREN,      /* names of the children, rising (nodes: name only) */
    STORE_READ_CHILDREN, /* the children with data and stat, rising by name (nodes) */
    STORE_MULTI,
    STORE_SYNC, /* completes when all before it have */
};

struct store_watch {
    struct list node; /* the store's */
    bool is_armed;
    bool is_for_children; /* the store's */
    struct slice path;    /* the store's: borrowed from the request, must outlive the watch */
    void (*on_change)(struct store_watch *watch);
    /* True while the node was absent when the watch was set: fires when it is made. */
};

/* Embedded in what the caller keeps; stays where it is until on_done. */
struct store_request {
    enum store_request_kind kind;
    struct slice path;                  /* reads; borrowed until on_done */
    struct store_watch *watch;          /* reads; NULL: none. Armed even with E_LOCAL_NOT_FOUND */
    struct store_operation *operations; /* multi; borrowed until on_done */
    size_t operation_count;
    struct arena *arena; /* lent until on_done: answers go here; may be NULL for multi and sync
                            without sequential creates */
    void (*on_done)(struct store_request *request);
    /* Answers. */
    enum error error; /* multi: that of the operation that failed. All: E_LOCAL_IO,
                         E_LOCAL_NO_SPACE, E_LOCAL_NO_MEMORY, E_LOCAL_OFFLINE: nothing was done */
    size_t failed;    /* multi: index of the operation that failed */
    struct store_node node;
    struct store_node *nodes;
    size_t node_count;
    struct list link; /* the store's */
};

struct store;

/* What an engine is; store.c calls through it. */
struct store_engine {
    const char *name;
    void (*submit)(struct store *store, struct store_request *request);
    void (*close)(struct store *store);
};

/* First member of each engine's own struct. */
struct store {
    const struct store_engine *engine;
    struct list data_watches;
    struct list children_watches;
};

static inline void store_submit(struct store *store, struct store_request *request)
{
    store->engine->submit(store, request);
}

/* Drops all watches and frees the store. All requests must have completed (store_is_idle), or their
 * on_done never comes. NULL is fine. */
void store_close(struct store *store);

/* Fine when not armed. */
void store_watch_cancel(struct store_watch *watch);
