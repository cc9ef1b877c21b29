/* SPDX-License-Identifier: Apache-2.0 */

/* The contract of the store, run against each engine, and what only the embedded one promises. */

#include "metadata/store.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "metadata/embedded/embedded_store.h"
#include "metadata/simulated/simulated_store.h"

#include <cmocka.h>

struct fixture {
    bool is_embedded;
    char directory[64];
    struct manual_clock clock;
    struct rng rng;
    struct loop *loop;
    struct worker_pool *workers;
    struct store *store;
    struct arena arena;
    unsigned pending;
    char text[STORE_TEXT_SIZE];
};

static enum error open_embedded(struct fixture *f)
{
    const char *const directories[] = {f->directory};
    const struct embedded_store_options options = {
        .loop = f->loop,
        .workers = f->workers,
        .vfs = vfs_system(),
        .clock = &f->clock.clock,
        .rng = &f->rng,
        .directory = f->directory,
        .log_directories = directories,
        .log_directory_count = 1,
    };
    return embedded_store_open(&options, &f->store, f->text);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->is_embedded = *state != NULL;
    (void)snprintf(f->directory, sizeof(f->directory), "/tmp/ottla-store-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    manual_clock_init(&f->clock, 1000);
    rng_init(&f->rng, 1);
    arena_init(&f->arena, 64 * 1024 * 1024);
    assert_int_equal(loop_new(clock_system(), 0, &f->loop), E_OK);
    assert_int_equal(worker_pool_new(1, &f->workers), E_OK);
    if (f->is_embedded) {
        assert_int_equal(open_embedded(f), E_OK);
    } else {
        f->store = simulated_store_new(f->loop, &f->clock.clock);
    }
    *state = f;
    return 0;
}

/* In the fixture's directory. */
static void run_command(const struct fixture *f, const char *command)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "cd %s && { %s; }", f->directory, command);
    assert_int_equal(system(text), 0);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    worker_pool_free(f->workers);
    loop_free(f->loop);
    arena_done(&f->arena);
    run_command(f, "rm -rf $PWD");
    free(f);
    return 0;
}

/* The process ends and starts again. */
static void restart(struct fixture *f)
{
    if (f->is_embedded) {
        store_close(f->store);
        f->store = NULL;
        assert_int_equal(open_embedded(f), E_OK);
    } else {
        simulated_store_end_session(f->store);
    }
}

/* --- requests --- */

struct call {
    struct store_request request;
    struct fixture *f;
    unsigned order; /* of completion, from 1 */
};

static unsigned completed;

static void on_done(struct store_request *request)
{
    struct call *call = container_of(request, struct call, request);
    call->order = ++completed;
    call->f->pending--;
}

static void submit(struct fixture *f, struct call *call)
{
    call->f = f;
    call->order = 0;
    call->request.arena = &f->arena;
    call->request.on_done = on_done;
    f->pending++;
    store_submit(f->store, &call->request);
    assert_int_equal(call->order, 0); /* never from inside */
}

static void wait_all(struct fixture *f)
{
    while (f->pending > 0) {
        loop_turn(f->loop, 1000);
    }
}

static enum error multi(struct fixture *f, struct store_operation *ops, size_t count)
{
    struct call call = {
        .request = {.kind = STORE_MULTI, .operations = ops, .operation_count = count}};
    submit(f, &call);
    wait_all(f);
    return call.request.error;
}

static enum error one(struct fixture *f, struct store_operation op)
{
    return multi(f, &op, 1);
}

static enum error create(struct fixture *f, const char *path, const char *data, unsigned flags)
{
    return one(f, (struct store_operation){.kind = STORE_CREATE,
                                           .create_flags = flags,
                                           .path = slice_from_string(path),
                                           .data = slice_from_string(data)});
}

static enum error set(struct fixture *f, const char *path, const char *data, int32_t version)
{
    return one(f, (struct store_operation){.kind = STORE_SET,
                                           .path = slice_from_string(path),
                                           .data = slice_from_string(data),
                                           .version = version});
}

static enum error delete (struct fixture *f, const char *path, int32_t version) {
    return one(f, (struct store_operation){.kind = STORE_DELETE,
                                           .path = slice_from_string(path),
                                           .version = version});
}

static enum error get(struct fixture *f, const char *path, struct store_node *ret_node)
{
    struct call call = {.request = {.kind = STORE_GET, .path = slice_from_string(path)}};
    submit(f, &call);
    wait_all(f);
    *ret_node = call.request.node;
    return call.request.error;
}

