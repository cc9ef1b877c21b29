/* SPDX-License-Identifier: Apache-2.0 */
/* One server on two loops in two threads, with a listener each on one port: clients of both are
 * answered, the shared counts agree at the end. Meant for the thread sanitizer. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/connection.h"

#include <cmocka.h>

enum {
    LOOP_COUNT = 2,
    CLIENT_COUNT = 12,
    REQUEST_COUNT = 50, /* per client */
    REQUEST_SIZE = 6000,
};

static atomic_int open_count;
static atomic_int close_count;

static bool on_open(struct server_handler *handler, struct connection *conn)
{
    (void)handler;
    (void)conn;
    (void)atomic_fetch_add(&open_count, 1);
    return true;
}

static void on_close(struct server_handler *handler, struct connection *conn)
{
    (void)handler;
    (void)conn;
    (void)atomic_fetch_add(&close_count, 1);
}

static bool is_pipelinable(struct server_handler *handler, struct slice frame)
{
    (void)handler;
    (void)frame;
    return true;
}

static void on_request(struct server_handler *handler, struct request *req)
{
    (void)handler;
    uint8_t *size = arena_alloc(&req->arena, 4, 1);
    assert_true(loop_is_current(connection_loop(req->conn)));
    assert_non_null(size);
    be32_store(size, (uint32_t)req->frame.size);
    assert_true(chain_append_memory(&req->response, slice_of(size, 4), NULL));
    assert_true(chain_append_memory(&req->response, req->frame, NULL));
    request_respond(req);
}

/* A loop that closes its part of the server before it ends. */
struct shard {
    struct server *server;
    struct loop *loop;
    struct listener *listener;
    struct message stop;
    pthread_t thread;
};

static void on_stop(struct message *message)
{
    struct shard *shard = container_of(message, struct shard, stop);
    listener_close(shard->listener);
    server_close_connections(shard->server, shard->loop);
    loop_stop(shard->loop);
}

static void *shard_main(void *argument)
{
    struct shard *shard = argument;
    loop_run(shard->loop);
    return NULL;
}

static void *client_main(void *argument)
{
    const uint16_t port = *(const uint16_t *)argument;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    uint8_t frame[4 + REQUEST_SIZE] = {0};
    uint8_t back[4 + REQUEST_SIZE];
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    be32_store(frame, REQUEST_SIZE);
    for (int i = 0; i < REQUEST_COUNT; i++) {
        frame[4 + i] = (uint8_t)i;
        assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
        assert_int_equal(recv(fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
        assert_memory_equal(back, frame, sizeof(frame));
    }
    close(fd);
    return NULL;
}

static void test_two_loops(void **state)
{
    static const struct server_limits limits = {
        .frame_size_max = 1 << 20,
        .connection_count_max = 100,
        .connection_per_address_max = 100,
        .idle_max_ms = 600000,
        .write_stall_max_ms = 30000,
        .request_memory_max = 64 << 20,
        .receive_buffer_size = -1,
        .send_buffer_size = -1,
        .backlog = 64,
    };
    struct server_handler handler = {
        .on_open = on_open,
        .is_pipelinable = is_pipelinable,
        .on_request = on_request,
        .on_close = on_close,
    };
    struct listen_address address = {.listener_name = "PLAINTEXT", .host = "127.0.0.1"};
    struct diag diag = {.level_min = DIAG_ERROR, .fd = 2};
    struct shard shards[LOOP_COUNT];
    pthread_t clients[CLIENT_COUNT];
    struct server *server;
    (void)state;
    assert_int_equal(server_new(&limits, &diag, &server), E_OK);
    for (unsigned i = 0; i < LOOP_COUNT; i++) {
        shards[i] = (struct shard){.server = server, .stop.on_receive = on_stop};
        assert_int_equal(loop_new(clock_system(), i, &shards[i].loop), E_OK);
        assert_int_equal(server_listen(server, shards[i].loop, &address, true, &handler,
                                       &shards[i].listener, &address.port),
                         E_OK);
    }
    for (unsigned i = 0; i < LOOP_COUNT; i++) {
        assert_int_equal(pthread_create(&shards[i].thread, NULL, shard_main, &shards[i]), 0);
    }
    for (int i = 0; i < CLIENT_COUNT; i++) {
        assert_int_equal(pthread_create(&clients[i], NULL, client_main, &address.port), 0);
    }
    for (int i = 0; i < CLIENT_COUNT; i++) {
        assert_int_equal(pthread_join(clients[i], NULL), 0);
    }
    for (int i = 0; i < LOOP_COUNT; i++) {
        loop_post(shards[i].loop, &shards[i].stop);
        assert_int_equal(pthread_join(shards[i].thread, NULL), 0);
    }
    assert_int_equal(server_connection_count(server), 0);
    assert_int_equal(server_receive_memory(server), 0);
    assert_int_equal(atomic_load(&open_count), CLIENT_COUNT);
    assert_int_equal(atomic_load(&close_count), CLIENT_COUNT);
    server_free(server);
    for (int i = 0; i < LOOP_COUNT; i++) {
        loop_free(shards[i].loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
