/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server and real sockets on the loopback interface, both driven from one thread by loop_turn:
 * the invariants C1 to C6 of connection.h, and the limits.
 */
#include "net/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "io/vfs.h"
#include "net/connection_private.h"

#include <cmocka.h>

enum {
    PARKED_COUNT_MAX = 128,
    FRAME_SIZE_MAX = 4 * 1024 * 1024,
    TURN_COUNT_MAX = 20000,
};

/* What the handler does is said by a frame's first byte:
 *   e  echoes it now          P  parks it, pipelinable      Q  parks it
 *   n  answers nothing        c  closes                     d  echoes, then closes when sent
 *   f  answers with pieces of fixture.file */
struct fixture {
    struct server_handler handler;
    struct manual_clock clock;
    struct loop *loop;
    struct server *server;
    struct listener *listener;
    uint16_t port;
    struct diag diag;
    char diag_text[4096];
    struct connection *conn; /* the newest */
    int open_count;
    int close_count;
    int request_count;
    bool refuses;
    struct request *parked[PARKED_COUNT_MAX];
    size_t parked_count;
    struct file *file;
};

static void keep_line(void *context, enum diag_level level, const char *line)
{
    struct fixture *fixture = context;
    (void)level;
    (void)snprintf(fixture->diag_text + strlen(fixture->diag_text),
                   sizeof(fixture->diag_text) - strlen(fixture->diag_text), "%s\n", line);
}

/* --- the handler --- */

static bool on_open(struct server_handler *handler, struct connection *conn)
{
    struct fixture *fixture = container_of(handler, struct fixture, handler);
    fixture->conn = conn;
    connection_set_user(conn, fixture);
    if (fixture->refuses) {
        return false;
    }
    fixture->open_count++;
    return true;
}

static void on_close(struct server_handler *handler, struct connection *conn)
{
    struct fixture *fixture = container_of(handler, struct fixture, handler);
    assert_ptr_equal(connection_user(conn), fixture);
    assert_false(connection_is_open(conn));
    fixture->close_count++;
}

static bool is_pipelinable(struct server_handler *handler, struct slice frame)
{
    (void)handler;
    return frame.size > 0 && frame.data[0] == 'P';
}

/* What the protocol layer puts before every response. */
static void append_size(struct request *req, size_t size)
{
    uint8_t *field = arena_alloc(&req->arena, 4, 1);
    assert_non_null(field);
    be32_store(field, (uint32_t)size);
    assert_true(chain_append_memory(&req->response, slice_of(field, 4), NULL));
}

static void answer(struct request *req)
{
    append_size(req, req->frame.size);
    assert_true(chain_append_memory(&req->response, req->frame, NULL));
    request_respond(req);
}

/* Memory, a large range, memory, a small range, a large range: 300,000 bytes of the file. */
static void answer_with_file(struct fixture *fixture, struct request *req)
{
    struct file *file = fixture->file;
    append_size(req, 4 + 6 + 300000);
    assert_true(chain_append_memory(&req->response, SLICE("head"), NULL));
    assert_true(chain_append_file(&req->response, file->fd, 0, 200000, &file->shared));
    assert_true(chain_append_memory(&req->response, SLICE("middle"), NULL));
    assert_true(chain_append_file(&req->response, file->fd, 200000, 100, &file->shared));
    assert_true(chain_append_file(&req->response, file->fd, 200100, 99900, &file->shared));
    request_respond(req);
}

static void on_request(struct server_handler *handler, struct request *req)
{
    struct fixture *fixture = container_of(handler, struct fixture, handler);
    fixture->request_count++;
    assert_true(req->frame.data != NULL);
    switch (req->frame.size == 0 ? 'e' : req->frame.data[0]) {
    case 'P':
    case 'Q':
        assert_true(fixture->parked_count < PARKED_COUNT_MAX);
        fixture->parked[fixture->parked_count++] = req;
        break;
    case 'n':
        request_respond_nothing(req);
        break;
    case 'c':
        request_close(req, "asked for it");
        break;
    case 'd': {
        struct connection *conn = req->conn;
        answer(req);
        connection_close_after_responses(conn, "asked for it");
        break;
    }
    case 'f':
        answer_with_file(fixture, req);
        break;
    default:
        answer(req);
        break;
    }
}

/* --- set-up --- */

static const struct server_limits default_limits = {
    .frame_size_max = FRAME_SIZE_MAX,
    .connection_count_max = 100,
    .connection_per_address_max = 100,
    .idle_max_ms = 600000,
    .write_stall_max_ms = 30000,
    .request_memory_max = 64 * 1024 * 1024,
    .receive_buffer_size = -1,
    .send_buffer_size = -1,
    .backlog = 64,
};