static void assert_data(struct fixture *f, const char *path, const char *data)
{
    struct store_node node = {.data = SLICE_NULL};
    assert_int_equal(get(f, path, &node), E_OK);
    assert_int_equal(slice_is_null(node.data), data == NULL);
    assert_true(data == NULL || slice_equal_string(node.data, data));
}

/* --- tests --- */

/* Create, get, set and delete with versions, dates and ids as ZooKeeper keeps them. */
static void keeps_versions(void **state)
{
    struct fixture *f = *state;
    struct store_node node;
    assert_int_equal(create(f, "/a", "one", 0), E_OK);
    assert_int_equal(create(f, "/a", "one", 0), E_LOCAL_EXISTS);
    assert_int_equal(get(f, "/a", &node), E_OK);
    assert_true(slice_equal_string(node.data, "one"));
    assert_true(slice_equal_string(node.name, "a"));
    assert_int_equal(node.stat.version, 0);
    assert_int_equal(node.stat.created_ms, 1000);
    const int64_t created = node.stat.created_id;
    assert_int_equal(node.stat.modified_id, created);

    manual_clock_advance(&f->clock, 5);
    assert_int_equal(set(f, "/a", "two", 1), E_LOCAL_BAD_VERSION);
    assert_data(f, "/a", "one");
    assert_int_equal(set(f, "/a", "two", 0), E_OK);
    assert_int_equal(set(f, "/a", NULL, STORE_VERSION_ANY), E_OK);
    assert_int_equal(get(f, "/a", &node), E_OK);
    assert_true(slice_is_null(node.data));
    assert_int_equal(node.stat.version, 2);
    assert_int_equal(node.stat.created_id, created);
    assert_true(node.stat.modified_id > created);
    assert_int_equal(node.stat.modified_ms, 1005);

    assert_int_equal(delete (f, "/a", 1), E_LOCAL_BAD_VERSION);
    assert_int_equal(delete (f, "/a", 2), E_OK);
    assert_int_equal(delete (f, "/a", STORE_VERSION_ANY), E_LOCAL_NOT_FOUND);
    assert_int_equal(set(f, "/a", "x", STORE_VERSION_ANY), E_LOCAL_NOT_FOUND);
    assert_int_equal(get(f, "/a", &node), E_LOCAL_NOT_FOUND);
}

/* Parents must exist unless asked for, children keep a node alive, and lists are sorted by name and
 * hold direct children only. */
static void keeps_a_tree(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "/x/y", "1", 0), E_LOCAL_NOT_FOUND);
    assert_int_equal(create(f, "/x/y/c", "3", STORE_PARENTS), E_OK);
    assert_int_equal(create(f, "/x/y/a", "1", STORE_PARENTS), E_OK);
    assert_int_equal(create(f, "/x/y/b", NULL, 0), E_OK);
    assert_int_equal(create(f, "/x/y/a/deep", "no", 0), E_OK);
    assert_int_equal(create(f, "/x/y!", "no", 0), E_OK); /* sorts between /x/y and /x/y/ */
    assert_data(f, "/x", NULL);
    assert_int_equal(delete (f, "/x/y", STORE_VERSION_ANY), E_LOCAL_NOT_EMPTY);

    struct call call = {.request = {.kind = STORE_READ_CHILDREN, .path = SLICE("/x/y")}};
    submit(f, &call);
    wait_all(f);
    assert_int_equal(call.request.error, E_OK);
    assert_int_equal(call.request.node_count, 3);
    assert_true(slice_equal_string(call.request.nodes[0].name, "a"));
    assert_true(slice_equal_string(call.request.nodes[0].data, "1"));
    assert_true(slice_is_null(call.request.nodes[1].data));
    assert_true(slice_equal_string(call.request.nodes[2].name, "c"));

    struct call root = {.request = {.kind = STORE_CHILDREN, .path = SLICE("/")}};
    struct call none = {.request = {.kind = STORE_CHILDREN, .path = SLICE("/nope")}};
    submit(f, &root);
    submit(f, &none);
    wait_all(f);
    assert_int_equal(root.request.node_count, 1);
    assert_true(slice_equal_string(root.request.nodes[0].name, "x"));
    assert_int_equal(none.request.error, E_LOCAL_NOT_FOUND);
}

