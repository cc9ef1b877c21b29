/* SPDX-License-Identifier: Apache-2.0 */
#include "net/connection.h"

#include <stdlib.h>
#include <string.h>

#include "net/connection_private.h"

static void on_event(struct watch *watch, unsigned events)
{
    struct connection *conn = container_of(watch, struct connection, watch);
    if ((events & WATCH_WRITE) != 0) {
        conn->is_write_blocked = false;
        connection_defer(conn);
    }
    if ((events & WATCH_READ) != 0) {
        receive_ready(conn);
    } else if ((events & WATCH_HANGUP) != 0) {
        connection_close(conn, NULL);
    }
}

/* DRAINING, and the end of what the peer sends, end here. */
static void close_when_drained(struct connection *conn)
{
    const bool is_ending =
        conn->state == CONNECTION_DRAINING || (conn->is_at_end && !conn->is_frame_held);
    if (is_ending && !conn->is_write_blocked && !send_is_pending(conn)) {
        connection_close(conn, conn->close_reason);
    }
}

static void free_when_unused(struct connection *conn)
{
    if (conn->unanswered_count == 0) { /* C5 */
        conn->handler->on_close(conn->handler, conn);
        connection_destroy(conn);
    }
}

static void on_turn_end(struct deferred *deferred)
{
    struct connection *conn = container_of(deferred, struct connection, turn_end);
    /* In most turns receive_ready has settled all. */
    const bool is_settled = !conn->is_frame_held && (conn->watch.events & WATCH_READ) != 0;
    if (conn->is_frame_held) {
        receive_deliver(conn); /* so that one send takes these answers too */
    }
    if (conn->state != CONNECTION_CLOSED && !conn->is_write_blocked) {
        send_answered(conn);
        if (conn->is_frame_held) {
            receive_deliver(conn);
        }
        if (!is_settled) {
            receive_settle(conn);
        }
    }
    if (conn->state != CONNECTION_CLOSED) {
        close_when_drained(conn);
    }
    if (conn->state == CONNECTION_CLOSED) {
        deferred_cancel(&conn->turn_end);
        free_when_unused(conn);
    }
}

static void on_stall(struct timer *timer)
{
    connection_close(container_of(timer, struct connection, stall_timer),
                     "it has taken nothing of its responses for too long");
}

/* --- life --- */

static void describe(struct connection *conn, const struct socket_address *peer)
{
    struct socket_address local;
    conn->peer_address = *peer;
    socket_address_format(peer, conn->peer);
    socket_address_format_host(peer, conn->peer_host);
    if (socket_local_address(conn->watch.fd, &local) == E_OK) {
        socket_address_format_host(&local, conn->local_host);
        conn->local_port = local.port;
    }
}

static struct connection *connection_new(struct listener *listener, int fd,
                                         const struct socket_address *peer)
{
    struct connection *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return NULL;
    }
    conn->watch = (struct watch){.fd = fd, .events = WATCH_READ, .on_event = on_event};
    deferred_init(&conn->turn_end, on_turn_end);
    timer_init(&conn->stall_timer, on_stall);
    list_init(&conn->requests);
    list_init(&conn->node);
    list_init(&conn->starved_node);
    conn->server_loop = listener->server_loop;
    conn->listener = listener;
    conn->handler = listener->handler;
    conn->transport = transport_plain();
    conn->receive_low_mark = 1;
    conn->active_ns = loop_now_ns(listener->server_loop->loop);
    describe(conn, peer);
    return conn;
}

bool connection_open(struct listener *listener, int fd, const struct socket_address *peer)
{
    struct connection *conn = connection_new(listener, fd, peer);
    if (conn == NULL) {
        socket_close(fd);
        return false;
    }
    if (watch_add(conn->server_loop->loop, &conn->watch) != E_OK) {
        connection_destroy(conn);
        return false;
    }
    if (!conn->handler->on_open(conn->handler, conn)) {
        watch_remove(conn->server_loop->loop, &conn->watch);
        connection_destroy(conn);
        return false;
    }
    server_connection_opened(conn);
    return true;
}

void connection_watch(struct connection *conn, bool is_reading)
{
    const unsigned events =
        (is_reading ? WATCH_READ : 0U) | (conn->is_write_blocked ? WATCH_WRITE : 0U);
    if (conn->state != CONNECTION_CLOSED &&
        watch_change(conn->server_loop->loop, &conn->watch, events) != E_OK) {
        connection_close(conn, "the event loop has no memory");
    }
}

/* What nobody can get any more; unanswered requests stay with their handlers. */
static void drop_answered(struct connection *conn)
{
    LIST_FOREACH_SAFE (node, next, &conn->requests) {
        struct request *req = container_of(node, struct request, node);
        if (req->is_answered) {
            request_free(req);
        }
    }
    conn->output_size = 0;
}

static void tell_waiting(struct connection *conn)
{
    LIST_FOREACH_SAFE (node, next, &conn->requests) {
        struct request *req = container_of(node, struct request, node);
        if (req->on_disconnect != NULL) {
            req->on_disconnect(req);
        }
    }
}

void connection_close(struct connection *conn, const char *reason)
{
    struct loop *loop = conn->server_loop->loop;
    if (conn->state == CONNECTION_CLOSED) {
        return;
    }
    if (reason != NULL) {
        server_report(conn->server_loop, conn, reason);
    }
    conn->state = CONNECTION_CLOSED;
    conn->is_frame_held = false;
    watch_remove(loop, &conn->watch);
    conn->transport->close(conn->transport_state, conn->watch.fd);
    conn->watch.fd = -1;
    timer_stop(loop, &conn->stall_timer);
    list_remove(&conn->starved_node);
    server_connection_closed(conn);
    drop_answered(conn);
    if (conn->receive_buffer != NULL) {
        receive_buffer_release(conn->server_loop, conn->receive_buffer);
        conn->receive_buffer = NULL;
    }
    tell_waiting(conn);
    connection_defer(conn);
}

void connection_close_after_responses(struct connection *conn, const char *reason)
{
    if (conn->state != CONNECTION_OPEN) {
        return;
    }
    conn->state = CONNECTION_DRAINING;
    conn->close_reason = reason;
    conn->is_frame_held = false;
    list_remove(&conn->starved_node);
    connection_watch(conn, false);
    connection_defer(conn);
}

void connection_destroy(struct connection *conn)
{
    LIST_FOREACH_SAFE (node, next, &conn->requests) {
        request_free(container_of(node, struct request, node));
    }
    if (conn->receive_buffer != NULL) {
        receive_buffer_release(conn->server_loop, conn->receive_buffer);
    }
    if (conn->watch.fd >= 0) {
        conn->transport->close(conn->transport_state, conn->watch.fd);
    }
    list_remove(&conn->node);
    free(conn);
}

/* --- what handlers ask --- */

bool connection_is_open(const struct connection *conn)
{
    return conn->state == CONNECTION_OPEN;
}

struct loop *connection_loop(const struct connection *conn)
{
    return conn->server_loop->loop;
}

const char *connection_peer(const struct connection *conn)
{
    return conn->peer;
}

const char *connection_peer_host(const struct connection *conn)
{
    return conn->peer_host;
}

const char *connection_local_host(const struct connection *conn)
{
    return conn->local_host;
}

uint16_t connection_local_port(const struct connection *conn)
{
    return conn->local_port;
}

const char *connection_listener_name(const struct connection *conn)
{
    return conn->listener->name;
}

void connection_set_user(struct connection *conn, void *user)
{
    conn->user = user;
}

void *connection_user(const struct connection *conn)
{
    return conn->user;
}