static struct fixture *fixture_new(const struct server_limits *limits)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct listen_address address = {.listener_name = "PLAINTEXT", .host = "127.0.0.1"};
    assert_non_null(fixture);
    fixture->handler = (struct server_handler){
        .on_open = on_open,
        .is_pipelinable = is_pipelinable,
        .on_request = on_request,
        .on_close = on_close,
    };
    fixture->diag = (struct diag){.sink = keep_line, .sink_context = fixture};
    manual_clock_init(&fixture->clock, 0);
    assert_int_equal(loop_new(&fixture->clock.clock, 0, &fixture->loop), E_OK);
    assert_int_equal(server_new(limits, &fixture->diag, &fixture->server), E_OK);
    assert_int_equal(server_listen(fixture->server, fixture->loop, &address, false,
                                   &fixture->handler, &fixture->listener, &fixture->port),
                     E_OK);
    assert_true(fixture->port > 0);
    return fixture;
}

static void turns(struct fixture *fixture, int count)
{
    for (int i = 0; i < count; i++) {
        loop_turn(fixture->loop, 0);
    }
}

/* Everything is closed and given back. */
static void fixture_free(struct fixture *fixture)
{
    listener_close(fixture->listener);
    server_close_connections(fixture->server, fixture->loop);
    for (size_t i = 0; i < fixture->parked_count; i++) {
        assert_false(connection_is_open(fixture->parked[i]->conn));
        answer(fixture->parked[i]);
    }
    turns(fixture, 2);
    assert_int_equal(fixture->close_count, fixture->open_count);
    assert_int_equal(server_connection_count(fixture->server), 0);
    assert_int_equal(server_receive_memory(fixture->server), 0);
    server_free(fixture->server);
    loop_free(fixture->loop);
    file_unref(fixture->file);
    free(fixture);
}

/* --- the client --- */

static int client_open(struct fixture *fixture)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(fixture->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    turns(fixture, 2);
    return fd;
}

