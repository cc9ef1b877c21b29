/* SPDX-License-Identifier: Apache-2.0 */

/* The controller over a real embedded store: each operation with the codes that Apache Kafka 4
 * answers, and what a restart must keep. */

#include "controller/controller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rng.h"
#include "metadata/embedded/embedded_store.h"
#include "metadata/simulated/simulated_store.h"

#include <cmocka.h>

struct fixture {
    char directory[64];
    struct rng rng;
    struct loop *loop;
    struct worker_pool *workers;
    struct store *store;
    struct settings *settings;
    struct image_source *source;
    struct controller *controller;
    struct arena arena;
    struct image *image; /* of the last answer */
    bool is_done;
    enum error error;
    char text[STORE_TEXT_SIZE];
    struct found_partition *found;
    size_t found_count;
    bool is_lost;
};

static void open_store(struct fixture *f)
{
    const char *const directories[] = {f->directory};
    const struct embedded_store_options options = {
        .loop = f->loop,
        .workers = f->workers,
        .vfs = vfs_system(),
        .clock = clock_system(),
        .rng = &f->rng,
        .directory = f->directory,
        .log_directories = directories,
        .log_directory_count = 1,
    };
    if (f->is_lost) {
        f->store = simulated_store_new(f->loop, clock_system());
    } else {
        assert_int_equal(embedded_store_open(&options, &f->store, f->text), E_OK);
    }
}

static void on_started(void *context, enum error error, const char *text)
{
    struct fixture *f = context;
    f->is_done = true;
    f->error = error;
    (void)snprintf(f->text, sizeof(f->text), "%s", text == NULL ? "" : text);
}

static void wait(struct fixture *f)
{
    while (!f->is_done) {
        loop_turn(f->loop, 1000);
    }
    f->is_done = false;
    image_unref(f->image);
    f->image = image_source_take(f->source);
}

static const char *cluster = "cluster-a";

static enum error start(struct fixture *f)
{
    static const struct image_endpoint endpoint = {
        {(const uint8_t *)"PLAINTEXT", 9}, {(const uint8_t *)"127.0.0.1", 9}, 9092};
    static const struct supported_feature features[] = {
        {{(const uint8_t *)"group.version", 13}, 0, 1, 1},
        {{(const uint8_t *)"transaction.version", 19}, 0, 2, 2},
        {{(const uint8_t *)"share.version", 13}, 0, 1, 0},
    };
    open_store(f);
    f->source = image_source_new(f->settings);
    const struct controller_options options = {
        .loop = f->loop,
        .store = f->store,
        .clock = clock_system(),
        .rng = &f->rng,
        .settings = f->settings,
        .source = f->source,
        .broker_id = 1,
        .cluster_id = slice_from_string(cluster),
        .endpoints = &endpoint,
        .endpoint_count = 1,
        .features = features,
        .feature_count = 3,
        .found = f->found,
        .found_count = f->found_count,
        .is_read_only = f->is_lost,
    };
    assert_int_equal(controller_new(&options, &f->controller), E_OK);
    controller_start(f->controller, on_started, f);
    wait(f);
    return f->error;
}

static void stop(struct fixture *f)
{
    f->image = image_unref(f->image);
    controller_free(f->controller);
    image_source_free(f->source);
    store_close(f->store);
}

static void restart(struct fixture *f)
{
    stop(f);
    assert_int_equal(start(f), E_OK);
}

static int set_up_with(void **state, const struct config_entry *entries, size_t count)
{
    struct fixture *f = calloc(1, sizeof(*f));
    (void)snprintf(f->directory, sizeof(f->directory), "/tmp/ottla-controller-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    rng_init(&f->rng, 1);
    arena_init(&f->arena, 256 * 1024 * 1024);
    assert_int_equal(loop_new(clock_system(), 0, &f->loop), E_OK);
    assert_int_equal(worker_pool_new(1, &f->workers), E_OK);
    assert_int_equal(settings_new(entries, count, &f->settings), E_OK);
    assert_int_equal(start(f), E_OK);
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL, 0);
}