/* Ten digits that rise, also when earlier nodes are gone. */
static void numbers_sequential_nodes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "/s", NULL, 0), E_OK);
    struct store_operation ops[] = {
        {.kind = STORE_CREATE, .create_flags = STORE_SEQUENTIAL, .path = SLICE("/s/n_")},
        {.kind = STORE_CREATE, .create_flags = STORE_SEQUENTIAL, .path = SLICE("/s/n_")},
    };
    assert_int_equal(multi(f, ops, 2), E_OK);
    assert_true(slice_equal_string(ops[0].path_made, "/s/n_0000000000"));
    assert_true(slice_equal_string(ops[1].path_made, "/s/n_0000000001"));
    assert_int_equal(delete (f, "/s/n_0000000001", 0), E_OK);
    assert_int_equal(multi(f, ops, 1), E_OK);
    assert_true(slice_compare(ops[0].path_made, SLICE("/s/n_0000000001")) > 0);
}

/* A multi sees its own changes; when one operation fails, none stays and it is named. */
static void multi_is_atomic(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "/e", "1", 0), E_OK);
    assert_int_equal(create(f, "/old", "kept", 0), E_OK);
    struct store_operation ops[] = {
        {.kind = STORE_CHECK, .path = SLICE("/e"), .version = 0},
        {.kind = STORE_CREATE,
         .path = SLICE("/n/m"),
         .data = SLICE("x"),
         .create_flags = STORE_PARENTS},
        {.kind = STORE_SET, .path = SLICE("/n/m"), .data = SLICE("y"), .version = 0},
        {.kind = STORE_DELETE, .path = SLICE("/old"), .version = 0},
        {.kind = STORE_SET, .path = SLICE("/e"), .data = SLICE("2"), .version = 0},
        {.kind = STORE_CHECK, .path = SLICE("/e"), .version = 0},
    };
    struct call call = {.request = {.kind = STORE_MULTI, .operations = ops, .operation_count = 6}};
    submit(f, &call);
    wait_all(f);
    assert_int_equal(call.request.error, E_LOCAL_BAD_VERSION);
    assert_int_equal(call.request.failed, 5);
    assert_int_equal(ops[5].error, E_LOCAL_BAD_VERSION);
    struct store_node node;
    assert_int_equal(get(f, "/n", &node), E_LOCAL_NOT_FOUND);
    assert_data(f, "/old", "kept");
    assert_int_equal(get(f, "/e", &node), E_OK);
    assert_int_equal(node.stat.version, 0);

    assert_int_equal(multi(f, ops, 5), E_OK);
    assert_data(f, "/n/m", "y");
    assert_data(f, "/e", "2");
    assert_int_equal(get(f, "/old", &node), E_LOCAL_NOT_FOUND);
    assert_int_equal(multi(f, ops, 5), E_LOCAL_BAD_VERSION); /* fenced now */
}

/* Paths and data that cannot be are refused. */
static void refuses_bad_arguments(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"", "a", "/a/", "//", "/a//b", "a/b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(create(f, bad[i], "x", 0), E_LOCAL_MALFORMED);
    }
    assert_int_equal(delete (f, "/", STORE_VERSION_ANY), E_LOCAL_MALFORMED);
    char path[STORE_PATH_SIZE_MAX + 2];
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(create(f, path, "x", 0), E_LOCAL_LIMIT);
    path[sizeof(path) - 2] = '\0';
    assert_int_equal(create(f, path, "x", 0), E_OK);
    uint8_t *data = calloc(1, STORE_DATA_SIZE_MAX + 1);
    struct store_operation op = {.kind = STORE_CREATE,
                                 .path = SLICE("/big"),
                                 .data = slice_of(data, STORE_DATA_SIZE_MAX + 1)};
    assert_int_equal(multi(f, &op, 1), E_LOCAL_LIMIT);
    free(data);
    assert_int_equal(create(f, "/eph", "x", STORE_EPHEMERAL), E_OK);
    assert_int_equal(create(f, "/eph/child", "x", 0), E_LOCAL_MALFORMED);
}

struct test_watch {
    struct store_watch watch;
    unsigned fired;
    unsigned completed_before;
};

static void on_change(struct store_watch *watch)
{
    struct test_watch *test = container_of(watch, struct test_watch, watch);
    test->fired++;
    test->completed_before = completed;
}

/* A watch fires once, for data, birth, death or children of its node, and before the request that
 * sees the change completes. */
