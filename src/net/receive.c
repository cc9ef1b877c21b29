/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to requests.
 *
 *   receive_buffer:  | frames of requests | pending: whole frames held back, or a partial one |
 * free | ^ frame_position                receive_position ^
 *
 * One recv per turn. Small frames are copied into the request's arena, so that the buffer goes back
 * to the pool, still warm, in the same turn; larger ones stay where they are and their requests
 * share the buffer. When a partial frame does not fit into the rest of the buffer it moves to
 * another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/connection_private.h"

enum {
    SIZE_FIELD_SIZE = 4,
    /* A copy of so much costs some 50 ns; holding a buffer of 256 KiB for a parked Fetch of 100
     * bytes would cost memory. */
    FRAME_COPY_SIZE_MAX = 4 * 1024,
    /* C4: a buffer is at most so many times larger than what has arrived. */
    GROWTH_FACTOR = 8,
    /* Below it a wake-up per segment is as cheap as setting the mark twice; above the maximum the
     * bytes would leave the L2 cache before they are looked at. */
    LOW_MARK_MIN = 64 * 1024,
    LOW_MARK_MAX = 512 * 1024,
    /* Nothing more is delivered while so much waits to be sent. */
    OUTPUT_SIZE_MAX = 64 * 1024,
    STARVED_RETRY_MS = 10,
    /* While others starve, a partial frame that has not grown for so long gives up its memory. */
    FRAME_STALL_MAX_MS = 10 * 1000,
    FRAME_STALL_CHECK_MS = 1000,
    NS_PER_MS = 1000000,
    REASON_SIZE = 256,
};

/* --- buffers --- */

void receive_buffer_release(struct server_loop *server_loop, struct receive_buffer *buffer)
{
    check(buffer->user_count > 0);
    if (--buffer->user_count > 0) {
        return;
    }
    (void)atomic_fetch_sub_explicit(&server_loop->server->receive_memory, buffer->buf->capacity,
                                    memory_order_relaxed);
    if (!list_is_empty(&server_loop->starved)) {
        loop_defer(server_loop->loop, &server_loop->resume_starved, PHASE_SEND);
    }
    if (server_loop->spare == NULL && buffer->buf->capacity == RECEIVE_SIZE) {
        server_loop->spare = buffer;
        return;
    }
    buf_unref(buffer->buf);
    free(buffer);
}

static struct buf *take_buf(struct server_loop *server_loop, size_t capacity)
{
    if (capacity == RECEIVE_SIZE) {
        return buf_pool_take(server_loop->pool);
    }
    if (capacity == RECEIVE_SIZE_LARGE) {
        return buf_pool_take(server_loop->pool_large);
    }
    return buf_new(capacity);
}

static struct receive_buffer *buffer_new(struct server_loop *server_loop, size_t capacity)
{
    struct receive_buffer *buffer = server_loop->spare;
    if (buffer != NULL && capacity == RECEIVE_SIZE) {
        server_loop->spare = NULL;
        return buffer;
    }
    buffer = malloc(sizeof(*buffer));
    if (buffer == NULL) {
        return NULL;
    }
    buffer->buf = take_buf(server_loop, capacity);
    if (buffer->buf == NULL) {
        free(buffer);
        return NULL;
    }
    return buffer;
}

struct memory_bounds {
    size_t used_max; /* bytes in use by all, with the new buffer */
    size_t own;      /* bytes in use by the one that asks */
};

/* NULL: beyond the limit, or no memory. */
static struct receive_buffer *buffer_take(struct server_loop *server_loop, size_t capacity,
                                          struct memory_bounds bounds)
{
    atomic_size_t *memory = &server_loop->server->receive_memory;
    const size_t before = atomic_fetch_add_explicit(memory, capacity, memory_order_relaxed);
    struct receive_buffer *buffer = NULL;
    /* Granted too when nobody else holds any: a small limit must not stop everything. */
    if (before <= bounds.own ||
        (before <= bounds.used_max && capacity <= bounds.used_max - before)) {
        buffer = buffer_new(server_loop, capacity);
    }
    if (buffer == NULL) {
        (void)atomic_fetch_sub_explicit(memory, capacity, memory_order_relaxed);
        return NULL;
    }
    check_slow(buffer->buf->capacity == capacity);
    buffer->user_count = 1;
    return buffer;
}

/* --- the frame that is pending --- */

static size_t pending_size(const struct connection *conn)
{
    return conn->receive_position - conn->frame_position;
}

static const uint8_t *pending_bytes(const struct connection *conn)
{
    return conn->receive_buffer->buf->data + conn->frame_position;
}

