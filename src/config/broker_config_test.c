/* SPDX-License-Identifier: Apache-2.0 */
#include "config/broker_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka needs the first two. */
#include <cmocka.h>

struct fixture {
    struct arena arena;
    struct diagnoses diagnoses;
    struct broker_settings *settings; /* NULL: refused */
};

static enum error load(struct fixture *fixture, const char *file, const char *const *overrides,
                       size_t override_count)
{
    const struct broker_config_input input = {
        .file_name = file != NULL ? "server.properties" : NULL,
        .file = slice_from_string(file),
        .overrides = overrides,
        .override_count = override_count,
        .default_log_dir = "./data",
    };
    arena_init(&fixture->arena, 1 << 20);
    diagnoses_init(&fixture->diagnoses, &fixture->arena);
    fixture->settings = NULL;
    return broker_config_load(&input, &fixture->diagnoses, &fixture->settings);
}

static void done(struct fixture *fixture)
{
    broker_settings_free(fixture->settings);
    arena_done(&fixture->arena);
}

static bool says(const struct fixture *fixture, enum diagnosis_severity severity, const char *part)
{
    for (const struct diagnosis *d = fixture->diagnoses.head; d != NULL; d = d->next) {
        if (d->severity == severity && strstr(d->text, part) != NULL) {
            return true;
        }
    }
    return false;
}

/* Proves that a broker without a file starts on this machine only, in the caller's directory. */
static void test_no_file(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(load(&fixture, NULL, NULL, 0), E_OK);
    const struct broker_settings *settings = fixture.settings;
    assert_null(fixture.diagnoses.head);
    assert_int_equal(settings->listeners.count, 1);
    assert_string_equal(settings->listeners.items[0].host, "127.0.0.1");
    assert_int_equal(settings->listeners.items[0].port, 9092);
    assert_int_equal(settings->node_id, -1);
    assert_int_equal(settings->log_dir_count, 1);
    assert_string_equal(settings->log_dirs[0], "./data");
    assert_string_equal(settings->metadata_log_dir, "./data");
    done(&fixture);
    assert_int_equal(load(&fixture, "", NULL, 0), E_OK);
    assert_string_equal(fixture.settings->listeners.items[0].host, "");
    done(&fixture);
}

/* What the KRaft server.properties of Kafka 4.x and 3.9.1 set for one node. */
#define KRAFT_COMMON                                                                               \
    "process.roles=broker,controller\nnode.id=1\n"                                                 \
    "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n"       \
    "advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n"                \
    "controller.listener.names=CONTROLLER\n"                                                       \
    "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,"             \
    "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n"                                            \
    "num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n"                   \
    "socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n"                     \
    "log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\nnum.recovery.threads.per.data.dir=1\n"   \
    "offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n"             \
    "transaction.state.log.min.isr=1\nlog.retention.hours=168\n"                                   \
    "log.retention.check.interval.ms=300000\n"

/* Proves that the shipped files of both releases in KRaft form start without a word. */
static void test_shipped_kraft(void **state)
{
    (void)state;
    static const char *const files[] = {
        KRAFT_COMMON "controller.quorum.voters=1@localhost:9093\nlog.segment.bytes=1073741824\n",
        KRAFT_COMMON "controller.quorum.bootstrap.servers=localhost:9093\n"
                     "share.coordinator.state.topic.replication.factor=1\n"
                     "share.coordinator.state.topic.min.isr=1\n",
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct fixture fixture;
        assert_int_equal(load(&fixture, files[i], NULL, 0), E_OK);
        assert_null(fixture.diagnoses.head);
        assert_int_equal(fixture.settings->node_id, 1);
        assert_int_equal(fixture.settings->listeners.count, 1);
        assert_string_equal(fixture.settings->log_dirs[0], "/tmp/kraft-combined-logs");
        done(&fixture);
    }
}