static void watches_fire_once(void **state)
{
    struct fixture *f = *state;
    struct test_watch born = {.watch = {.on_change = on_change}};
    struct test_watch children = {.watch = {.on_change = on_change}};
    struct test_watch other = {.watch = {.on_change = on_change}};
    struct call calls[] = {
        {.request = {.kind = STORE_GET, .path = SLICE("/w"), .watch = &born.watch}},
        {.request = {.kind = STORE_CHILDREN, .path = SLICE("/"), .watch = &children.watch}},
        {.request = {.kind = STORE_GET, .path = SLICE("/other"), .watch = &other.watch}},
    };
    struct store_operation op = {.kind = STORE_CREATE, .path = SLICE("/w")};
    struct call change = {
        .request = {.kind = STORE_MULTI, .operations = &op, .operation_count = 1}};
    for (size_t i = 0; i < 3; i++) {
        submit(f, &calls[i]);
    }
    submit(f, &change);
    wait_all(f);
    assert_int_equal(calls[0].request.error, E_LOCAL_NOT_FOUND);
    assert_int_equal(born.fired, 1);
    assert_int_equal(children.fired, 1);
    assert_int_equal(other.fired, 0);
    assert_int_equal(born.completed_before, change.order - 1);
    assert_int_equal(set(f, "/w", "x", 0), E_OK);
    assert_int_equal(born.fired, 1);

    submit(f, &calls[0]);
    wait_all(f);
    assert_int_equal(set(f, "/w", "y", 0), E_LOCAL_BAD_VERSION); /* nothing changed */
    assert_int_equal(born.fired, 1);
    assert_int_equal(delete (f, "/w", 1), E_OK);
    assert_int_equal(born.fired, 2);

    submit(f, &calls[0]);
    wait_all(f);
    store_watch_cancel(&born.watch);
    assert_int_equal(create(f, "/w", "x", 0), E_OK);
    assert_int_equal(born.fired, 2);
    store_watch_cancel(&children.watch);
    store_watch_cancel(&other.watch);
}

/* Requests complete in the order of submission, and each sees all before it. */
static void completes_in_order(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 200 };
    static struct call calls[2 * COUNT];
    static struct store_operation ops[COUNT];
    memset(calls, 0, sizeof(calls));
    assert_int_equal(create(f, "/c", "", 0), E_OK);
    for (int i = 0; i < COUNT; i++) {
        ops[i] = (struct store_operation){
            .kind = STORE_SET, .path = SLICE("/c"), .data = SLICE("d"), .version = i};
        calls[2 * i].request = (struct store_request){
            .kind = STORE_MULTI, .operations = &ops[i], .operation_count = 1};
        calls[2 * i + 1].request = (struct store_request){.kind = STORE_GET, .path = SLICE("/c")};
        submit(f, &calls[2 * i]);
        submit(f, &calls[2 * i + 1]);
        if (i % 50 == 49) {
            loop_turn(f->loop, 0);
        }
    }
    wait_all(f);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(calls[2 * i].request.error, E_OK);
        assert_int_equal(calls[2 * i + 1].order, calls[2 * i].order + 1);
        assert_int_equal(calls[2 * i + 1].request.node.stat.version, i + 1);
    }
}

/* The end of the session takes ephemeral nodes and nothing else; ids keep rising over it. */
static void ends_the_session(void **state)
{
    struct fixture *f = *state;
    struct store_node node;
    assert_int_equal(create(f, "/ids/1", "e", STORE_EPHEMERAL | STORE_PARENTS), E_OK);
    assert_int_equal(create(f, "/p", "p", 0), E_OK);
    assert_int_equal(get(f, "/ids/1", &node), E_OK);
    assert_true(node.stat.is_ephemeral);
    const int64_t epoch = node.stat.created_id;
    restart(f);
    assert_int_equal(get(f, "/ids/1", &node), E_LOCAL_NOT_FOUND);
    assert_data(f, "/p", "p");
    assert_int_equal(create(f, "/ids/1", "e", STORE_EPHEMERAL), E_OK);
    assert_int_equal(get(f, "/ids/1", &node), E_OK);
    assert_true(node.stat.created_id > epoch);
}

/* A batch that the disk refuses fails whole and changes nothing. */
static void simulated_failure(void **state)
{
    struct fixture *f = *state;
    simulated_store_fail(f->store, E_LOCAL_NO_SPACE, 1);
    assert_int_equal(create(f, "/a", "x", 0), E_LOCAL_NO_SPACE);
    assert_int_equal(create(f, "/a", "x", 0), E_OK);
}

/* --- embedded only --- */

/* More data than the first map holds: it grows, and nothing is lost. */
static void map_grows(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 7 * 1024 * 1024 };
    uint8_t *data = calloc(1, SIZE);
    for (int i = 0; i < 12; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/big%d", i);
        memset(data, i, SIZE);
        struct store_operation op = {
            .kind = STORE_CREATE, .path = slice_from_string(path), .data = slice_of(data, SIZE)};
        assert_int_equal(multi(f, &op, 1), E_OK);
    }
    free(data);
    restart(f);
    for (int i = 0; i < 12; i++) {
        char path[16];
        struct store_node node;
        (void)snprintf(path, sizeof(path), "/big%d", i);
        arena_clear(&f->arena);
        assert_int_equal(get(f, path, &node), E_OK);
        assert_int_equal(node.data.size, SIZE);
        assert_int_equal(node.data.data[SIZE - 1], i);
    }
}