/* With the size field; only that, as long as it has not arrived. Sizes have been checked. */
static size_t pending_frame_size(const struct connection *conn)
{
    if (pending_size(conn) < SIZE_FIELD_SIZE) {
        return SIZE_FIELD_SIZE;
    }
    return SIZE_FIELD_SIZE + (size_t)be32_load(pending_bytes(conn));
}

/* --- how large the next buffer is --- */

static size_t first_capacity(const struct connection *conn)
{
    return conn->has_large_frames ? RECEIVE_SIZE_LARGE : RECEIVE_SIZE;
}

/* C4: the pool's size until so much has arrived, then GROWTH_FACTOR times what has. */
static size_t grown_capacity(size_t frame_size, size_t received_size)
{
    const size_t allowed = received_size * GROWTH_FACTOR;
    const size_t capacity = frame_size < allowed ? frame_size : allowed;
    static_assert(RECEIVE_SIZE * GROWTH_FACTOR >= RECEIVE_SIZE_LARGE, "C4");
    if (received_size < RECEIVE_SIZE) {
        return RECEIVE_SIZE;
    }
    return capacity <= RECEIVE_SIZE_LARGE ? RECEIVE_SIZE_LARGE : capacity;
}

/* --- starving: no receive memory is left --- */

static void starve(struct connection *conn)
{
    struct server_loop *server_loop = conn->server_loop;
    struct loop *loop = server_loop->loop;
    connection_watch(conn, false);
    if (conn->state == CONNECTION_CLOSED || !list_is_empty(&conn->starved_node)) {
        return;
    }
    conn->starved_ns = loop_now_ns(loop);
    list_push_back(&server_loop->starved, &conn->starved_node);
    if (!server_loop->starved_timer.is_armed) {
        timer_start(loop, &server_loop->starved_timer,
                    loop_now_ns(loop) + (int64_t)STARVED_RETRY_MS * NS_PER_MS);
    }
}

/* Partial frames that all wait for memory which the others hold would wait for ever. */
static bool is_starved_too_long(const struct connection *conn)
{
    const struct server_loop *server_loop = conn->server_loop;
    return conn->receive_buffer != NULL &&
           loop_now_ns(server_loop->loop) - conn->starved_ns >
               server_loop->server->limits.write_stall_max_ms * NS_PER_MS;
}

/* Whether the buffer that make_room would take is within the limit. */
static bool has_memory_for_more(const struct connection *conn)
{
    const struct server *server = conn->server_loop->server;
    const size_t used = atomic_load_explicit(&server->receive_memory, memory_order_relaxed);
    const size_t limit = server->limits.request_memory_max;
    if (conn->receive_buffer == NULL) {
        return used == 0 || used + first_capacity(conn) <= limit / 2;
    }
    return used <= conn->receive_buffer->buf->capacity ||
           used + grown_capacity(pending_frame_size(conn), pending_size(conn)) <= limit;
}

static bool is_frame_stalled(const struct connection *conn, int64_t now_ns)
{
    return conn->state == CONNECTION_OPEN && conn->receive_buffer != NULL &&
           conn->request_count == 0 && list_is_empty(&conn->starved_node) &&
           now_ns - conn->active_ns > (int64_t)FRAME_STALL_MAX_MS * NS_PER_MS;
}

/* Else a few bytes on each of many connections would keep everybody from being served. */
static void close_stalled_frames(struct server_loop *server_loop)
{
    const int64_t now_ns = loop_now_ns(server_loop->loop);
    if (now_ns < server_loop->stall_check_ns) {
        return;
    }
    server_loop->stall_check_ns = now_ns + (int64_t)FRAME_STALL_CHECK_MS * NS_PER_MS;
    LIST_FOREACH_SAFE (node, next, &server_loop->connections) {
        struct connection *conn = container_of(node, struct connection, node);
        if (is_frame_stalled(conn, now_ns)) {
            connection_close(conn, "it sends no more of its request, and memory is short");
        }
    }
}

void receive_resume_starved(struct server_loop *server_loop)
{
    struct list again;
    struct list *node;
    list_init(&again);
    list_splice_back(&again, &server_loop->starved);
    while ((node = list_pop_front(&again)) != NULL) {
        struct connection *conn = container_of(node, struct connection, starved_node);
        if (has_memory_for_more(conn)) {
            connection_watch(conn, true); /* the loop reports it again in the next turn */
        } else if (is_starved_too_long(conn)) {
            connection_close(conn, "no memory was left for the rest of its request");
        } else {
            list_push_back(&server_loop->starved, node);
        }
    }
    if (!list_is_empty(&server_loop->starved)) {
        close_stalled_frames(server_loop);
        timer_start(server_loop->loop, &server_loop->starved_timer,
                    loop_now_ns(server_loop->loop) + (int64_t)STARVED_RETRY_MS * NS_PER_MS);
    }
}