static int set_up_without_deletion(void **state)
{
    const struct config_entry entry = {SLICE("delete.topic.enable"), SLICE("false")};
    return set_up_with(state, &entry, 1);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[96];
    stop(f);
    worker_pool_free(f->workers);
    loop_free(f->loop);
    settings_unref(f->settings);
    arena_done(&f->arena);
    (void)snprintf(command, sizeof(command), "rm -rf %s", f->directory);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* --- requests --- */

static struct fixture *current; /* of the request in work */

static void on_done(struct controller_request *request)
{
    current->is_done = true;
    current->error = request->error;
}

static enum error submit(struct fixture *f, struct controller_request *request,
                         enum controller_request_kind kind)
{
    current = f;
    request->kind = kind;
    request->arena = &f->arena;
    request->loop = f->loop;
    request->on_done = on_done;
    controller_submit(controller_get_channel(f->controller), request);
    wait(f);
    return f->error;
}

static void create(struct fixture *f, struct controller_new_topic *topics, size_t count,
                   bool validate_only)
{
    struct controller_create_topics request = {
        .topics = topics, .topic_count = count, .timeout_ms = 1000, .validate_only = validate_only};
    assert_int_equal(submit(f, &request.request, CONTROLLER_CREATE_TOPICS), E_OK);
}

static struct controller_new_topic new_topic(const char *name, int32_t partition_count)
{
    return (struct controller_new_topic){.name = slice_from_string(name),
                                         .partition_count = partition_count,
                                         .replication_factor = -1};
}

static struct failure create_one(struct fixture *f, struct controller_new_topic topic)
{
    create(f, &topic, 1, false);
    return topic.failure;
}

static const struct image_topic *topic_named(struct fixture *f, const char *name)
{
    return image_find_topic(f->image, slice_from_string(name));
}

static enum error delete_by(struct fixture *f, struct controller_deleted_topic topic)
{
    struct controller_delete_topics request = {
        .topics = &topic, .topic_count = 1, .timeout_ms = 1000};
    assert_int_equal(submit(f, &request.request, CONTROLLER_DELETE_TOPICS), E_OK);
    return topic.failure.code;
}

static struct failure alter(struct fixture *f, int8_t type, const char *name, bool is_incremental,
                            const struct controller_config_change *changes, uint32_t count)
{
    struct controller_altered_resource resource = {
        .type = type, .name = slice_from_string(name), .changes = changes, .change_count = count};
    struct controller_alter_configs request = {
        .resources = &resource, .resource_count = 1, .is_incremental = is_incremental};
    assert_int_equal(submit(f, &request.request, CONTROLLER_ALTER_CONFIGS), E_OK);
    return resource.failure;
}

static enum error alter_one(struct fixture *f, int8_t type, const char *name, const char *key,
                            const char *value, int8_t operation)
{
    const struct controller_config_change change = {
        .name = slice_from_string(key), .value = slice_from_string(value), .operation = operation};
    return alter(f, type, name, true, &change, 1).code;
}

static const char *config_of(struct fixture *f, const char *topic, const char *name)
{
    const struct image_topic *found = topic_named(f, topic);
    for (uint32_t i = 0; i < found->config_count; i++) {
        if (slice_equal_string(found->configs[i].name, name)) {
            return arena_printf(&f->arena, "%.*s", (int)found->configs[i].value.size,
                                (const char *)found->configs[i].value.data);
        }
    }
    return NULL;
}

/* --- tests --- */

/* A first start registers the broker, begins epoch 1 and finalizes the features. */
static void starts_a_cluster_of_one(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->image->controller_id, 1);
    assert_int_equal(f->image->controller_epoch, 1);
    assert_int_equal(f->image->broker_count, 1);
    assert_true(f->image->brokers[0].epoch > 0);
    assert_true(slice_equal_string(f->image->brokers[0].endpoints[0].host, "127.0.0.1"));
    assert_true(slice_equal_string(f->image->cluster_id, "cluster-a"));
    assert_int_equal(f->image->feature_count, 2);
    assert_int_equal(f->image->topic_count, 0);
    assert_false(f->image->is_read_only);
}

