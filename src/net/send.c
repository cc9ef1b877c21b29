/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to bytes: one sendmsg for the memory of all answered requests that are next in order,
 * sendfile for file ranges, the bytes before them held back with MSG_MORE.
 */
#include "io/vfs.h"
#include "net/connection_private.h"

enum {
    GATHER_COUNT_MAX = 2 * PIPELINE_COUNT_MAX, /* pieces of one sendmsg: small answers have two */
    /* Below it a range is read into the scratch buffer and sent together with its neighbours.
     * Measured on loopback, CPU of the sender per range: 4 KiB 2.5-3.3 us against 3.3-3.8 for the
     * sendmsg and the sendfile that it saves; 8 to 16 KiB equal; sendfile wins from 32 KiB. */
    SEND_FILE_SIZE_MIN = 8 * 1024,
    NS_PER_MS = 1000000,
};

struct gathering {
    size_t count;
    size_t size;              /* bytes in pieces */
    size_t scratch_size;      /* bytes used */
    const struct piece *file; /* comes after the pieces, by sendfile; NULL: none */
    bool has_more;            /* comes after the pieces: more of them */
    struct iovec pieces[GATHER_COUNT_MAX];
};

static void gather_memory(struct gathering *gathering, const uint8_t *data, size_t size)
{
    /* iovec has no const; nothing is written through it. */
    gathering->pieces[gathering->count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    gathering->size += size;
}

/* false: not a small range, or it cannot be read; sendfile will say why. */
static bool gather_small_file(struct server_loop *server_loop, struct gathering *gathering,
                              const struct piece *piece)
{
    uint8_t *data;
    size_t size;
    if (piece->size >= SEND_FILE_SIZE_MIN || piece->size > SCRATCH_SIZE - gathering->scratch_size) {
        return false;
    }
    if (server_loop->scratch == NULL) {
        server_loop->scratch = buf_new(SCRATCH_SIZE);
        if (server_loop->scratch == NULL) {
            return false;
        }
    }
    data = server_loop->scratch->data + gathering->scratch_size;
    if (file_range_read(piece->fd, piece->position, data, piece->size, &size) != E_OK ||
        size < piece->size) {
        return false;
    }
    gathering->scratch_size += size;
    gather_memory(gathering, data, size);
    return true;
}

/* false: stopped at a file, or there is no room for more pieces. */
static bool gather_request(struct server_loop *server_loop, struct gathering *gathering,
                           const struct request *req)
{
    for (const struct piece *piece = req->response.head; piece != NULL; piece = piece->next) {
        if (gathering->count == GATHER_COUNT_MAX) {
            gathering->has_more = true;
            return false;
        }
        if (piece->kind == PIECE_MEMORY) {
            gather_memory(gathering, piece->data, piece->size);
        } else if (!gather_small_file(server_loop, gathering, piece)) {
            gathering->file = piece;
            return false;
        }
    }
    return true;
}

static void gather(struct connection *conn, struct gathering *gathering)
{
    gathering->count = 0;
    gathering->size = 0;
    gathering->scratch_size = 0;
    gathering->file = NULL;
    gathering->has_more = false;
    LIST_FOREACH (node, &conn->requests) {
        const struct request *req = container_of(node, struct request, node);
        if (!req->is_answered) {
            return;
        }
        if (gathering->count == GATHER_COUNT_MAX) {
            gathering->has_more = true;
            return;
        }
        if (!gather_request(conn->server_loop, gathering, req)) {
            return;
        }
    }
}

/* size bytes have been taken by the socket: drops them and the requests that end with them. */
static void consume(struct connection *conn, size_t size)
{
    while (!list_is_empty(&conn->requests)) {
        struct request *req = container_of(conn->requests.next, struct request, node);
        if (!req->is_answered) {
            break;
        }
        const size_t part = req->response.size < size ? req->response.size : size;
        chain_consume(&req->response, part);
        conn->output_size -= part;
        size -= part;
        if (req->response.size > 0) {
            break;
        }
        request_free(req);
    }
    check_cmp(size, ==, 0);
}

/* The socket is full, or the peer is gone. */
static void on_send_error(struct connection *conn, enum error error, const char *reason)
{
    if (error == E_LOCAL_WOULD_BLOCK) {
        conn->is_write_blocked = true;
    } else {
        connection_close(conn, error == E_LOCAL_CLOSED ? NULL : reason);
    }
}

/* false: no more can be sent now. */
static bool send_pieces(struct connection *conn, const struct gathering *gathering)
{
    const bool has_more = gathering->file != NULL || gathering->has_more;
    size_t size;
    const enum error error =
        conn->transport->send(conn->transport_state, conn->watch.fd, gathering->pieces,
                              gathering->count, has_more, &size);
    if (error != E_OK) {
        on_send_error(conn, error, "sending failed");
        return false;
    }
    consume(conn, size);
    conn->is_write_blocked = size < gathering->size;
    return !conn->is_write_blocked;
}

static bool send_file(struct connection *conn, const struct piece *file)
{
    const size_t wanted = file->size;
    size_t size;
    const enum error error = conn->transport->send_file(conn->transport_state, conn->watch.fd,
                                                        file->fd, file->position, wanted, &size);
    if (error != E_OK) {
        on_send_error(conn, error, "a file could not be sent");
        return false;
    }
    if (size == 0) {
        connection_close(conn, "a file is shorter than the range that was to be sent");
        return false;
    }
    consume(conn, size);
    conn->is_write_blocked = size < wanted;
    return !conn->is_write_blocked;
}

static void send_until_full(struct connection *conn)
{
    struct gathering gathering;
    do {
        gather(conn, &gathering);
        if (gathering.count > 0 && !send_pieces(conn, &gathering)) {
            return;
        }
        if (gathering.file != NULL && !send_file(conn, gathering.file)) {
            return;
        }
    } while (gathering.file != NULL || gathering.has_more);
    consume(conn, 0); /* requests without a response */
}

bool send_is_pending(const struct connection *conn)
{
    return !list_is_empty(&conn->requests) &&
           container_of(conn->requests.next, struct request, node)->is_answered;
}

void send_answered(struct connection *conn)
{
    struct loop *loop = conn->server_loop->loop;
    const bool was_watched = (conn->watch.events & WATCH_WRITE) != 0;
    const size_t before = conn->output_size;
    if (!send_is_pending(conn)) {
        return;
    }
    conn->is_write_blocked = false;
    send_until_full(conn);
    if (conn->state == CONNECTION_CLOSED) {
        return;
    }
    conn->active_ns = loop_now_ns(loop);
    if (conn->is_write_blocked && (!was_watched || conn->output_size < before)) {
        timer_start(loop, &conn->stall_timer,
                    loop_now_ns(loop) +
                        conn->server_loop->server->limits.write_stall_max_ms * NS_PER_MS);
    } else if (!conn->is_write_blocked && was_watched) {
        timer_stop(loop, &conn->stall_timer);
    }
    if (conn->is_write_blocked != was_watched) {
        connection_watch(conn, (conn->watch.events & WATCH_READ) != 0);
    }
}