/* --- room for the next recv --- */

static bool take_first_buffer(struct connection *conn)
{
    const size_t memory_max = conn->server_loop->server->limits.request_memory_max;
    conn->receive_buffer =
        buffer_take(conn->server_loop, first_capacity(conn),
                    (struct memory_bounds){.used_max = memory_max / 2, .own = 0});
    conn->frame_position = 0;
    conn->receive_position = 0;
    return conn->receive_buffer != NULL;
}

/* Moves the partial frame to the beginning of this buffer, if nobody else uses it, or of another.
 */
static bool move_partial_frame(struct connection *conn, size_t frame_size)
{
    struct receive_buffer *from = conn->receive_buffer;
    struct receive_buffer *to = from;
    const size_t size = pending_size(conn);
    if (from->user_count > 1 || frame_size > from->buf->capacity) {
        const struct memory_bounds bounds = {
            .used_max = conn->server_loop->server->limits.request_memory_max,
            .own = from->buf->capacity,
        };
        to = buffer_take(conn->server_loop, grown_capacity(frame_size, size), bounds);
        if (to == NULL) {
            return false;
        }
    }
    memmove(to->buf->data, pending_bytes(conn), size);
    if (to != from) {
        receive_buffer_release(conn->server_loop, from);
        conn->receive_buffer = to;
    }
    conn->frame_position = 0;
    conn->receive_position = (uint32_t)size;
    return true;
}

static bool make_room(struct connection *conn)
{
    size_t frame_size;
    if (conn->receive_buffer == NULL) {
        return take_first_buffer(conn);
    }
    frame_size = pending_frame_size(conn);
    /* A frame that grows within a buffer smaller than itself moves when that is full. */
    if (conn->receive_position < conn->receive_buffer->buf->capacity &&
        (conn->frame_position == 0 ||
         conn->frame_position + frame_size <= conn->receive_buffer->buf->capacity)) {
        return true;
    }
    return move_partial_frame(conn, frame_size);
}

/* Frames that are larger than a buffer are received up to their end only, so that the next one
 * starts in a buffer of its own and need not move. */
static size_t receive_size(const struct connection *conn)
{
    const size_t room = conn->receive_buffer->buf->capacity - conn->receive_position;
    const size_t frame_size = pending_frame_size(conn);
    if (frame_size > RECEIVE_SIZE) {
        const size_t missing = frame_size - pending_size(conn);
        return missing < room ? missing : room;
    }
    return room < RECEIVE_SIZE ? room : RECEIVE_SIZE;
}

/* --- delivering --- */

/* What a peer that speaks another protocol seems to speak; "" for Kafka's. */
static const char *other_protocol_hint(const uint8_t *begin)
{
    static const char methods[][SIZE_FIELD_SIZE + 1] = {"GET ", "POST", "PUT ", "HEAD", "HTTP"};
    if (begin[0] == 0x16 && begin[1] == 0x03) {
        return "; it looks like TLS, but this listener speaks plaintext";
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (memcmp(begin, methods[i], SIZE_FIELD_SIZE) == 0) {
            return "; it looks like HTTP, but this listener speaks Kafka's protocol";
        }
    }
    return "";
}

static void close_bad_size(struct connection *conn, int32_t size)
{
    char reason[REASON_SIZE];
    (void)snprintf(reason, sizeof(reason), "a request of %ld bytes, allowed are %ld%s", (long)size,
                   (long)conn->server_loop->server->limits.frame_size_max,
                   other_protocol_hint(pending_bytes(conn)));
    connection_close(conn, reason);
}

/* C2 */
static bool may_deliver(const struct connection *conn, bool is_pipelinable)
{
    if (conn->request_count >= PIPELINE_COUNT_MAX || conn->is_write_blocked ||
        conn->output_size >= OUTPUT_SIZE_MAX) {
        return false;
    }
    return conn->unanswered_count == 0 || (is_pipelinable && !conn->has_exclusive);
}

/* Gives req its bytes, without holding the buffer when they are few. false: no memory. */
static bool give_frame(struct connection *conn, struct request *req, struct slice frame)
{
    if (frame.size <= FRAME_COPY_SIZE_MAX) {
        uint8_t *copy = arena_alloc(&req->arena, frame.size, sizeof(uint64_t));
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, frame.data, frame.size);
        req->frame = slice_of(copy, frame.size);
        return true;
    }
    req->frame = frame;
    req->receive_buffer = conn->receive_buffer;
    req->receive_buffer->user_count++;
    return true;
}