static void client_write(struct fixture *fixture, int fd, const void *data, size_t size)
{
    size_t done = 0;
    for (int i = 0; done < size; i++) {
        const ssize_t count =
            send(fd, (const char *)data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(count >= 0 || errno == EAGAIN);
        assert_true(i < TURN_COUNT_MAX);
        done += count > 0 ? (size_t)count : 0;
        if (done < size) {
            loop_turn(fixture->loop, 1);
        }
    }
}

static size_t put_frame(uint8_t *out, const void *data, size_t size)
{
    be32_store(out, (uint32_t)size);
    memcpy(out + 4, data, size);
    return 4 + size;
}

static void client_send(struct fixture *fixture, int fd, const void *data, size_t size)
{
    uint8_t *bytes = malloc(size + 4);
    assert_non_null(bytes);
    client_write(fixture, fd, bytes, put_frame(bytes, data, size));
    free(bytes);
}

static void client_read(struct fixture *fixture, int fd, void *data, size_t size)
{
    size_t done = 0;
    for (int i = 0; done < size; i++) {
        const ssize_t count = recv(fd, (char *)data + done, size - done, MSG_DONTWAIT);
        assert_true(count > 0 || (count < 0 && errno == EAGAIN));
        assert_true(i < TURN_COUNT_MAX);
        done += count > 0 ? (size_t)count : 0;
        if (done < size && count < 0) {
            loop_turn(fixture->loop, 1);
        }
    }
}

static void expect_frame(struct fixture *fixture, int fd, const void *data, size_t size)
{
    uint8_t *bytes = malloc(size + 4);
    assert_non_null(bytes);
    client_read(fixture, fd, bytes, 4);
    assert_int_equal(be32_load(bytes), size);
    client_read(fixture, fd, bytes, size);
    assert_memory_equal(bytes, data, size);
    free(bytes);
}

static bool has_bytes(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

/* The server has closed: what comes is the end (or a reset), not a byte. */
static void expect_closed(struct fixture *fixture, int fd)
{
    char byte;
    ssize_t count = -1;
    for (int i = 0; i < TURN_COUNT_MAX; i++) {
        loop_turn(fixture->loop, 1);
        count = recv(fd, &byte, 1, MSG_DONTWAIT);
        if (count >= 0 || errno != EAGAIN) {
            break;
        }
    }
    assert_true(count == 0 || (count < 0 && errno == ECONNRESET));
    close(fd);
}

static void wait_requests(struct fixture *fixture, int count)
{
    for (int i = 0; fixture->request_count < count; i++) {
        assert_true(i < TURN_COUNT_MAX);
        loop_turn(fixture->loop, 1);
    }
    assert_int_equal(fixture->request_count, count);
}

/* --- framing --- */

/* Two frames, cut at each byte, each part seen by a turn of its own. */
static void test_frames_split_at_each_byte(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    uint8_t bytes[64];
    size_t size = put_frame(bytes, "echo one", 8);
    (void)state;
    size += put_frame(bytes + size, "e2", 2);
    size += put_frame(bytes + size, "", 0);
    assert_string_equal(connection_peer_host(fixture->conn), "127.0.0.1");
    assert_string_equal(connection_local_host(fixture->conn), "127.0.0.1");
    assert_int_equal(connection_local_port(fixture->conn), fixture->port);
    assert_string_equal(connection_listener_name(fixture->conn), "PLAINTEXT");
    assert_memory_equal(connection_peer(fixture->conn), "127.0.0.1:", 10);
    for (size_t cut = 0; cut <= size; cut++) {
        client_write(fixture, fd, bytes, cut);
        turns(fixture, 3);
        client_write(fixture, fd, bytes + cut, size - cut);
        expect_frame(fixture, fd, "echo one", 8);
        expect_frame(fixture, fd, "e2", 2);
        expect_frame(fixture, fd, "", 0);
        assert_int_equal(server_receive_memory(fixture->server), 0); /* C3 */
    }
    close(fd);
    fixture_free(fixture);
}

/* Frames of all sizes around the buffers', several per write, come back as they were. */
static void test_frames_of_all_sizes(void **state)
{
    static const size_t sizes[] = {1,      100,    4095,   4096,           4097,    70000,
                                   262139, 262140, 262141, 3000,           262144,  524288,
                                   100000, 200000, 300000, FRAME_SIZE_MAX, 2097152, 2097149,
                                   5000,   150000, 150000, 150000,         1048676};
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    struct rng rng;
    (void)state;
    rng_init(&rng, 11);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *data = malloc(sizes[i]);
        assert_non_null(data);
        for (size_t at = 0; at < sizes[i]; at++) {
            data[at] = (uint8_t)rng_next(&rng);
        }
        data[0] = 'e';
        client_send(fixture, fd, data, sizes[i]);
        expect_frame(fixture, fd, data, sizes[i]);
        assert_int_equal(server_receive_memory(fixture->server), 0);
        free(data);
    }
    close(fd);
    fixture_free(fixture);
}

/* A stream of frames of random sizes, all parked, so that they share buffers and move on partial
 * frames; each still has its own bytes when it is answered. */
static void test_parked_frames_keep_their_bytes(void **state)
{
    enum {
        COUNT = 60,
        SIZE_MAX_EACH = 90000,
    };
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    uint8_t *stream = malloc((size_t)COUNT * (SIZE_MAX_EACH + 4));
    size_t sizes[COUNT];
    size_t size = 0;
    size_t at = 0;
    struct rng rng;
    (void)state;
    assert_non_null(stream);
    rng_init(&rng, 5);
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = 1 + rng_below(&rng, rng_below(&rng, 2) == 0 ? SIZE_MAX_EACH : 6000);
        be32_store(stream + size, (uint32_t)sizes[i]);
        memset(stream + size + 4, i + 1, sizes[i]);
        stream[size + 4] = 'P';
        size += 4 + sizes[i];
    }
    client_write(fixture, fd, stream, size);
    wait_requests(fixture, COUNT);
    for (int i = 0; i < COUNT; i++) {
        /* The log patches frames in place: all bytes of one are its own. */
        memset((uint8_t *)(uintptr_t)fixture->parked[i]->frame.data + 1, 100 + i, sizes[i] - 1);
    }
    for (int i = COUNT; i-- > 0;) { /* C1: answered in reverse, sent in order */
        assert_false(has_bytes(fd));
        answer(fixture->parked[i]);
        turns(fixture, 1);
    }
    fixture->parked_count = 0;
    for (int i = 0; i < COUNT; i++) {
        memset(stream + at + 5, 100 + i, sizes[i] - 1);
        expect_frame(fixture, fd, stream + at + 4, sizes[i]);
        at += 4 + sizes[i];
    }
    assert_int_equal(server_receive_memory(fixture->server), 0);
    free(stream);
    close(fd);
    fixture_free(fixture);
}