/* Proves that the ZooKeeper form of 3.9.1 is refused in words, and that only that line is. */
static void test_shipped_zookeeper(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(load(&fixture,
                          "broker.id=0\nnum.network.threads=3\nlog.dirs=/tmp/kafka-logs\n"
                          "zookeeper.connect=localhost:2181\n"
                          "zookeeper.connection.timeout.ms=18000\n"
                          "group.initial.rebalance.delay.ms=0\n",
                          NULL, 0),
                     E_INVALID_CONFIG);
    assert_int_equal(fixture.diagnoses.error_count, 1);
    assert_true(says(&fixture, DIAGNOSIS_ERROR,
                     "server.properties:4: zookeeper.connect=localhost:2181 is refused: clusters "
                     "in ZooKeeper mode are not served yet"));
    assert_null(fixture.settings);
    done(&fixture);
}

/* Proves that anything but a quorum of this one node is refused. */
static void test_quorums_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *part;
    } cases[] = {
        {"process.roles=controller\nnode.id=1\n", "only a controller is not served"},
        {"process.roles=broker\nnode.id=1\n", "another node's controller"},
        {"process.roles=broker,controller\nnode.id=1\n"
         "controller.quorum.voters=1@a:9093,2@b:9093\n",
         "more than this node"},
        {"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=2@b:9093\n",
         "the only voter must be this node"},
        {"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=b:9093\n",
         "write id@host:port"},
        {"node.id=1\ncontroller.quorum.voters=1@b:9093\n", "needs process.roles"},
        {"process.roles=broker,controller\nnode.id=1\n"
         "controller.quorum.bootstrap.servers=a:1,b:1\n",
         "more than this node"},
        {"node.id=1\nbroker.id=2\n", "differ"},
        {"node.id=-7\n", "node.id=-7 is not allowed"},
        {"log.dirs=/a,/b,/a\n", "/a is there twice"},
        {"log.dirs=\n", "log.dirs is empty"},
        {"log.retention.hours=0\n", "is 0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        assert_int_equal(load(&fixture, cases[i].file, NULL, 0), E_INVALID_CONFIG);
        if (!says(&fixture, DIAGNOSIS_ERROR, cases[i].part)) {
            fail_msg("%s: %s", cases[i].file, fixture.diagnoses.head->text);
        }
        done(&fixture);
    }
}

/* A value that the row allows and that is not its default; false: there is none to think of. */
static bool other_value(const struct setting *setting, char out[64])
{
    const char *text = "some.Thing";
    if (setting->type == SETTING_TYPE_BOOLEAN) {
        text = strcmp(setting->default_text, "true") == 0 ? "false" : "true";
    } else if (setting->type == SETTING_TYPE_DOUBLE) {
        text = "0.25";
    } else if (setting->type == SETTING_TYPE_INT || setting->type == SETTING_TYPE_SHORT ||
               setting->type == SETTING_TYPE_LONG) {
        (void)snprintf(out, 64, "%lld", (long long)setting->max);
        if (setting->default_text == NULL || strcmp(out, setting->default_text) != 0) {
            return true;
        }
        (void)snprintf(out, 64, "%lld", (long long)setting->max - 1);
        return true;
    } else if (setting->allowed != NULL) {
        text = setting->allowed[0];
        if (strcmp(text, setting->default_text) == 0) {
            text = setting->allowed[1];
        }
    }
    (void)snprintf(out, 64, "%s", text);
    return strcmp(text, setting->default_text != NULL ? setting->default_text : "") != 0;
}

/* Proves for every row that its default says nothing, and that another value has the effect that
 * the row states: an error or a warning that names it, or silence. */
static void test_every_row(void **state)
{
    (void)state;
    for (size_t id = 0; id < SETTING_BROKER_COUNT; id++) {
        const struct setting *setting = setting_get((enum setting_id)id);
        char file[512];
        char value[64];
        struct fixture fixture;
        if (setting->default_text != NULL && setting->service != SETTING_SERVED) {
            (void)snprintf(file, sizeof(file), "%s=%s\n", setting->name, setting->default_text);
            assert_int_equal(load(&fixture, file, NULL, 0), E_OK);
            assert_null(fixture.diagnoses.head);
            done(&fixture);
        }
        if (setting->service == SETTING_SERVED || !other_value(setting, value)) {
            continue;
        }
        (void)snprintf(file, sizeof(file), "%s=%s\n", setting->name, value);
        const enum error error = load(&fixture, file, NULL, 0);
        const bool is_refused = setting->service == SETTING_UNSERVED_REFUSE;
        assert_int_equal(error, is_refused ? E_INVALID_CONFIG : E_OK);
        if (setting->service == SETTING_UNSERVED_IGNORE) {
            assert_null(fixture.diagnoses.head);
        } else {
            assert_true(
                says(&fixture, is_refused ? DIAGNOSIS_ERROR : DIAGNOSIS_WARNING, setting->name));
        }
        if (setting->is_sensitive) {
            assert_false(says(&fixture, DIAGNOSIS_ERROR, value));
        }
        done(&fixture);
    }
}