/* NULL: no memory. */
static struct request *add_request(struct connection *conn, struct slice frame, bool is_pipelinable)
{
    struct request *req = request_new(conn->server_loop);
    if (req == NULL) {
        return NULL;
    }
    req->conn = conn;
    req->receive_buffer = NULL;
    list_push_back(&conn->requests, &req->node);
    conn->request_count++;
    chain_init(&req->response, &req->arena);
    if (!give_frame(conn, req, frame)) {
        request_free(req);
        return NULL;
    }
    req->received_ns = loop_now_ns(conn->server_loop->loop);
    req->is_pipelinable = is_pipelinable;
    req->is_answered = false;
    req->on_disconnect = NULL;
    req->api_key = 0;
    req->api_version = 0;
    req->correlation_id = 0;
    req->client_id = SLICE_NULL;
    req->context = NULL;
    conn->unanswered_count++;
    if (!is_pipelinable) {
        conn->has_exclusive = true;
    }
    return req;
}

/* true: one was delivered, and there may be another. */
static bool deliver_next(struct connection *conn)
{
    struct request *req;
    struct slice frame;
    int32_t size;
    bool is_pipelinable;
    if (conn->state != CONNECTION_OPEN || pending_size(conn) < SIZE_FIELD_SIZE) {
        return false;
    }
    size = (int32_t)be32_load(pending_bytes(conn));
    if (UNLIKELY(size < 0 || (uint32_t)size > conn->server_loop->server->limits.frame_size_max)) {
        close_bad_size(conn, size);
        return false;
    }
    if (pending_size(conn) - SIZE_FIELD_SIZE < (size_t)size) {
        return false;
    }
    frame = slice_of(pending_bytes(conn) + SIZE_FIELD_SIZE, (size_t)size);
    is_pipelinable = conn->handler->is_pipelinable(conn->handler, frame);
    if (!may_deliver(conn, is_pipelinable)) {
        conn->is_frame_held = true;
        return false;
    }
    req = add_request(conn, frame, is_pipelinable);
    if (req == NULL) {
        connection_close(conn, "no memory for its request");
        return false;
    }
    conn->has_large_frames = frame.size > RECEIVE_SIZE;
    conn->frame_position += (uint32_t)(SIZE_FIELD_SIZE + frame.size);
    conn->handler->on_request(conn->handler, req);
    return true;
}

void receive_deliver(struct connection *conn)
{
    conn->is_frame_held = false;
    while (deliver_next(conn)) {
    }
}

/* --- after delivering --- */

static void set_low_mark(struct connection *conn)
{
    uint32_t mark = 1;
    if (conn->receive_buffer != NULL && !conn->is_frame_held) {
        const size_t missing = pending_frame_size(conn) - pending_size(conn);
        if (missing >= LOW_MARK_MIN) {
            mark = missing < LOW_MARK_MAX ? (uint32_t)missing : LOW_MARK_MAX;
        }
    }
    if (mark != conn->receive_low_mark) {
        socket_set_receive_low_mark(conn->watch.fd, mark);
        conn->receive_low_mark = mark;
    }
}

void receive_settle(struct connection *conn)
{
    bool can_read;
    if (conn->state != CONNECTION_OPEN) {
        return;
    }
    if (conn->receive_buffer != NULL && pending_size(conn) == 0) { /* C3 */
        receive_buffer_release(conn->server_loop, conn->receive_buffer);
        conn->receive_buffer = NULL;
        conn->frame_position = 0;
        conn->receive_position = 0;
    }
    set_low_mark(conn);
    can_read = !conn->is_at_end && !conn->is_frame_held && !conn->is_write_blocked &&
               list_is_empty(&conn->starved_node);
    if (can_read && (conn->watch.events & WATCH_READ) == 0) {
        connection_watch(conn, true);
    }
}

void receive_ready(struct connection *conn)
{
    enum error error;
    size_t size;
    if (conn->state != CONNECTION_OPEN || conn->is_at_end || conn->is_frame_held ||
        conn->is_write_blocked) {
        connection_watch(conn, false);
        return;
    }
    if (!make_room(conn)) {
        starve(conn);
        return;
    }
    error = conn->transport->receive(conn->transport_state, conn->watch.fd,
                                     conn->receive_buffer->buf->data + conn->receive_position,
                                     receive_size(conn), &size);
    if (error != E_OK) {
        if (error != E_LOCAL_WOULD_BLOCK) {
            connection_close(conn, error == E_LOCAL_CLOSED ? NULL : "receiving failed");
        }
        receive_settle(conn);
        return;
    }
    if (size == 0) {
        conn->is_at_end = true;
        connection_watch(conn, false);
        connection_defer(conn);
    } else {
        conn->receive_position += (uint32_t)size;
        conn->active_ns = loop_now_ns(conn->server_loop->loop);
        receive_deliver(conn);
    }
    receive_settle(conn);
}
