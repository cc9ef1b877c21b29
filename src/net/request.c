/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: their pool, and how they end (C6). */
#include <stdlib.h>

#include "net/connection_private.h"

struct request *request_new(struct server_loop *server_loop)
{
    struct list *node = list_pop_front(&server_loop->idle_requests);
    struct request *req;
    if (node != NULL) {
        server_loop->idle_request_count--;
        return container_of(node, struct request, node);
    }
    req = calloc(1, sizeof(*req));
    if (req != NULL) {
        list_init(&req->node);
        arena_init_in_budget(&req->arena, REQUEST_ARENA_SIZE_MAX, &server_loop->server->arenas);
    }
    return req;
}

void request_free(struct request *req)
{
    struct connection *conn = req->conn;
    struct server_loop *server_loop = conn->server_loop;
    list_remove(&req->node);
    check(conn->request_count > 0);
    conn->request_count--;
    chain_clear(&req->response);
    if (req->receive_buffer != NULL) {
        receive_buffer_release(server_loop, req->receive_buffer);
        req->receive_buffer = NULL;
    }
    if (server_loop->idle_request_count >= REQUEST_IDLE_COUNT_MAX) {
        arena_done(&req->arena);
        free(req);
        return;
    }
    arena_clear(&req->arena);
    server_loop->idle_request_count++;
    list_push_front(&server_loop->idle_requests, &req->node);
}

bool request_may_wait(const struct request *req)
{
    const struct arena_budget *arenas = &req->conn->server_loop->server->arenas;
    return atomic_load_explicit(&arenas->used, memory_order_relaxed) <= arenas->size_max / 2;
}

static void request_end(struct request *req)
{
    struct connection *conn = req->conn;
    check(!req->is_answered);
    check(conn->unanswered_count > 0);
    req->is_answered = true;
    conn->unanswered_count--;
    if (!req->is_pipelinable) {
        conn->has_exclusive = false;
    }
    if (conn->state == CONNECTION_CLOSED) {
        request_free(req);
    } else {
        conn->output_size += req->response.size;
    }
    connection_defer(conn);
}

void request_respond(struct request *req)
{
    request_end(req);
}

void request_respond_nothing(struct request *req)
{
    chain_clear(&req->response);
    request_end(req);
}

void request_close(struct request *req, const char *reason)
{
    connection_close(req->conn, reason);
    request_respond_nothing(req);
}