static void test_bad_sizes_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        const char *said;
    } cases[] = {
        {"\x80\0\0\0junk", "-2147483648 bytes"},
        {"\xff\xff\xff\xff", "of -1 bytes"},
        {"\x7f\xff\xff\xff", "2147483647 bytes, allowed are 4194304"},
        {"\x16\x03\x01\x02", "looks like TLS"},
        {"GET / HTTP/1.1\r\n\r\n", "looks like HTTP"},
        {"POST", "looks like HTTP"},
        {"\0\x40\0\x01", "4194305"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *fixture = fixture_new(&default_limits);
        const int fd = client_open(fixture);
        client_write(fixture, fd, cases[i].bytes, 4);
        expect_closed(fixture, fd);
        assert_non_null(strstr(fixture->diag_text, cases[i].said));
        assert_non_null(strstr(fixture->diag_text, "127.0.0.1:"));
        assert_int_equal(fixture->request_count, 0);
        fixture_free(fixture);
    }
}

/* --- order --- */

/* C2: 64 in flight, the 65th waits; a request of the other kind waits for all, and all wait for it.
 */
static void test_pipeline(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    uint8_t bytes[1024];
    size_t size = 0;
    (void)state;
    for (int i = 0; i < 70; i++) {
        const char frame[2] = {'P', (char)i};
        size += put_frame(bytes + size, frame, 2);
    }
    size += put_frame(bytes + size, "Q", 1);
    size += put_frame(bytes + size, "Plast", 5);
    client_write(fixture, fd, bytes, size);
    wait_requests(fixture, PIPELINE_COUNT_MAX);
    turns(fixture, 5);
    assert_int_equal(fixture->request_count, PIPELINE_COUNT_MAX);
    answer(
        fixture->parked[63]); /* not the head: nothing leaves, but nothing more may come either */
    turns(fixture, 5);
    assert_int_equal(fixture->request_count, PIPELINE_COUNT_MAX);
    for (int i = 0; i < 63; i++) {
        answer(fixture->parked[i]);
    }
    turns(fixture, 1);
    assert_int_equal(fixture->request_count, 70);
    for (int i = 64; i < 70; i++) {
        assert_int_equal(fixture->request_count, 70); /* Q waits for all of them */
        answer(fixture->parked[i]);
        turns(fixture, 1);
    }
    assert_int_equal(fixture->request_count, 71);
    turns(fixture, 5);
    assert_int_equal(fixture->request_count, 71); /* and Plast for Q */
    answer(fixture->parked[70]);
    turns(fixture, 1);
    assert_int_equal(fixture->request_count, 72);
    answer(fixture->parked[71]);
    fixture->parked_count = 0;
    for (int i = 0; i < 70; i++) {
        const char frame[2] = {'P', (char)i};
        expect_frame(fixture, fd, frame, 2);
    }
    expect_frame(fixture, fd, "Q", 1);
    expect_frame(fixture, fd, "Plast", 5);
    close(fd);
    fixture_free(fixture);
}

/* Requests that are answered at once: all frames of one write are answered in one turn, in order,
 * those without an answer are left out. */
static void test_many_answered_in_one_turn(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    uint8_t bytes[4096];
    size_t size = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        const char frame[2] = {i % 3 == 0 ? 'n' : 'e', (char)i};
        size += put_frame(bytes + size, frame, 2);
    }
    client_write(fixture, fd, bytes, size);
    turns(fixture, 1);
    assert_int_equal(fixture->request_count, 200);
    for (int i = 0; i < 200; i++) {
        const char frame[2] = {'e', (char)i};
        if (i % 3 != 0) {
            expect_frame(fixture, fd, frame, 2);
        }
    }
    assert_false(has_bytes(fd));
    close(fd);
    fixture_free(fixture);
}

/* --- closing --- */

/* C5: closed by the peer while requests are in flight: on_close waits for their answers. */
static void test_close_with_requests_in_flight(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    (void)state;
    client_send(fixture, fd, "P1", 2);
    client_send(fixture, fd, "P2", 2);
    wait_requests(fixture, 2);
    assert_true(connection_is_open(fixture->conn));
    close(fd);
    turns(fixture, 3);
    assert_false(connection_is_open(fixture->conn));
    assert_int_equal(server_connection_count(fixture->server), 0);
    assert_int_equal(fixture->close_count, 0);
    answer(fixture->parked[1]);
    turns(fixture, 1);
    assert_int_equal(fixture->close_count, 0);
    request_respond_nothing(fixture->parked[0]);
    fixture->parked_count = 0;
    turns(fixture, 1);
    assert_int_equal(fixture->close_count, 1);
    assert_string_equal(fixture->diag_text, ""); /* an end by the peer is no news */
    fixture_free(fixture);
}

