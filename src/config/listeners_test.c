/* SPDX-License-Identifier: Apache-2.0 */
#include "config/listeners.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka needs the two above. */
#include <cmocka.h>

struct listener_case {
    const char *listeners;
    const char *advertised;
    const char *map;
    const char *inter_broker;
    const char *controller;
    const char *diagnosis; /* part of the first; NULL: accepted */
};

struct fixture {
    struct arena arena;
    struct settings *settings;
    struct diagnoses diagnoses;
    struct listeners listeners;
};

static size_t add(struct config_entry *entries, size_t count, const char *name, const char *value)
{
    if (value != NULL) {
        entries[count++] = (struct config_entry){slice_from_string(name), slice_from_string(value)};
    }
    return count;
}

static enum error parse(struct fixture *fixture, const struct listener_case *c)
{
    struct config_entry entries[5];
    size_t count = add(entries, 0, "listeners", c->listeners);
    count = add(entries, count, "advertised.listeners", c->advertised);
    count = add(entries, count, "listener.security.protocol.map", c->map);
    count = add(entries, count, "inter.broker.listener.name", c->inter_broker);
    count = add(entries, count, "controller.listener.names", c->controller);
    arena_init(&fixture->arena, 1 << 20);
    diagnoses_init(&fixture->diagnoses, &fixture->arena);
    assert_int_equal(settings_new(entries, count, &fixture->settings), E_OK);
    return listeners_parse(fixture->settings, &fixture->arena, &fixture->diagnoses,
                           &fixture->listeners);
}

static void done(struct fixture *fixture)
{
    settings_unref(fixture->settings);
    arena_done(&fixture->arena);
}

/* Proves that names, hosts of all kinds and ports are read, and controller listeners left out. */
static void test_accepted(void **state)
{
    (void)state;
    const struct listener_case c = {
        .listeners = "PLAINTEXT://:9092, inside://[::1]:9094 ,CONTROLLER://localhost:9093",
        .advertised = "PLAINTEXT://kafka.example.org:19092,INSIDE://10.0.0.1:9094",
        .map = "PLAINTEXT:PLAINTEXT,INSIDE:plaintext,CONTROLLER:SASL_SSL",
        .inter_broker = "INSIDE",
        .controller = "CONTROLLER",
    };
    struct fixture fixture;
    assert_int_equal(parse(&fixture, &c), E_OK);
    const struct listeners *listeners = &fixture.listeners;
    assert_int_equal(listeners->count, 2);
    assert_string_equal(listeners->items[0].name, "PLAINTEXT");
    assert_string_equal(listeners->items[0].host, "");
    assert_int_equal(listeners->items[0].port, 9092);
    assert_string_equal(listeners->items[1].name, "INSIDE");
    assert_string_equal(listeners->items[1].host, "::1");
    assert_int_equal(listeners->inter_broker, 1);
    assert_int_equal(listeners->advertised_count, 2);
    const struct listener_address *told =
        listeners_find(listeners->advertised, listeners->advertised_count, "plaintext");
    assert_non_null(told);
    assert_string_equal(told->host, "kafka.example.org");
    assert_int_equal(told->port, 19092);
    done(&fixture);
}

/* Proves that Kafka's default opens one listener and advertises nothing of its own. */
static void test_default(void **state)
{
    (void)state;
    const struct listener_case c = {.listeners = NULL};
    struct fixture fixture;
    assert_int_equal(parse(&fixture, &c), E_OK);
    assert_int_equal(fixture.listeners.count, 1);
    assert_int_equal(fixture.listeners.advertised_count, 0);
    done(&fixture);
}

/* Proves that each mistake is refused in words that name it. */
static void test_refused(void **state)
{
    (void)state;
    static const struct listener_case cases[] = {
        {.listeners = "9092", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT:/x:9092", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT://x", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT://x:", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT://x:65536", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT://x:-1", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT://::1:9092", .diagnosis = "NAME://host:port"},
        {.listeners = "://x:1", .diagnosis = "NAME://host:port"},
        {.listeners = "PLAINTEXT://x:1,PLAINTEXT://x:2", .diagnosis = "twice"},
        {.listeners = "PLAINTEXT://x:1,A://x:1",
         .map = "PLAINTEXT:PLAINTEXT,A:PLAINTEXT",
         .diagnosis = "same port 1"},
        {.listeners = "OUTSIDE://x:1", .diagnosis = "add OUTSIDE:PLAINTEXT"},
        {.listeners = "SSL://x:1", .diagnosis = "asks for SSL, which is not served"},
        {.listeners = "PLAINTEXT://x:1", .map = "PLAINTEXT", .diagnosis = "is not NAME:PROTOCOL"},
        {.listeners = "PLAINTEXT://x:1",
         .map = "PLAINTEXT:TLS",
         .diagnosis = "is not NAME:PROTOCOL"},
        {.listeners = "", .diagnosis = "there is none for clients"},
        {.listeners = "PLAINTEXT://x:1",
         .advertised = "OTHER://x:1",
         .diagnosis = "OTHER is not in listeners"},
        {.listeners = "PLAINTEXT://x:1",
         .advertised = "PLAINTEXT://0.0.0.0:1",
         .diagnosis = "that clients can reach"},
        {.listeners = "PLAINTEXT://x:1",
         .advertised = "PLAINTEXT://x:0",
         .diagnosis = "port from 1 to 65535"},
        {.listeners = "PLAINTEXT://x:1",
         .inter_broker = "NONE",
         .diagnosis = "inter.broker.listener.name: NONE is not in listeners"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        assert_int_equal(parse(&fixture, &cases[i]), E_INVALID_CONFIG);
        assert_true(fixture.diagnoses.error_count > 0);
        assert_non_null(strstr(fixture.diagnoses.head->text, cases[i].diagnosis));
        done(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