/* Created topics are in the image when the answer comes, with defaults resolved. */
static void creates_topics(void **state)
{
    struct fixture *f = *state;
    const struct config_entry config = {SLICE("retention.ms"), SLICE("1000")};
    struct controller_new_topic topics[] = {new_topic("a", 3), new_topic("b", -1)};
    topics[0].configs = &config;
    topics[0].config_count = 1;
    create(f, topics, 2, false);
    assert_int_equal(topics[0].failure.code, E_OK);
    assert_int_equal(topics[1].failure.code, E_OK);
    assert_int_equal(topics[1].partition_count_made, 1);
    assert_int_equal(topics[1].replication_factor_made, 1);
    const struct image_topic *a = topic_named(f, "a");
    assert_true(uuid_equal(&a->id, &topics[0].topic_id));
    assert_int_equal(a->partition_count, 3);
    assert_int_equal(a->partitions[2].leader, 1);
    assert_int_equal(a->partitions[2].leader_epoch, 0);
    assert_int_equal(a->partitions[2].replicas[0], 1);
    assert_int_equal(a->partitions[2].isr_count, 1);
    assert_int_equal(a->partitions[2].directory, UINT32_MAX);
    assert_string_equal(config_of(f, "a", "retention.ms"), "1000");
    assert_int_equal(f->image->topic_count, 2);
    assert_int_equal(f->image->partition_count, 4);
}

static struct failure create_configured(struct fixture *f, const char *name, const char *key,
                                        const char *value)
{
    const struct config_entry config = {slice_from_string(key), slice_from_string(value)};
    struct controller_new_topic topic = new_topic(name, 1);
    topic.configs = &config;
    topic.config_count = 1;
    return create_one(f, topic);
}

static struct failure create_assigned(struct fixture *f, const char *name, int32_t first,
                                      int32_t second, int32_t broker)
{
    const int32_t brokers[] = {broker, broker};
    const struct controller_assignment assignments[] = {{first, brokers, 1}, {second, brokers, 1}};
    struct controller_new_topic topic = new_topic(name, -1);
    topic.assignments = assignments;
    topic.assignment_count = 2;
    return create_one(f, topic);
}

