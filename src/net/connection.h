/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Client connections: accept, frame, deliver requests, send responses in the order of requests.
 *
 *   socket ── recv ──> buf ── frames ──> server_handler.on_request ──> request_respond ──> send
 *
 * Invariants
 *  C1 Responses leave in the order in which their requests arrived.
 *  C2 Up to PIPELINE_COUNT_MAX pipelinable requests (Produce) are in flight; any other request is
 *     delivered only when all earlier ones have been answered, and nothing is delivered behind it
 *     until it is.
 *  C3 An idle connection owns no buffer: receive buffers are lent by the loop's pool while bytes
 *     are pending; the struct is at most 512 bytes.
 *  C4 A frame lies in one piece. Its buffer grows with the bytes received, never with the size that
 *     a peer claims: at most eight times what has arrived; 256 KiB at least, and 2 MiB
 *     where the frame before was as large.
 *  C5 After close no callback reaches the handler for this connection except on_close, exactly
 *     once, and on_close comes when no request of it is in flight any more; until then requests in
 *     flight see connection_is_open() == false and answer as usual (dropped). The connection stays
 *     valid at least until the end of the turn.
 *  C6 Every delivered request ends with exactly one of request_respond, request_respond_nothing
 *     and request_close.
 *
 * When the peer has sent its last byte, the frames before it are still delivered (acks=0); what is
 * answered at the end of that turn is sent, then the connection is closed.
 *
 * Thread: all on the connection's loop.
 */

#include "base/arena.h"
#include "base/chain.h"
#include "base/diag.h"
#include "io/loop.h"

struct connection;
struct listener;
struct server;

enum {
    PIPELINE_COUNT_MAX = 64,
};

/* One request from its last byte received to its response sent. Pooled, with its arena. */
struct request {
    struct list node; /* connection's, in order of arrival */
    struct connection *conn;
    struct arena arena; /* everything of this request and its response */
    /* Without the 4 size bytes; valid as long as the request. No other request shares these bytes:
     * batches in it are patched in place. */
    struct slice frame;
    struct chain response; /* a whole frame, with its 4 size bytes */
    int64_t received_ns;   /* monotonic */
    /* The handler's, NULL at first: the connection has closed while this request waits for
     * something that only a client could want. It may end the request in the call. */
    void (*on_disconnect)(struct request *req);
    bool is_pipelinable; /* set by classify */
    bool is_answered;
    /* The rest is the handler's. */
    int16_t api_key;
    int16_t api_version;
    int32_t correlation_id;
    struct slice client_id;
    void *context; /* the handler's own request state, in the arena */
    /* net's. */
    struct receive_buffer *receive_buffer; /* holds `frame`, unless it lies in the arena */
};

/* What net calls upward; filled by broker/. */
struct server_handler {
    /* A new connection; may set conn's user data, not close it. false: it is closed at once,
     * without on_close. */
    bool (*on_open)(struct server_handler *handler, struct connection *conn);
    /* Whether this frame may be in flight together with earlier ones (looks at the API key only).
     */
    bool (*is_pipelinable)(struct server_handler *handler, struct slice frame);
    /* A whole frame. Ends, now or later, as C6 says; connection_close does not end a request. */
    void (*on_request)(struct server_handler *handler, struct request *req);
    void (*on_close)(struct server_handler *handler, struct connection *conn);
};

/* Whether a request may wait for something that may never come, with what it holds: not when those
 * that wait have half of the memory already. */
bool request_may_wait(const struct request *req);
/* The response chain is complete: it is sent at the end of this turn or when its turn comes. */
void request_respond(struct request *req);
/* Produce with acks=0: nothing is sent, later responses go on. */
void request_respond_nothing(struct request *req);
/* connection_close and the end of this request: for frames that cannot be answered. */
void request_close(struct request *req, const char *reason);

/* Closes now; queued responses are dropped. `reason` for the diagnosis line (NULL: normal end by
 * the peer or by us, no line). */
void connection_close(struct connection *conn, const char *reason);
/* Sends what has been answered up to now and is next in order, then closes. Nothing more is
 * received. reason is as above, a string literal. */
void connection_close_after_responses(struct connection *conn, const char *reason);
bool connection_is_open(const struct connection *conn);
struct loop *connection_loop(const struct connection *conn);
const char *connection_peer(const struct connection *conn);      /* "127.0.0.1:51234" */
const char *connection_peer_host(const struct connection *conn); /* "127.0.0.1" */
const char *
connection_local_host(const struct connection *conn); /* the address at which it arrived */
uint16_t connection_local_port(const struct connection *conn);
const char *connection_listener_name(const struct connection *conn); /* "PLAINTEXT" */
void connection_set_user(struct connection *conn, void *user);
void *connection_user(const struct connection *conn);

struct server_limits {
    uint32_t frame_size_max;       /* socket.request.max.bytes */
    uint32_t connection_count_max; /* over all loops */
    uint32_t connection_per_address_max;
    int64_t idle_max_ms;        /* connections.max.idle.ms; <= 0: never */
    int64_t write_stall_max_ms; /* a reader that takes nothing for this long is closed */
    /* Bytes of receive buffers in use, over all loops. New frames are read up to half of it, begun
     * ones up to all of it; beyond that sockets are not read. */
    size_t request_memory_max;
    /* Bytes of the arenas of requests and responses, over all loops; a request that needs more is
     * refused. 0: no limit. */
    size_t arena_memory_max;
    int receive_buffer_size; /* SO_RCVBUF; -1: the system's */
    int send_buffer_size;    /* SO_SNDBUF; -1: the system's */
    int backlog;
};

struct listen_address {
    const char *listener_name;
    const char *host; /* "" or "0.0.0.0": all */
    uint16_t port;    /* 0: any free one */
};

/* One per loop; loops share counts through atomics in `server`. */
NODISCARD enum error server_new(const struct server_limits *limits, struct diag *diag,
                                struct server **ret_server);
/* After the loops have stopped. Listeners and connections that are left are closed; requests in
 * flight are freed without an answer. */
void server_free(struct server *server);
/*
 * Binds and listens on this loop (SO_REUSEPORT when there are several loops). *ret_port is the
 * bound port. address->listener_name is copied, handler borrowed. May block in looking up the host.
 Errors: E_LOCAL_ADDRESS_IN_USE, E_LOCAL_PERMISSION, E_LOCAL_NOT_FOUND (host),
 * E_LOCAL_IO.
 */
NODISCARD enum error server_listen(struct server *server, struct loop *loop,
                                   const struct listen_address *address, bool reuse_port,
                                   struct server_handler *handler, struct listener **ret_listener,
                                   uint16_t *ret_port);
/* No more accepts; open connections stay. */
void listener_close(struct listener *listener);
/* Closes all connections of this loop (shutdown). */
void server_close_connections(struct server *server, struct loop *loop);
/* For metrics; any thread. */
uint32_t server_connection_count(const struct server *server);
/* Bytes of receive buffers in use. */
size_t server_receive_memory(const struct server *server);