/* A lost, emptied, swapped or doubly opened file is refused in words, never begun anew; without
 * markers (a directory of Kafka's) it is a new store. */
static void refuses_another_store(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "/a", "x", 0), E_OK);
    struct store *open = f->store;
    f->store = NULL;
    assert_int_equal(open_embedded(f), E_LOCAL_BUSY);
    store_close(open);

    run_command(f, "mv ottla.mdb backup");
    assert_int_equal(open_embedded(f), E_LOCAL_NOT_FOUND);
    assert_non_null(strstr(f->text, "lost"));
    run_command(f, "test ! -e ottla.mdb");
    run_command(f, "touch ottla.mdb");
    assert_int_equal(open_embedded(f), E_LOCAL_NOT_FOUND);
    run_command(f, "head -c 20000 /dev/zero | tr '\\0' x > ottla.mdb");
    assert_int_equal(open_embedded(f), E_LOCAL_CORRUPT);

    run_command(f, "cp ottla.metadata marker; rm ottla.metadata ottla.mdb");
    assert_int_equal(open_embedded(f), E_OK); /* as a directory written by Kafka */
    struct store_node node;
    assert_int_equal(get(f, "/a", &node), E_LOCAL_NOT_FOUND);
    store_close(f->store);
    f->store = NULL;
    run_command(f, "mv marker ottla.metadata");
    assert_int_equal(open_embedded(f), E_LOCAL_BAD_CONFIG);
    run_command(f, "mv backup ottla.mdb");
    assert_int_equal(open_embedded(f), E_OK);
    assert_data(f, "/a", "x");
}

static void write_until_killed(struct fixture *f, int fd)
{
    if (open_embedded(f) != E_OK) {
        _exit(1);
    }
    for (int i = 0;; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/k/%08d", i);
        if (create(f, path, path, STORE_PARENTS) != E_OK || write(fd, &i, sizeof(i)) != sizeof(i)) {
            _exit(1);
        }
    }
}

/* A process is killed while it commits; every operation that was answered is there afterwards, and
 * the next one at most. */
static void survives_kill(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    worker_pool_free(f->workers);
    f->workers = NULL;
    for (int round = 0; round < 3; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        run_command(f, "rm -f ottla.mdb ottla.metadata");
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (worker_pool_new(1, &f->workers) != E_OK) {
                _exit(1);
            }
            write_until_killed(f, fds[1]);
        }
        close(fds[1]);
        int answered = -1;
        int last = -1;
        while (answered < 20 + 7 * round && read(fds[0], &answered, sizeof(answered)) > 0) {
            last = answered;
        }
        usleep((useconds_t)(137 * round)); /* anywhere in a commit */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(fds[0], &answered, sizeof(answered)) > 0) {
            last = answered;
        }
        close(fds[0]);
        assert_true(last >= 20);

        assert_int_equal(worker_pool_new(1, &f->workers), E_OK);
        assert_int_equal(open_embedded(f), E_OK);
        struct call call = {.request = {.kind = STORE_READ_CHILDREN, .path = SLICE("/k")}};
        submit(f, &call);
        wait_all(f);
        assert_in_range(call.request.node_count, last + 1, last + 2);
        store_close(f->store);
        f->store = NULL;
        worker_pool_free(f->workers);
        f->workers = NULL;
    }
}

int main(void)
{
    static int embedded;
#define BOTH(test)                                                                                 \
    cmocka_unit_test_prestate_setup_teardown(test, set_up, tear_down, NULL),                       \
        cmocka_unit_test_prestate_setup_teardown(test, set_up, tear_down, &embedded)
    const struct CMUnitTest tests[] = {
        BOTH(keeps_versions),
        BOTH(keeps_a_tree),
        BOTH(numbers_sequential_nodes),
        BOTH(multi_is_atomic),
        BOTH(refuses_bad_arguments),
        BOTH(watches_fire_once),
        BOTH(completes_in_order),
        BOTH(ends_the_session),
        cmocka_unit_test_prestate_setup_teardown(simulated_failure, set_up, tear_down, NULL),
        cmocka_unit_test_prestate_setup_teardown(map_grows, set_up, tear_down, &embedded),
        cmocka_unit_test_prestate_setup_teardown(refuses_another_store, set_up, tear_down,
                                                 &embedded),
        cmocka_unit_test_prestate_setup_teardown(survives_kill, set_up, tear_down, &embedded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