/* What cannot be created is refused with Kafka's codes, and leaves nothing behind. */
static void refuses_bad_topics(void **state)
{
    struct fixture *f = *state;
    char long_name[251];
    memset(long_name, 'x', 250);
    long_name[250] = '\0';
    assert_int_equal(create_one(f, new_topic("x.y", 1)).code, E_OK);
    struct controller_new_topic factor = new_topic("f", 1);

    assert_int_equal(create_one(f, new_topic("x.y", 1)).code, E_TOPIC_ALREADY_EXISTS);
    assert_string_equal(create_one(f, new_topic("x.y", 1)).text, "Topic 'x.y' already exists.");
    assert_int_equal(create_one(f, new_topic("x_y", 1)).code, E_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create_one(f, new_topic("", 1)).code, E_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create_one(f, new_topic("..", 1)).code, E_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create_one(f, new_topic("a b", 1)).code, E_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create_one(f, new_topic(long_name, 1)).code, E_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create_one(f, new_topic("p", 0)).code, E_INVALID_PARTITIONS);
    assert_int_equal(create_one(f, new_topic("p", -2)).code, E_INVALID_PARTITIONS);
    assert_int_equal(create_one(f, new_topic("p", 10001)).code, E_POLICY_VIOLATION);
    factor.replication_factor = 9;
    assert_int_equal(create_one(f, factor).code, E_INVALID_REPLICATION_FACTOR);
    factor.replication_factor = 0;
    assert_int_equal(create_one(f, factor).code, E_INVALID_REPLICATION_FACTOR);
    assert_int_equal(create_configured(f, "c", "no.such.key", "1").code, E_INVALID_CONFIG);
    assert_int_equal(create_configured(f, "c", "retention.ms", "x").code, E_INVALID_CONFIG);
    assert_int_equal(create_configured(f, "c", "retention.ms", NULL).code, E_INVALID_CONFIG);
    assert_int_equal(create_assigned(f, "m", 0, 1, 9).code, E_INVALID_REPLICA_ASSIGNMENT);
    assert_int_equal(create_assigned(f, "m", 0, 0, 1).code, E_INVALID_REPLICA_ASSIGNMENT);
    assert_int_equal(create_assigned(f, "m", 0, 2, 1).code, E_INVALID_REPLICA_ASSIGNMENT);
    assert_int_equal(f->image->topic_count, 1);
    assert_int_equal(create_assigned(f, "m", 1, 0, 1).code, E_OK);
    assert_int_equal(topic_named(f, "m")->partition_count, 2);

    struct controller_new_topic twice[] = {new_topic("d", 1), new_topic("d", 1),
                                           new_topic("q.q", 1), new_topic("q_q", 1)};
    create(f, twice, 4, false);
    assert_int_equal(twice[0].failure.code, E_INVALID_REQUEST);
    assert_int_equal(twice[1].failure.code, E_INVALID_REQUEST);
    assert_int_equal(twice[2].failure.code, E_OK);
    assert_int_equal(twice[3].failure.code, E_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(f->image->topic_count, 3);
}

/* validate_only changes nothing; timeout 0 answers 7 and goes on. */
static void validates_and_times_out(void **state)
{
    struct fixture *f = *state;
    struct controller_new_topic topic = new_topic("v", 2);
    create(f, &topic, 1, true);
    assert_int_equal(topic.failure.code, E_OK);
    assert_int_equal(topic.partition_count_made, 2);
    assert_null(topic_named(f, "v"));

    struct controller_create_topics request = {.topics = &topic, .topic_count = 1};
    assert_int_equal(submit(f, &request.request, CONTROLLER_CREATE_TOPICS), E_OK);
    assert_int_equal(topic.failure.code, E_REQUEST_TIMED_OUT);
    while (!controller_is_idle(f->controller)) {
        loop_turn(f->loop, 1000);
    }
    assert_int_equal(create_one(f, new_topic("v", 1)).code, E_TOPIC_ALREADY_EXISTS);
}

/* By name and by id; the unknown, the doubled and the contradictory are refused. */
static void deletes_topics(void **state)
{
    struct fixture *f = *state;
    struct controller_new_topic topics[] = {new_topic("a", 1), new_topic("b", 1)};
    create(f, topics, 2, false);
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE("a")}), E_OK);
    assert_null(topic_named(f, "a"));
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE("a")}),
                     E_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(
        delete_by(f, (struct controller_deleted_topic){.topic_id = topics[0].topic_id}),
        E_UNKNOWN_TOPIC_ID);
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE_NULL}),
                     E_INVALID_REQUEST);
    assert_int_equal(
        delete_by(f, (struct controller_deleted_topic){.name = SLICE("b"),
                                                       .topic_id = topics[1].topic_id}),
        E_INVALID_REQUEST);

    struct controller_deleted_topic both[] = {{.name = SLICE("b")},
                                              {.topic_id = topics[1].topic_id}};
    struct controller_delete_topics request = {.topics = both, .topic_count = 2, .timeout_ms = 1};
    assert_int_equal(submit(f, &request.request, CONTROLLER_DELETE_TOPICS), E_OK);
    assert_int_equal(both[0].failure.code, E_OK);
    assert_int_equal(both[1].failure.code, E_INVALID_REQUEST);
    assert_true(uuid_equal(&both[0].topic_id, &topics[1].topic_id));
    assert_int_equal(f->image->topic_count, 0);
}

static void deletion_can_be_disabled(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_one(f, new_topic("a", 1)).code, E_OK);
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE("a")}),
                     E_TOPIC_DELETION_DISABLED);
    assert_non_null(topic_named(f, "a"));
}

static enum error grow(struct fixture *f, const char *name, int32_t count,
                       const struct controller_assignment *assignments, uint32_t assignment_count)
{
    struct controller_grown_topic topic = {.name = slice_from_string(name),
                                           .partition_count = count,
                                           .assignments = assignments,
                                           .assignment_count = assignment_count,
                                           .has_assignments = assignments != NULL};
    struct controller_create_partitions request = {
        .topics = &topic, .topic_count = 1, .timeout_ms = 1000};
    assert_int_equal(submit(f, &request.request, CONTROLLER_CREATE_PARTITIONS), E_OK);
    return topic.failure.code;
}

