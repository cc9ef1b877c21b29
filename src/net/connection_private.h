/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The insides of net/, which its files share.
 *
 *   server ── server_loop (one per loop) ── listener, connection ── request
 *
 * A connection's life:
 *   OPEN ──connection_close_after_responses──> DRAINING ──connection_close──> CLOSED ── freed at
 * the end of the turn in which the last request in flight is answered (on_turn_end).
 *
 * Files: connection.c life and accessors · receive.c bytes to requests · request.c the pool and the
 * answers · send.c answers to bytes · server.c limits, accepting, idle connections.
 */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "net/address_counts.h"
#include "net/connection.h"
#include "net/transport.h"

enum {
    /* One recv at a time; larger ones gain little and leave the L2 cache. */
    RECEIVE_SIZE = 256 * 1024,
    /* For frames of the 1 MiB that producers send at most by default, and what is around them. */
    RECEIVE_SIZE_LARGE = 2 * 1024 * 1024,
    REQUEST_IDLE_COUNT_MAX = 256, /* in the pool, each with at most 16 KiB of arena: 4 MiB */
    /* Nothing that one request needs: decoded arrays of a 100 MiB frame, a large Metadata. */
    REQUEST_ARENA_SIZE_MAX = 256 * 1024 * 1024,
    SCRATCH_SIZE = 64 * 1024, /* small file ranges of one send */
};

/* A buffer of received bytes; the connection that fills it and the requests in it are its users. */
struct receive_buffer {
    struct buf *buf;
    uint32_t user_count;
};

/* What a server has on one loop. Owned by the loop's thread, except node. */
struct server_loop {
    struct list node; /* server's, under its lock */
    struct server *server;
    struct loop *loop;
    struct list listeners;   /* kept until server_free, for their names */
    struct list connections; /* in no order */
    struct buf_pool *pool;
    struct buf_pool *pool_large;
    struct receive_buffer *spare; /* the last one given back, still warm; may be NULL */
    struct list idle_requests;
    uint32_t idle_request_count;
    struct buf *scratch; /* for send.c; NULL before its first use */
    struct list starved; /* connections that wait for receive memory */
    struct deferred resume_starved;
    struct timer starved_timer; /* memory may be released on another loop */
    int64_t stall_check_ns;     /* monotonic: when stalled frames are looked for next */
    struct timer idle_timer;
    struct diag_limit diag_limit;
};

struct server {
    struct server_limits limits; /* immutable */
    struct diag *diag;
    atomic_uint connection_count;
    atomic_size_t receive_memory; /* bytes of receive buffers in use */
    struct arena_budget arenas;   /* of requests */
    struct address_counts addresses;
    pthread_mutex_t lock;
    struct list loops; /* under lock */
};

struct listener {
    struct list node;
    struct server_loop *server_loop;
    struct server_handler *handler;
    struct watch watch; /* fd -1: closed */
    struct timer pause_timer;
    char name[]; /* NUL-terminated */
};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_DRAINING,
    CONNECTION_CLOSED,
};

struct connection {
    struct watch watch;
    struct deferred turn_end;
    struct list requests; /* in order of arrival; sent from the head */
    struct server_loop *server_loop;
    struct server_handler *handler;
    const struct transport *transport;
    void *transport_state;

    struct receive_buffer *receive_buffer; /* NULL: no bytes are pending (C3) */
    uint32_t frame_position;               /* bytes: the first pending one */
    uint32_t receive_position;             /* bytes: after the last pending one */
    uint32_t receive_low_mark;             /* as the socket has it; 1: none */
    uint16_t request_count;                /* on the list */
    uint16_t unanswered_count;             /* of them */
    bool has_exclusive;                    /* one of them is not pipelinable (C2) */
    bool is_frame_held;                    /* a whole frame is pending, held back by C2 or output */
    bool is_at_end;                        /* the peer has sent its last byte */
    bool is_write_blocked;                 /* the socket is full */
    bool has_large_frames;                 /* the last frame was larger than RECEIVE_SIZE */
    enum connection_state state;
    size_t output_size; /* bytes answered, not yet sent */
    int64_t active_ns;  /* monotonic: the last byte in or out */
    void *user;

    struct list node; /* server_loop's connections */
    struct list starved_node;
    int64_t starved_ns; /* monotonic: since when it is on that list */
    struct timer stall_timer;
    const char *close_reason; /* of DRAINING */
    struct listener *listener;
    struct socket_address peer_address;
    uint16_t local_port;
    char peer[SOCKET_TEXT_SIZE];
    char peer_host[SOCKET_HOST_TEXT_SIZE];
    char local_host[SOCKET_HOST_TEXT_SIZE];
};

static_assert(sizeof(struct connection) <= 512, "C3");

/* --- connection.c --- */

/* Takes fd over, also on failure (false). */
NODISCARD bool connection_open(struct listener *listener, int fd,
                               const struct socket_address *peer);
/* Runs at the end of each turn in which something happened. */
static inline void connection_defer(struct connection *conn)
{
    loop_defer(conn->server_loop->loop, &conn->turn_end, PHASE_SEND);
}
/* What the loop reports from now on, by the state of conn. */
void connection_watch(struct connection *conn, bool is_reading);
/* Without the loop: server_free. */
void connection_destroy(struct connection *conn);

/* --- receive.c --- */

/* The socket is readable. */
void receive_ready(struct connection *conn);
/* Delivers the pending frames that C2 lets through. */
void receive_deliver(struct connection *conn);
/* Gives back what an idle connection must not own; reads on if that is possible again. */
void receive_settle(struct connection *conn);
void receive_buffer_release(struct server_loop *server_loop, struct receive_buffer *buffer);
/* The starved connections for which there is memory now read again. */
void receive_resume_starved(struct server_loop *server_loop);

/* --- request.c --- */

/* NULL: no memory. Frame and order are the caller's. */
struct request *request_new(struct server_loop *server_loop);
/* Takes req off its connection and back to the pool. */
void request_free(struct request *req);

/* --- send.c --- */

/* Sends what is answered and next in order, until the socket is full. May close conn. */
void send_answered(struct connection *conn);
/* Whether something is answered and next in order. */
bool send_is_pending(const struct connection *conn);

/* --- server.c --- */

/* At most a few lines per second and loop. */
void server_report(struct server_loop *server_loop, const struct connection *conn,
                   const char *reason);
void server_connection_opened(struct connection *conn);
void server_connection_closed(struct connection *conn);
