/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, limits, idle connections. */
#include <stdlib.h>
#include <string.h>

#include "net/connection_private.h"

enum {
    ACCEPT_COUNT_MAX = 16, /* per turn and listener: others want the loop too */
    ACCEPT_PAUSE_MS = 100, /* after the descriptors have run out */
    POOL_IDLE_COUNT_MAX = 64,
    POOL_LARGE_IDLE_COUNT_MAX = 8,
    REPORT_BURST = 5,          /* lines per second and loop */
    IDLE_CHECKS_PER_LIMIT = 8, /* so a connection is closed at most 1/8 of the limit late */
    RESOLVED_COUNT_MAX = 8,
    NS_PER_MS = 1000000,
};

/* --- the server --- */

enum error server_new(const struct server_limits *limits, struct diag *diag,
                      struct server **ret_server)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    server->limits = *limits;
    server->diag = diag;
    atomic_init(&server->connection_count, 0);
    atomic_init(&server->receive_memory, 0);
    arena_budget_init(&server->arenas,
                      limits->arena_memory_max > 0 ? limits->arena_memory_max : SIZE_MAX);
    /* Where the system puts it is random enough against chosen addresses. */
    address_counts_init(&server->addresses, (uint64_t)(uintptr_t)server);
    check(pthread_mutex_init(&server->lock, NULL) == 0);
    list_init(&server->loops);
    *ret_server = server;
    return E_OK;
}

static void free_listeners(struct server_loop *server_loop)
{
    struct list *node;
    while ((node = list_pop_front(&server_loop->listeners)) != NULL) {
        struct listener *listener = container_of(node, struct listener, node);
        if (listener->watch.fd >= 0) {
            socket_close(listener->watch.fd);
        }
        free(listener);
    }
}

static void free_connections(struct server_loop *server_loop)
{
    while (!list_is_empty(&server_loop->connections)) {
        struct connection *conn =
            container_of(server_loop->connections.next, struct connection, node);
        conn->handler->on_close(conn->handler, conn);
        connection_destroy(conn);
    }
}

static void free_pools(struct server_loop *server_loop)
{
    struct list *node;
    while ((node = list_pop_front(&server_loop->idle_requests)) != NULL) {
        struct request *req = container_of(node, struct request, node);
        arena_done(&req->arena);
        free(req);
    }
    if (server_loop->spare != NULL) {
        buf_unref(server_loop->spare->buf);
        free(server_loop->spare);
    }
    buf_unref(server_loop->scratch);
    buf_pool_free(server_loop->pool);
    buf_pool_free(server_loop->pool_large);
}

static void server_loop_free(struct server_loop *server_loop)
{
    free_connections(server_loop);
    free_listeners(server_loop);
    free_pools(server_loop);
    free(server_loop);
}