/* A topic only grows; assignments must fit. */
static void grows_topics(void **state)
{
    struct fixture *f = *state;
    static const int32_t good[] = {1};
    static const int32_t bad[] = {7};
    const struct controller_assignment assigned[] = {{0, good, 1}};
    const struct controller_assignment unknown[] = {{0, bad, 1}};
    assert_int_equal(create_one(f, new_topic("a", 2)).code, E_OK);
    assert_int_equal(grow(f, "a", 1, NULL, 0), E_INVALID_PARTITIONS);
    assert_int_equal(grow(f, "a", 2, NULL, 0), E_INVALID_PARTITIONS);
    assert_int_equal(grow(f, "none", 2, NULL, 0), E_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(grow(f, "a", 4, assigned, 1), E_INVALID_REPLICA_ASSIGNMENT);
    assert_int_equal(grow(f, "a", 3, unknown, 1), E_INVALID_REPLICA_ASSIGNMENT);
    assert_int_equal(topic_named(f, "a")->partition_count, 2);
    assert_int_equal(grow(f, "a", 3, assigned, 1), E_OK);
    assert_int_equal(grow(f, "a", 5, NULL, 0), E_OK);
    assert_int_equal(topic_named(f, "a")->partition_count, 5);
    assert_int_equal(topic_named(f, "a")->partitions[4].leader, 1);
    assert_int_equal(f->image->partition_count, 5);
}

/* SET, DELETE, APPEND, SUBTRACT and full replacement of a topic's configs. */
static void alters_topic_configs(void **state)
{
    struct fixture *f = *state;
    const int8_t topic = CONFIG_RESOURCE_TOPIC;
    assert_int_equal(create_one(f, new_topic("a", 1)).code, E_OK);
    assert_int_equal(alter_one(f, topic, "a", "retention.ms", "5", ALTER_CONFIG_SET), E_OK);
    assert_int_equal(alter_one(f, topic, "a", "cleanup.policy", "compact", ALTER_CONFIG_APPEND),
                     E_OK);
    assert_string_equal(config_of(f, "a", "cleanup.policy"), "delete,compact");
    assert_int_equal(alter_one(f, topic, "a", "cleanup.policy", "delete", ALTER_CONFIG_SUBTRACT),
                     E_OK);
    assert_string_equal(config_of(f, "a", "cleanup.policy"), "compact");
    assert_int_equal(alter_one(f, topic, "a", "cleanup.policy", NULL, ALTER_CONFIG_DELETE), E_OK);
    assert_null(config_of(f, "a", "cleanup.policy"));
    assert_string_equal(config_of(f, "a", "retention.ms"), "5");

    assert_int_equal(alter_one(f, topic, "none", "retention.ms", "5", ALTER_CONFIG_SET),
                     E_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(alter_one(f, topic, "a", "retention.ms", "x", ALTER_CONFIG_SET),
                     E_INVALID_CONFIG);
    assert_int_equal(alter_one(f, topic, "a", "no.such", "x", ALTER_CONFIG_SET), E_INVALID_CONFIG);
    assert_int_equal(alter_one(f, topic, "a", "retention.ms", NULL, ALTER_CONFIG_SET),
                     E_INVALID_REQUEST);
    assert_int_equal(alter_one(f, topic, "a", "retention.ms", "5", ALTER_CONFIG_APPEND),
                     E_INVALID_CONFIG);
    assert_int_equal(alter_one(f, topic, "a", "retention.ms", "5", 9), E_INVALID_REQUEST);
    assert_int_equal(alter_one(f, 99, "a", "retention.ms", "5", ALTER_CONFIG_SET),
                     E_INVALID_REQUEST);

    const struct controller_config_change replaced[] = {
        {.name = SLICE("segment.bytes"), .value = SLICE("2000000")}};
    assert_int_equal(alter(f, topic, "a", false, replaced, 1).code, E_OK);
    assert_null(config_of(f, "a", "retention.ms"));
    assert_string_equal(config_of(f, "a", "segment.bytes"), "2000000");
}

/* Dynamic broker configs change the settings of the image and come back after a restart. */
static void alters_broker_configs(void **state)
{
    struct fixture *f = *state;
    const int8_t broker = CONFIG_RESOURCE_BROKER;
    assert_int_equal(alter_one(f, broker, "", "log.retention.ms", "7000", ALTER_CONFIG_SET), E_OK);
    assert_int_equal(settings_log_retention_ms(f->image->settings), 7000);
    assert_int_equal(alter_one(f, broker, "1", "log.retention.ms", "8000", ALTER_CONFIG_SET), E_OK);
    assert_int_equal(settings_log_retention_ms(f->image->settings), 8000);
    assert_int_equal(alter_one(f, broker, "1", "broker.id", "8", ALTER_CONFIG_SET),
                     E_INVALID_REQUEST);
    assert_int_equal(alter_one(f, broker, "2", "log.retention.ms", "8", ALTER_CONFIG_SET),
                     E_INVALID_REQUEST);
    restart(f);
    assert_int_equal(settings_log_retention_ms(f->image->settings), 8000);
    assert_int_equal(alter_one(f, broker, "1", "log.retention.ms", NULL, ALTER_CONFIG_DELETE),
                     E_OK);
    assert_int_equal(settings_log_retention_ms(f->image->settings), 7000);
}

/* Blocks of 1,000 follow each other, also over a restart. */
static void gives_out_producer_ids(void **state)
{
    struct fixture *f = *state;
    for (int64_t i = 0; i < 4; i++) {
        struct controller_allocate_producer_ids request = {.first_producer_id = -1};
        assert_int_equal(submit(f, &request.request, CONTROLLER_ALLOCATE_PRODUCER_IDS), E_OK);
        assert_int_equal(request.failure.code, E_OK);
        assert_int_equal(request.first_producer_id, 1000 * i);
        assert_int_equal(request.producer_id_count, 1000);
        if (i == 1) {
            restart(f);
        }
    }
}

static enum error update_feature(struct fixture *f, const char *name, int16_t level,
                                 bool allow_downgrade)
{
    struct controller_feature_update item = {
        .name = slice_from_string(name), .level_max = level, .allow_downgrade = allow_downgrade};
    struct controller_update_features request = {.features = &item, .feature_count = 1};
    assert_int_equal(submit(f, &request.request, CONTROLLER_UPDATE_FEATURES), E_OK);
    return request.failure.code;
}

/* Levels move within what is served, down only when allowed. */
static void updates_features(void **state)
{
    struct fixture *f = *state;
    const int64_t epoch = f->image->feature_epoch;
    assert_int_equal(update_feature(f, "none.version", 1, false), E_INVALID_UPDATE_VERSION);
    assert_int_equal(update_feature(f, "share.version", 9, false), E_INVALID_UPDATE_VERSION);
    assert_int_equal(update_feature(f, "transaction.version", 1, false), E_INVALID_UPDATE_VERSION);
    assert_int_equal(f->image->feature_epoch, epoch);
    assert_int_equal(update_feature(f, "share.version", 1, false), E_OK);
    assert_int_equal(update_feature(f, "transaction.version", 1, true), E_OK);
    assert_int_equal(update_feature(f, "group.version", 0, true), E_OK);
    assert_true(f->image->feature_epoch > epoch);
    restart(f);
    assert_int_equal(f->image->feature_count, 2);
    assert_true(slice_equal_string(f->image->features[0].name, "share.version"));
    assert_int_equal(f->image->features[1].level, 1);
}

/* Topics, ids, sizes and configs are the same after a restart; the epochs have risen. */
static void keeps_all_over_a_restart(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_configured(f, "a", "retention.ms", "9").code, E_OK);
    assert_int_equal(grow(f, "a", 4, NULL, 0), E_OK);
    assert_int_equal(create_one(f, new_topic("gone", 1)).code, E_OK);
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE("gone")}), E_OK);
    const struct uuid id = topic_named(f, "a")->id;
    for (int32_t run = 1; run < 4; run++) {
        const int64_t broker_epoch = f->image->brokers[0].epoch;
        restart(f);
        const struct image_topic *a = topic_named(f, "a");
        assert_true(uuid_equal(&a->id, &id));
        assert_int_equal(a->partition_count, 4);
        assert_string_equal(config_of(f, "a", "retention.ms"), "9");
        assert_int_equal(f->image->topic_count, 1);
        assert_int_equal(f->image->controller_epoch, run + 1);
        assert_int_equal(a->partitions[0].leader_epoch, run);
        assert_true(f->image->brokers[0].epoch > broker_epoch);
    }
}