/* Proves that mistakes are named with file, line, value and what is allowed, all at once. */
static void test_diagnoses(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(load(&fixture,
                          "# mine\nnum.partitions=none\nlog.retention.hour=3\n"
                          "fetch.max.bytes=12\nfetch.max.bytes=13\nsasl.new.thing=1\n"
                          "listener.name.a.ssl.keystore.location=/k\n"
                          "listener.name.a.max.connections=5\n",
                          NULL, 0),
                     E_INVALID_CONFIG);
    assert_true(says(&fixture, DIAGNOSIS_ERROR,
                     "server.properties:2: num.partitions=none is not allowed; allowed is a whole "
                     "number from 1 to 2147483647, the default is 1"));
    assert_true(says(&fixture, DIAGNOSIS_WARNING,
                     "server.properties:3: unknown setting log.retention.hour is ignored; did you "
                     "mean log.retention.hours?"));
    assert_true(says(&fixture, DIAGNOSIS_WARNING,
                     "server.properties:5: fetch.max.bytes is set in "
                     "line 4 too"));
    assert_true(says(&fixture, DIAGNOSIS_ERROR, "server.properties:5: fetch.max.bytes=13"));
    assert_true(says(&fixture, DIAGNOSIS_ERROR, "server.properties:6: sasl.new.thing is refused"));
    assert_true(says(&fixture, DIAGNOSIS_ERROR, ":7: listener.name.a.ssl.keystore.location"));
    assert_true(says(&fixture, DIAGNOSIS_WARNING, ":8: listener.name.a.max.connections"));
    done(&fixture);
    assert_int_equal(load(&fixture, "a=\\u00", NULL, 0), E_INVALID_CONFIG);
    assert_true(says(&fixture, DIAGNOSIS_ERROR, "server.properties:1: \\u must be"));
    done(&fixture);
}

/* Proves that overrides win over the file and that their mistakes are said. */
static void test_overrides(void **state)
{
    (void)state;
    static const char *const good[] = {"num.partitions=3", "num.partitions=4",
                                       "listeners=PLAINTEXT://127.0.0.1:0", "log.dir=/x"};
    struct fixture fixture;
    assert_int_equal(load(&fixture, "num.partitions=2\nlog.dir=/y\n", good, 4), E_OK);
    assert_int_equal(settings_int32(fixture.settings->settings, SETTING_NUM_PARTITIONS), 4);
    assert_int_equal(fixture.settings->listeners.items[0].port, 0);
    assert_string_equal(fixture.settings->log_dirs[0], "/x");
    done(&fixture);
    assert_int_equal(load(&fixture, NULL, good, 4), E_OK);
    assert_int_equal(fixture.settings->listeners.items[0].port, 0);
    done(&fixture);
    static const char *const bad[] = {"num.partitions", "num.io.threads=x"};
    assert_int_equal(load(&fixture, NULL, bad, 2), E_INVALID_CONFIG);
    assert_true(says(&fixture, DIAGNOSIS_ERROR, "--override num.partitions: write name=value"));
    assert_true(says(&fixture, DIAGNOSIS_ERROR, "--override: num.io.threads=x is not allowed"));
    done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_file),           cmocka_unit_test(test_shipped_kraft),
        cmocka_unit_test(test_shipped_zookeeper), cmocka_unit_test(test_quorums_refused),
        cmocka_unit_test(test_every_row),         cmocka_unit_test(test_diagnoses),
        cmocka_unit_test(test_overrides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