/* acks=0: what was sent before the end arrives, also what C2 holds back; answers of the same turn
 * still leave. */
static void test_half_closed_peer(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    int fd = client_open(fixture);
    uint8_t bytes[4096];
    size_t size = 0;
    (void)state;
    for (int i = 0; i < 150; i++) {
        size += put_frame(bytes + size, i == 10 ? "Q" : "n", 1);
    }
    client_write(fixture, fd, bytes, size);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    wait_requests(fixture, 11);
    turns(fixture, 5);
    assert_int_equal(fixture->close_count, 0);
    answer(fixture->parked[0]);
    fixture->parked_count = 0;
    wait_requests(fixture, 150);
    expect_frame(fixture, fd, "Q", 1);
    expect_closed(fixture, fd);

    fd = client_open(fixture);
    client_send(fixture, fd, "echo", 4);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect_frame(fixture, fd, "echo", 4);
    expect_closed(fixture, fd);
    fixture_free(fixture);
}

static void test_closing_by_the_handler(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    uint8_t bytes[64];
    size_t size;
    int fd = client_open(fixture);
    (void)state;
    size = put_frame(bytes, "e1", 2);
    size += put_frame(bytes + size, "d2", 2);
    size += put_frame(bytes + size, "e3", 2);
    client_write(fixture, fd, bytes, size);
    turns(fixture, 3);
    assert_int_equal(fixture->request_count, 2); /* nothing after the decision to close */
    expect_frame(fixture, fd, "e1", 2);
    expect_frame(fixture, fd, "d2", 2);
    expect_closed(fixture, fd);
    assert_non_null(strstr(fixture->diag_text, "PLAINTEXT closed: asked for it"));
    assert_int_equal(fixture->close_count, 1);

    fd = client_open(fixture);
    client_send(fixture, fd, "c", 1);
    expect_closed(fixture, fd);
    assert_int_equal(fixture->close_count, 2);

    fixture->refuses = true;
    fd = client_open(fixture);
    expect_closed(fixture, fd);
    assert_int_equal(server_connection_count(fixture->server), 0);
    fixture_free(fixture);
}

/* --- large answers --- */

static struct file *make_file(uint8_t *content, size_t size)
{
    struct vfs *vfs = vfs_system();
    char path[] = "/tmp/connection_test.XXXXXX";
    const struct iovec piece = {.iov_base = content, .iov_len = size};
    struct file *file = NULL;
    size_t written;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(vfs->open(vfs, path, FILE_WRITE, &file), E_OK);
    assert_int_equal(vfs->unlink(vfs, path), E_OK);
    assert_int_equal(vfs->write(file, 0, &piece, 1, &written), E_OK);
    return file;
}

/* Ranges of a file between memory arrive byte for byte, through a small socket buffer too. */
static void test_file_pieces(void **state)
{
    enum {
        SIZE = 300000,
        COUNT = 4,
    };
    static uint8_t content[SIZE];
    static uint8_t expected[SIZE + 10];
    struct server_limits limits = default_limits;
    struct rng rng;
    (void)state;
    rng_init(&rng, 3);
    for (size_t i = 0; i < SIZE; i++) {
        content[i] = (uint8_t)rng_next(&rng);
    }
    memcpy(expected, "head", 4);
    memcpy(expected + 4, content, 200000);
    memcpy(expected + 200004, "middle", 6);
    memcpy(expected + 200010, content + 200000, 100000);
    for (int pass = 0; pass < 2; pass++) {
        struct fixture *fixture;
        int fd;
        limits.send_buffer_size = pass == 0 ? -1 : 8192;
        fixture = fixture_new(&limits);
        fixture->file = make_file(content, SIZE);
        fd = client_open(fixture);
        for (int i = 0; i < COUNT; i++) {
            client_send(fixture, fd, "f", 1);
        }
        for (int i = 0; i < COUNT; i++) {
            expect_frame(fixture, fd, expected, sizeof(expected));
        }
        close(fd);
        fixture_free(fixture);
    }
}

/* A file that is shorter than the answer promised cannot be mended: the connection is closed. */
static void test_short_file_closes(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    static uint8_t content[300000];
    const int fd = client_open(fixture);
    char *drain = malloc(400000);
    (void)state;
    assert_non_null(drain);
    fixture->file = make_file(content, sizeof(content));
    assert_int_equal(fixture->file->vfs->truncate(fixture->file, 150000), E_OK);
    client_send(fixture, fd, "f", 1);
    client_read(fixture, fd, drain, 4 + 4 + 150000);
    expect_closed(fixture, fd);
    assert_non_null(strstr(fixture->diag_text, "shorter"));
    free(drain);
    fixture_free(fixture);
}