/* The store of one cluster is not opened for another. */
static void refuses_another_cluster(void **state)
{
    struct fixture *f = *state;
    stop(f);
    cluster = "cluster-b";
    assert_int_equal(start(f), E_INCONSISTENT_CLUSTER_ID);
    assert_non_null(strstr(f->text, "cluster-a"));
    cluster = "cluster-a";
    restart(f);
}

/* --- what is found on disk --- */

static void restart_with(struct fixture *f, struct found_partition *found, size_t count)
{
    f->found = found;
    f->found_count = count;
    stop(f);
}

/* A directory of Kafka's: its topics come with their ids, held but for internal ones, and stay so
 * until their configs are set. */
static void adopts_what_it_finds(void **state)
{
    struct fixture *f = *state;
    const struct uuid id = uuid_random(&f->rng);
    assert_int_equal(create_one(f, new_topic("known", 2)).code, E_OK);
    struct found_partition found[] = {
        {.topic = SLICE("k"), .partition = 1, .topic_id = id, .directory = 1, .latest_epoch = 17},
        {.topic = SLICE("k"), .partition = 0, .topic_id = id, .directory = 0, .latest_epoch = -1},
        {.topic = SLICE("__consumer_offsets"), .partition = 0, .latest_epoch = -1},
        {.topic = SLICE("known"), .partition = 1, .directory = 2, .latest_epoch = 0},
    };
    restart_with(f, found, 4);
    assert_int_equal(start(f), E_OK);
    const struct image_topic *k = topic_named(f, "k");
    assert_true(uuid_equal(&k->id, &id));
    assert_true(k->is_held);
    assert_int_equal(k->partition_count, 2);
    assert_int_equal(k->partitions[1].directory, 1);
    assert_int_equal(k->partitions[1].leader_epoch, 18);
    assert_int_equal(k->partitions[0].leader, 1);
    assert_false(topic_named(f, "__consumer_offsets")->is_held);
    assert_string_equal(config_of(f, "__consumer_offsets", "cleanup.policy"), "compact");
    assert_int_equal(topic_named(f, "known")->partitions[1].directory, 2);
    assert_int_equal(topic_named(f, "known")->partitions[0].directory, UINT32_MAX);
    assert_false(topic_named(f, "known")->is_held);

    restart(f);
    assert_true(topic_named(f, "k")->is_held);
    assert_int_equal(
        alter_one(f, CONFIG_RESOURCE_TOPIC, "k", "retention.ms", "5", ALTER_CONFIG_SET), E_OK);
    assert_false(topic_named(f, "k")->is_held);
    restart(f);
    assert_false(topic_named(f, "k")->is_held);
}