void server_free(struct server *server)
{
    struct list *node;
    if (server == NULL) {
        return;
    }
    while ((node = list_pop_front(&server->loops)) != NULL) {
        server_loop_free(container_of(node, struct server_loop, node));
    }
    address_counts_done(&server->addresses);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

uint32_t server_connection_count(const struct server *server)
{
    return atomic_load_explicit(&server->connection_count, memory_order_relaxed);
}

size_t server_receive_memory(const struct server *server)
{
    return atomic_load_explicit(&server->receive_memory, memory_order_relaxed);
}

void server_report(struct server_loop *server_loop, const struct connection *conn,
                   const char *reason)
{
    struct diag *diag = server_loop->server->diag;
    uint32_t suppressed;
    if (!diag_limit_allow(&server_loop->diag_limit, REPORT_BURST, loop_now_ns(server_loop->loop),
                          &suppressed)) {
        return;
    }
    if (suppressed > 0) {
        diag_warn(diag, "%u more connections were closed", (unsigned)suppressed);
    }
    diag_warn(diag, "connection from %s to listener %s closed: %s", connection_peer(conn),
              connection_listener_name(conn), reason);
}

/* --- idle connections --- */

static int64_t idle_max_ns(const struct server_loop *server_loop)
{
    return server_loop->server->limits.idle_max_ms * NS_PER_MS;
}

/* All connections are looked at, but at most IDLE_CHECKS_PER_LIMIT times per limit, and none of
 * their requests pays for it. */
static void on_idle_check(struct timer *timer)
{
    struct server_loop *server_loop = container_of(timer, struct server_loop, idle_timer);
    const int64_t now_ns = loop_now_ns(server_loop->loop);
    const int64_t limit_ns = idle_max_ns(server_loop);
    int64_t next_ns = INT64_MAX;
    LIST_FOREACH_SAFE (node, next, &server_loop->connections) {
        struct connection *conn = container_of(node, struct connection, node);
        const int64_t deadline_ns = (conn->request_count > 0 ? now_ns : conn->active_ns) + limit_ns;
        if (conn->state == CONNECTION_CLOSED) {
            continue;
        }
        if (deadline_ns <= now_ns) {
            connection_close(conn, NULL);
        } else if (deadline_ns < next_ns) {
            next_ns = deadline_ns;
        }
    }
    if (next_ns != INT64_MAX) {
        const int64_t earliest_ns = now_ns + limit_ns / IDLE_CHECKS_PER_LIMIT;
        timer_start(server_loop->loop, timer, next_ns > earliest_ns ? next_ns : earliest_ns);
    }
}

void server_connection_opened(struct connection *conn)
{
    struct server_loop *server_loop = conn->server_loop;
    list_push_back(&server_loop->connections, &conn->node);
    if (idle_max_ns(server_loop) > 0 && !server_loop->idle_timer.is_armed) {
        timer_start(server_loop->loop, &server_loop->idle_timer,
                    loop_now_ns(server_loop->loop) + idle_max_ns(server_loop));
    }
}

static void release_counts(struct server *server, const struct socket_address *peer)
{
    (void)atomic_fetch_sub(&server->connection_count, 1);
    address_counts_remove(&server->addresses, peer);
}

void server_connection_closed(struct connection *conn)
{
    release_counts(conn->server_loop->server, &conn->peer_address);
}

/* --- accepting --- */

/* Counted before it is looked at, so that loops which accept at once do not pass the limit. */
static bool reserve_counts(struct server *server, const struct socket_address *peer)
{
    if (atomic_fetch_add(&server->connection_count, 1) >= server->limits.connection_count_max ||
        address_counts_add(&server->addresses, peer, server->limits.connection_per_address_max) !=
            E_OK) {
        (void)atomic_fetch_sub(&server->connection_count, 1);
        return false;
    }
    return true;
}

static void report_refused(struct server_loop *server_loop, const struct listener *listener,
                           const struct socket_address *peer)
{
    char text[SOCKET_TEXT_SIZE];
    uint32_t suppressed;
    if (diag_limit_allow(&server_loop->diag_limit, REPORT_BURST, loop_now_ns(server_loop->loop),
                         &suppressed)) {
        socket_address_format(peer, text);
        diag_warn(server_loop->server->diag,
                  "connection from %s to listener %s refused: max.connections or "
                  "max.connections.per.ip is reached (%u more lines left out)",
                  text, listener->name, (unsigned)suppressed);
    }
}

static void admit(struct listener *listener, int fd, const struct socket_address *peer)
{
    struct server_loop *server_loop = listener->server_loop;
    if (!reserve_counts(server_loop->server, peer)) {
        report_refused(server_loop, listener, peer);
        socket_close(fd);
        return;
    }
    if (!connection_open(listener, fd, peer)) {
        release_counts(server_loop->server, peer);
    }
}

static void on_pause_end(struct timer *timer)
{
    struct listener *listener = container_of(timer, struct listener, pause_timer);
    struct loop *loop = listener->server_loop->loop;
    if (watch_change(loop, &listener->watch, WATCH_READ) != E_OK) {
        timer_start(loop, timer, loop_now_ns(loop) + (int64_t)ACCEPT_PAUSE_MS * NS_PER_MS);
    }
}

/* The next connection waits in the kernel's queue; without this the loop would spin. */
static void pause_accepting(struct listener *listener)
{
    struct server_loop *server_loop = listener->server_loop;
    struct loop *loop = server_loop->loop;
    uint32_t suppressed;
    if (watch_change(loop, &listener->watch, 0) != E_OK) {
        return; /* then the next turn tries again */
    }
    timer_start(loop, &listener->pause_timer,
                loop_now_ns(loop) + (int64_t)ACCEPT_PAUSE_MS * NS_PER_MS);
    if (diag_limit_allow(&server_loop->diag_limit, REPORT_BURST, loop_now_ns(loop), &suppressed)) {
        diag_warn(server_loop->server->diag,
                  "listener %s accepts nothing for %d ms: no file descriptors or memory left",
                  listener->name, ACCEPT_PAUSE_MS);
    }
}

static void on_acceptable(struct watch *watch, unsigned events)
{
    struct listener *listener = container_of(watch, struct listener, watch);
    (void)events;
    for (int i = 0; i < ACCEPT_COUNT_MAX; i++) {
        struct socket_address peer;
        int fd = -1;
        const enum error error = socket_accept(watch->fd, &fd, &peer);
        if (error == E_OK) {
            admit(listener, fd, &peer);
        } else if (error == E_LOCAL_TOO_MANY_FILES || error == E_LOCAL_NO_MEMORY) {
            pause_accepting(listener);
            return;
        } else if (error == E_LOCAL_WOULD_BLOCK) {
            return;
        } /* else: that one is gone before it was accepted */
    }
}

/* --- listening --- */

static void on_resume_starved(struct deferred *deferred)
{
    receive_resume_starved(container_of(deferred, struct server_loop, resume_starved));
}

static void on_starved_timer(struct timer *timer)
{
    receive_resume_starved(container_of(timer, struct server_loop, starved_timer));
}

static struct server_loop *server_loop_new(struct server *server, struct loop *loop)
{
    struct server_loop *server_loop = calloc(1, sizeof(*server_loop));
    if (server_loop == NULL) {
        return NULL;
    }
    server_loop->server = server;
    server_loop->loop = loop;
    list_init(&server_loop->listeners);
    list_init(&server_loop->connections);
    list_init(&server_loop->idle_requests);
    list_init(&server_loop->starved);
    deferred_init(&server_loop->resume_starved, on_resume_starved);
    timer_init(&server_loop->starved_timer, on_starved_timer);
    timer_init(&server_loop->idle_timer, on_idle_check);
    server_loop->pool = buf_pool_new(RECEIVE_SIZE, POOL_IDLE_COUNT_MAX);
    server_loop->pool_large = buf_pool_new(RECEIVE_SIZE_LARGE, POOL_LARGE_IDLE_COUNT_MAX);
    if (server_loop->pool == NULL || server_loop->pool_large == NULL) {
        server_loop_free(server_loop);
        return NULL;
    }
    return server_loop;
}

/* Locks: the server's, held. */
static struct server_loop *find_server_loop(const struct server *server, const struct loop *loop)
{
    LIST_FOREACH (node, &server->loops) {
        struct server_loop *server_loop = container_of(node, struct server_loop, node);
        if (server_loop->loop == loop) {
            return server_loop;
        }
    }
    return NULL;
}

/* The server's part on this loop, made with its first listener. NULL: no memory. */
static struct server_loop *get_server_loop(struct server *server, struct loop *loop)
{
    struct server_loop *server_loop;
    (void)pthread_mutex_lock(&server->lock);
    server_loop = find_server_loop(server, loop);
    if (server_loop == NULL) {
        server_loop = server_loop_new(server, loop);
        if (server_loop != NULL) {
            list_push_back(&server->loops, &server_loop->node);
        }
    }
    (void)pthread_mutex_unlock(&server->lock);
    return server_loop;
}

/* Opens the first of the host's addresses that can be listened on. */
static enum error open_listening_socket(const struct server_limits *limits,
                                        const struct listen_address *address, bool reuse_port,
                                        int *ret_fd, uint16_t *ret_port)
{
    const struct socket_options options = {
        .reuse_port = reuse_port,
        .receive_buffer_size = limits->receive_buffer_size,
        .send_buffer_size = limits->send_buffer_size,
        .backlog = limits->backlog,
    };
    struct socket_address resolved[RESOLVED_COUNT_MAX];
    struct socket_address bound;
    size_t count = 0;
    int fd = -1;
    enum error error =
        socket_resolve(address->host, address->port, resolved, RESOLVED_COUNT_MAX, &count);
    if (error != E_OK) {
        return error;
    }
    error = E_LOCAL_NOT_FOUND;
    for (size_t i = 0; i < count && error != E_OK; i++) {
        error = socket_listen(&resolved[i], &options, &fd);
    }
    if (error != E_OK) {
        return error;
    }
    error = socket_local_address(fd, &bound);
    if (error != E_OK) {
        socket_close(fd);
        return error;
    }
    *ret_fd = fd;
    *ret_port = bound.port;
    return E_OK;
}

static struct listener *listener_new(struct server_loop *server_loop, const char *name,
                                     struct server_handler *handler, int fd)
{
    const size_t name_size = strlen(name) + 1;
    struct listener *listener = calloc(1, sizeof(*listener) + name_size);
    if (listener == NULL) {
        return NULL;
    }
    memcpy(listener->name, name, name_size);
    list_init(&listener->node);
    listener->server_loop = server_loop;
    listener->handler = handler;
    listener->watch = (struct watch){.fd = fd, .events = WATCH_READ, .on_event = on_acceptable};
    timer_init(&listener->pause_timer, on_pause_end);
    return listener;
}

enum error server_listen(struct server *server, struct loop *loop,
                         const struct listen_address *address, bool reuse_port,
                         struct server_handler *handler, struct listener **ret_listener,
                         uint16_t *ret_port)
{
    struct server_loop *server_loop = get_server_loop(server, loop);
    struct listener *listener;
    uint16_t port = 0;
    int fd = -1;
    enum error error;
    if (server_loop == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    error = open_listening_socket(&server->limits, address, reuse_port, &fd, &port);
    if (error != E_OK) {
        return error;
    }
    listener = listener_new(server_loop, address->listener_name, handler, fd);
    error = listener == NULL ? E_LOCAL_NO_MEMORY : watch_add(loop, &listener->watch);
    if (error != E_OK) {
        socket_close(fd);
        free(listener);
        return error;
    }
    list_push_back(&server_loop->listeners, &listener->node);
    *ret_listener = listener;
    *ret_port = port;
    return E_OK;
}

void listener_close(struct listener *listener)
{
    struct loop *loop = listener->server_loop->loop;
    if (listener->watch.fd < 0) {
        return;
    }
    watch_remove(loop, &listener->watch);
    timer_stop(loop, &listener->pause_timer);
    socket_close(listener->watch.fd);
    listener->watch.fd = -1;
}

void server_close_connections(struct server *server, struct loop *loop)
{
    struct server_loop *server_loop;
    (void)pthread_mutex_lock(&server->lock);
    server_loop = find_server_loop(server, loop);
    (void)pthread_mutex_unlock(&server->lock);
    if (server_loop == NULL) {
        return;
    }
    LIST_FOREACH_SAFE (node, next, &server_loop->connections) {
        connection_close(container_of(node, struct connection, node), NULL);
    }
}