/* A peer that reads nothing: its further requests wait, and after the limit it is closed; one that
 * reads slowly is not. */
static void test_slow_reader(void **state)
{
    struct server_limits limits = default_limits;
    struct fixture *fixture;
    static uint8_t content[300000];
    static uint8_t some[200000];
    int fd;
    int delivered;
    (void)state;
    limits.send_buffer_size = 65536;
    fixture = fixture_new(&limits);
    fixture->file = make_file(content, sizeof(content));
    fd = client_open(fixture);
    for (int i = 0; i < 100; i++) {
        client_send(fixture, fd, "f", 1);
    }
    turns(fixture, 200);
    delivered = fixture->request_count;
    assert_true(delivered < 100);
    for (int i = 0; i < 4; i++) { /* progress within the limit */
        manual_clock_advance(&fixture->clock, 20000);
        turns(fixture, 3);
        client_read(fixture, fd, some, sizeof(some));
        for (int t = 0; t < 20; t++) {
            loop_turn(fixture->loop, 1);
        }
    }
    assert_int_equal(fixture->close_count, 0);
    manual_clock_advance(&fixture->clock, 30001);
    turns(fixture, 3);
    assert_int_equal(fixture->close_count, 1);
    assert_non_null(strstr(fixture->diag_text, "taken nothing"));
    close(fd);
    fixture_free(fixture);
}

/* --- limits --- */

static void test_idle_connections_are_closed(void **state)
{
    struct server_limits limits = default_limits;
    struct fixture *fixture;
    int fds[3];
    (void)state;
    limits.idle_max_ms = 1000;
    fixture = fixture_new(&limits);
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(fixture);
    }
    client_send(fixture, fds[2], "Q", 1); /* waits for its answer: not idle */
    wait_requests(fixture, 1);
    manual_clock_advance(&fixture->clock, 900);
    client_send(fixture, fds[1], "e", 1);
    expect_frame(fixture, fds[1], "e", 1);
    assert_int_equal(fixture->close_count, 0);
    manual_clock_advance(&fixture->clock, 101);
    turns(fixture, 2);
    assert_int_equal(fixture->close_count, 1);
    expect_closed(fixture, fds[0]);
    manual_clock_advance(&fixture->clock, 950);
    turns(fixture, 2);
    expect_closed(fixture, fds[1]);
    manual_clock_advance(&fixture->clock, 5000);
    turns(fixture, 2);
    assert_int_equal(fixture->close_count, 2);
    close(fds[2]);
    fixture_free(fixture);
}

static void test_connection_limits(void **state)
{
    struct server_limits limits = default_limits;
    struct fixture *fixture;
    int fds[3];
    (void)state;
    limits.connection_per_address_max = 2;
    fixture = fixture_new(&limits);
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(fixture);
    }
    assert_int_equal(server_connection_count(fixture->server), 2);
    expect_closed(fixture, fds[2]);
    assert_non_null(strstr(fixture->diag_text, "refused"));
    close(fds[0]);
    turns(fixture, 3);
    fds[0] = client_open(fixture); /* there is room again */
    client_send(fixture, fds[0], "e", 1);
    expect_frame(fixture, fds[0], "e", 1);
    close(fds[0]);
    close(fds[1]);
    fixture_free(fixture);

    limits = default_limits;
    limits.connection_count_max = 1;
    fixture = fixture_new(&limits);
    fds[0] = client_open(fixture);
    fds[1] = client_open(fixture);
    expect_closed(fixture, fds[1]);
    close(fds[0]);
    fixture_free(fixture);
}

/* Requests that are not answered hold receive memory up to the limit; other connections are then
 * not read, and go on when memory comes back. */