/* Gaps and foreign ids are refused with the numbers; nothing is adopted. */
static void refuses_what_does_not_fit(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_one(f, new_topic("known", 1)).code, E_OK);
    struct found_partition gap[] = {
        {.topic = SLICE("g"), .partition = 0, .latest_epoch = -1},
        {.topic = SLICE("g"), .partition = 3, .latest_epoch = -1},
    };
    restart_with(f, gap, 2);
    assert_int_equal(start(f), E_LOCAL_BAD_CONFIG);
    assert_non_null(strstr(f->text, "1, 2"));

    struct found_partition foreign[] = {
        {.topic = SLICE("known"), .topic_id = uuid_random(&f->rng), .latest_epoch = -1}};
    restart_with(f, foreign, 1);
    assert_int_equal(start(f), E_LOCAL_BAD_CONFIG);

    struct found_partition mixed[] = {
        {.topic = SLICE("m"), .topic_id = uuid_random(&f->rng), .latest_epoch = -1},
        {.topic = SLICE("m"), .partition = 1, .topic_id = uuid_random(&f->rng)}};
    restart_with(f, mixed, 2);
    assert_int_equal(start(f), E_LOCAL_BAD_CONFIG);

    restart_with(f, NULL, 0);
    assert_int_equal(start(f), E_OK);
    assert_int_equal(f->image->topic_count, 1);
}

/* What a crash left of a deleted topic is not a new topic, until the broker says it is gone. */
static void remembers_deletions(void **state)
{
    struct fixture *f = *state;
    struct controller_new_topic topics[] = {new_topic("t", 1), new_topic("u", 1)};
    create(f, topics, 2, false);
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE("t")}), E_OK);
    assert_int_equal(create_one(f, new_topic("t", 3)).code, E_OK);
    struct found_partition found[] = {
        {.topic = SLICE("t"), .topic_id = topics[0].topic_id, .latest_epoch = -1},
        {.topic = SLICE("u"), .topic_id = topics[1].topic_id, .latest_epoch = -1}};
    restart_with(f, found, 2);
    assert_int_equal(start(f), E_OK);
    assert_int_equal(topic_named(f, "t")->partition_count, 3);
    assert_true(found[1].is_deleted); /* moved to the end */
    assert_true(slice_equal_string(found[1].topic, "t"));
    assert_false(found[0].is_deleted);

    struct controller_topic_logs_deleted gone = {.topic_id = topics[0].topic_id};
    assert_int_equal(submit(f, &gone.request, CONTROLLER_TOPIC_LOGS_DELETED), E_OK);
    assert_int_equal(gone.failure.code, E_OK);
    assert_int_equal(submit(f, &gone.request, CONTROLLER_TOPIC_LOGS_DELETED), E_OK);
    assert_int_equal(gone.failure.code, E_LOCAL_NOT_FOUND);
    f->found = NULL;
    f->found_count = 0;
}

/* Without its store the node shows what is on disk and refuses every change. */
static void serves_reads_when_the_store_is_lost(void **state)
{
    struct fixture *f = *state;
    struct found_partition found[] = {{.topic = SLICE("t"), .latest_epoch = 4}};
    restart_with(f, found, 1);
    f->is_lost = true;
    assert_int_equal(start(f), E_OK);
    assert_true(f->image->is_read_only);
    assert_true(topic_named(f, "t")->is_held);
    assert_int_equal(topic_named(f, "t")->partitions[0].leader_epoch, 5);
    assert_int_equal(create_one(f, new_topic("a", 1)).code, E_LOCAL_OFFLINE);
    assert_int_equal(delete_by(f, (struct controller_deleted_topic){.name = SLICE("t")}),
                     E_LOCAL_OFFLINE);
    assert_int_equal(f->image->topic_count, 1);
}

/* A write that the store refuses fails the items and changes nothing. */
static void survives_a_full_disk(void **state)
{
    struct fixture *f = *state;
    stop(f);
    f->is_lost = true; /* for the simulated store only */
    assert_int_equal(start(f), E_OK);
    controller_free(f->controller);
    const struct controller_options options = {.loop = f->loop,
                                               .store = f->store,
                                               .clock = clock_system(),
                                               .rng = &f->rng,
                                               .settings = f->settings,
                                               .source = f->source,
                                               .broker_id = 1,
                                               .cluster_id = slice_from_string(cluster)};
    simulated_store_end_session(f->store);
    assert_int_equal(controller_new(&options, &f->controller), E_OK);
    controller_start(f->controller, on_started, f);
    wait(f);
    assert_int_equal(f->error, E_OK);
    simulated_store_fail(f->store, E_LOCAL_NO_SPACE, 1);
    assert_int_equal(create_one(f, new_topic("a", 1)).code, E_LOCAL_NO_SPACE);
    assert_null(topic_named(f, "a"));
    assert_int_equal(create_one(f, new_topic("a", 1)).code, E_OK);
}

static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + (double)now.tv_nsec / 1e6;
}

/* 5,000 topics in one request, and the time of a start with them (printed, for information). */
static void five_thousand_topics(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 5000 };
    struct controller_new_topic *topics = calloc(COUNT, sizeof(*topics));
    for (int i = 0; i < COUNT; i++) {
        topics[i] = new_topic(arena_printf(&f->arena, "topic-%05d", i), 1);
    }
    const double begin = now_ms();
    create(f, topics, COUNT, false);
    const double created = now_ms();
    assert_int_equal(f->image->topic_count, COUNT);
    restart(f);
    const double restarted = now_ms();
    assert_int_equal(f->image->topic_count, COUNT);
    print_message("create %.1f ms, stop and start %.1f ms\n", created - begin, restarted - created);
    free(topics);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(starts_a_cluster_of_one),
        TEST(creates_topics),
        TEST(refuses_bad_topics),
        TEST(validates_and_times_out),
        TEST(deletes_topics),
        cmocka_unit_test_setup_teardown(deletion_can_be_disabled, set_up_without_deletion,
                                        tear_down),
        TEST(grows_topics),
        TEST(alters_topic_configs),
        TEST(alters_broker_configs),
        TEST(gives_out_producer_ids),
        TEST(updates_features),
        TEST(keeps_all_over_a_restart),
        TEST(refuses_another_cluster),
        TEST(adopts_what_it_finds),
        TEST(refuses_what_does_not_fit),
        TEST(remembers_deletions),
        TEST(serves_reads_when_the_store_is_lost),
        TEST(survives_a_full_disk),
        TEST(five_thousand_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