static void test_request_memory(void **state)
{
    enum {
        CLIENT_COUNT = 8,
        SIZE = 100000,
    };
    static uint8_t frame[SIZE];
    struct server_limits limits = default_limits;
    struct fixture *fixture;
    int fds[CLIENT_COUNT];
    (void)state;
    memset(frame, 'Q', sizeof(frame));
    limits.request_memory_max = (size_t)4 * RECEIVE_SIZE;
    fixture = fixture_new(&limits);
    for (int i = 0; i < CLIENT_COUNT; i++) {
        fds[i] = client_open(fixture);
        client_send(fixture, fds[i], frame, sizeof(frame));
    }
    turns(fixture, 50);
    assert_int_equal(fixture->request_count, 2); /* new frames: half the limit */
    assert_true(server_receive_memory(fixture->server) <= limits.request_memory_max);
    for (int answered = 0; answered < CLIENT_COUNT; answered++) {
        wait_requests(fixture, answered + 2 < CLIENT_COUNT ? answered + 2 : CLIENT_COUNT);
        answer(fixture->parked[answered]);
        turns(fixture, 3);
    }
    fixture->parked_count = 0;
    for (int i = 0; i < CLIENT_COUNT; i++) {
        expect_frame(fixture, fds[i], frame, sizeof(frame));
        close(fds[i]);
    }
    turns(fixture, 3);
    assert_int_equal(server_receive_memory(fixture->server), 0);
    fixture_free(fixture);
}

/* Frames that have begun and all wait for more memory do not wait for ever. */
static void test_starved_frames_are_closed(void **state)
{
    enum {
        CLIENT_COUNT = 4,
        SIZE = 3 * 1024 * 1024,
    };
    struct server_limits limits = default_limits;
    struct fixture *fixture;
    uint8_t *begin = malloc(SIZE);
    int fds[CLIENT_COUNT];
    (void)state;
    assert_non_null(begin);
    memset(begin, 0, SIZE);
    be32_store(begin, SIZE - 4);
    begin[4] = 'e';
    limits.request_memory_max = (size_t)8 * RECEIVE_SIZE;
    fixture = fixture_new(&limits);
    for (int i = 0; i < CLIENT_COUNT; i++) {
        fds[i] = client_open(fixture);
    }
    for (int i = 0; i < CLIENT_COUNT * 20; i++) { /* as much as the kernel takes */
        (void)send(fds[i % CLIENT_COUNT], begin + (i < CLIENT_COUNT ? 0 : 4), 100000, MSG_DONTWAIT);
        loop_turn(fixture->loop, 0);
    }
    for (int i = 0; i < 20; i++) {
        loop_turn(fixture->loop, 1);
        manual_clock_advance(&fixture->clock, 10);
    }
    assert_int_equal(fixture->close_count, 0);
    for (int i = 0; i < 10; i++) {
        manual_clock_advance(&fixture->clock, 10000);
        loop_turn(fixture->loop, 1);
        loop_turn(fixture->loop, 1);
    }
    assert_true(fixture->close_count > 0);
    assert_true(fixture->close_count < CLIENT_COUNT);
    assert_non_null(strstr(fixture->diag_text, "no memory was left"));
    for (int i = 0; i < CLIENT_COUNT; i++) {
        close(fds[i]);
    }
    free(begin);
    fixture_free(fixture);
}

/* A few bytes of a frame on each of many connections hold all memory for new frames; those that
 * send no more are closed then, so that others are served. */
static void test_stalled_frames_make_way(void **state)
{
    enum { CLIENT_COUNT = 2 };
    struct server_limits limits = default_limits;
    struct fixture *fixture;
    int fds[CLIENT_COUNT + 1];
    (void)state;
    limits.request_memory_max = (size_t)2 * CLIENT_COUNT * RECEIVE_SIZE;
    fixture = fixture_new(&limits);
    for (int i = 0; i < CLIENT_COUNT; i++) {
        fds[i] = client_open(fixture);
        assert_int_equal(send(fds[i], "\0", 1, 0), 1);
    }
    turns(fixture, 5);
    assert_int_equal(server_receive_memory(fixture->server), CLIENT_COUNT * RECEIVE_SIZE);
    fds[CLIENT_COUNT] = client_open(fixture);
    client_send(fixture, fds[CLIENT_COUNT], "e", 1);
    turns(fixture, 5);
    assert_int_equal(fixture->request_count, 0);
    for (int i = 0; i < 12; i++) {
        manual_clock_advance(&fixture->clock, 1000);
        loop_turn(fixture->loop, 1);
        loop_turn(fixture->loop, 1);
    }
    assert_int_equal(fixture->close_count, CLIENT_COUNT);
    assert_non_null(strstr(fixture->diag_text, "it sends no more of its request"));
    expect_frame(fixture, fds[CLIENT_COUNT], "e", 1);
    for (int i = 0; i <= CLIENT_COUNT; i++) {
        close(fds[i]);
    }
    fixture_free(fixture);
}

/* Requests that hold half of the memory of arenas are not to wait any longer. */
static void test_may_wait_while_memory_is_left(void **state)
{
    struct server_limits limits = default_limits;
    (void)state;
    limits.arena_memory_max = 256 * 1024;
    struct fixture *fixture = fixture_new(&limits);
    const int fd = client_open(fixture);
    client_send(fixture, fd, "Q", 1);
    wait_requests(fixture, 1);
    struct request *req = fixture->parked[0];
    assert_true(request_may_wait(req));
    assert_non_null(arena_alloc(&req->arena, 160 * 1024, 1));
    assert_false(request_may_wait(req));
    assert_null(arena_alloc(&req->arena, 160 * 1024, 1));
    answer(req);
    fixture->parked_count = 0;
    expect_frame(fixture, fd, "Q", 1);
    client_send(fixture, fd, "Q", 1);
    wait_requests(fixture, 2);
    assert_true(request_may_wait(fixture->parked[0])); /* it was given back */
    answer(fixture->parked[0]);
    fixture->parked_count = 0;
    close(fd);
    fixture_free(fixture);
}

/* A claim takes no memory (C4): 1 MiB claimed, some bytes sent, one buffer of the pool's size. */
static void test_claimed_size_takes_no_memory(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    uint8_t begin[100] = {0};
    (void)state;
    be32_store(begin, FRAME_SIZE_MAX);
    client_write(fixture, fd, begin, sizeof(begin));
    turns(fixture, 5);
    assert_int_equal(server_receive_memory(fixture->server), RECEIVE_SIZE);
    close(fd);
    turns(fixture, 5);
    assert_int_equal(server_receive_memory(fixture->server), 0);
    assert_int_equal(fixture->close_count, 1);
    fixture_free(fixture);
}

/* Without descriptors accepting pauses, and goes on by itself when there are some again. */
static void test_accept_pauses_without_descriptors(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    const int fd = client_open(fixture);
    struct rlimit before;
    struct rlimit none;
    int waiting;
    (void)state;
    waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(waiting >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    {
        struct sockaddr_in address = {
            .sin_family = AF_INET,
            .sin_port = htons(fixture->port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        assert_int_equal(connect(waiting, (struct sockaddr *)&address, sizeof(address)), 0);
    }
    turns(fixture, 10);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fixture->open_count, 1);
    assert_non_null(strstr(fixture->diag_text, "accepts nothing for 100 ms"));
    turns(fixture, 10);
    assert_int_equal(fixture->open_count, 1); /* paused, not spinning */
    manual_clock_advance(&fixture->clock, 101);
    turns(fixture, 3);
    assert_int_equal(fixture->open_count, 2);
    close(fd);
    close(waiting);
    fixture_free(fixture);
}

static void test_listen_errors(void **state)
{
    struct fixture *fixture = fixture_new(&default_limits);
    struct listener *listener = NULL;
    struct listen_address address = {
        .listener_name = "X", .host = "127.0.0.1", .port = fixture->port};
    uint16_t port = 0;
    (void)state;
    assert_int_equal(server_listen(fixture->server, fixture->loop, &address, false,
                                   &fixture->handler, &listener, &port),
                     E_LOCAL_ADDRESS_IN_USE);
    address = (struct listen_address){.listener_name = "X", .host = "192.0.2.1"};
    assert_int_equal(server_listen(fixture->server, fixture->loop, &address, false,
                                   &fixture->handler, &listener, &port),
                     E_LOCAL_NOT_FOUND);
    address = (struct listen_address){.listener_name = "X", .host = ""};
    assert_int_equal(server_listen(fixture->server, fixture->loop, &address, false,
                                   &fixture->handler, &listener, &port),
                     E_OK);
    assert_true(port > 0);
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_split_at_each_byte),
        cmocka_unit_test(test_frames_of_all_sizes),
        cmocka_unit_test(test_parked_frames_keep_their_bytes),
        cmocka_unit_test(test_bad_sizes_are_refused),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_many_answered_in_one_turn),
        cmocka_unit_test(test_close_with_requests_in_flight),
        cmocka_unit_test(test_half_closed_peer),
        cmocka_unit_test(test_closing_by_the_handler),
        cmocka_unit_test(test_file_pieces),
        cmocka_unit_test(test_short_file_closes),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_idle_connections_are_closed),
        cmocka_unit_test(test_connection_limits),
        cmocka_unit_test(test_request_memory),
        cmocka_unit_test(test_starved_frames_are_closed),
        cmocka_unit_test(test_stalled_frames_make_way),
        cmocka_unit_test(test_may_wait_while_memory_is_left),
        cmocka_unit_test(test_claimed_size_takes_no_memory),
        cmocka_unit_test(test_accept_pauses_without_descriptors),
        cmocka_unit_test(test_listen_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
