/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The start, as Kafka 3.9 does it with ZooKeeper, in three steps that each are one batch:
 *
 *   make the containers and read everything
 *   → one multi: /controller + /controller_epoch, registration, what is missing, adoption
 *   → the image, published whole
 *
 * controller_epoch rises with each start, so it is the start counter of the leader epochs too.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "controller/adoption.h"
#include "controller/controller_private.h"
#include "controller/node_json.h"
#include "controller/topic_name.h"

static const char *const containers[] = {
    "/admin/delete_topics", "/brokers/ids",    "/brokers/seqid",
    "/brokers/topics",      "/cluster",        "/config/brokers",
    "/config/changes",      "/config/clients", "/config/ips",
    "/config/topics",       "/config/users",   "/latest_producer_id_block",
    "/ottla/held",
};

enum {
    CONTAINER_COUNT = sizeof(containers) / sizeof(containers[0]),
    READ_SIZE_MAX = 1024 * 1024 * 1024, /* all nodes: 200,000 partitions are some 10 MB */
};

enum start_read {
    READ_CLUSTER_ID,
    READ_EPOCH,
    READ_PRODUCER_IDS,
    READ_FEATURES,
    READ_TOPICS,
    READ_TOPIC_CONFIGS,
    READ_BROKER_CONFIGS,
    READ_HELD,
    READ_DELETED,
    READ_COUNT,
};

static const struct {
    const char *path;
    enum store_request_kind kind;
} reads[READ_COUNT] = {
    [READ_CLUSTER_ID] = {"/cluster/id", STORE_GET},
    [READ_EPOCH] = {"/controller_epoch", STORE_GET},
    [READ_PRODUCER_IDS] = {"/latest_producer_id_block", STORE_GET},
    [READ_FEATURES] = {"/feature", STORE_GET},
    [READ_TOPICS] = {"/brokers/topics", STORE_READ_CHILDREN},
    [READ_TOPIC_CONFIGS] = {"/config/topics", STORE_READ_CHILDREN},
    [READ_BROKER_CONFIGS] = {"/config/brokers", STORE_READ_CHILDREN},
    [READ_HELD] = {"/ottla/held", STORE_CHILDREN},
    [READ_DELETED] = {"/admin/delete_topics", STORE_CHILDREN},
};

struct start_request {
    struct store_request request;
    struct start *start;
};

struct start {
    struct controller *controller;
    controller_started_fn on_started;
    void *context;
    struct arena arena; /* answers of the reads */
    unsigned pending;
    enum error error; /* of the first that failed */
    struct start_request containers[CONTAINER_COUNT];
    struct store_operation container_operations[CONTAINER_COUNT];
    struct start_request reads[READ_COUNT];
    const char *text;
    size_t found_at; /* found partitions before it are dealt with */
    size_t adopted_count;
    struct image_feature *features;
    size_t feature_count;
    int64_t feature_epoch;
    size_t registration; /* index of the operation that creates /brokers/ids/N */
};

static void finish(struct start *start, enum error error, const char *text)
{
    struct controller *controller = start->controller;
    if (error != E_OK && controller->plan.image != NULL) {
        plan_drop(controller);
    }
    controller->is_busy = false;
    if (error == E_OK) {
        controller_serve(controller);
    }
    start->on_started(start->context, error,
                      error == E_OK ? NULL : (text != NULL ? text : error_text(error)));
    arena_done(&start->arena);
    free(start);
}

static const struct store_request *read_of(const struct start *start, enum start_read read)
{
    return &start->reads[read].request;
}

static const struct store_node *find_node(const struct store_request *list, struct slice name)
{
    size_t low = 0;
    size_t high = list->node_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = slice_compare(list->nodes[middle].name, name);
        if (order == 0) {
            return &list->nodes[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* --- what is decided from the reads; each plans its part --- */

static enum error plan_epoch(struct start *start)
{
    struct controller *controller = start->controller;
    struct plan *plan = &controller->plan;
    const struct store_request *read = read_of(start, READ_EPOCH);
    const bool is_first = read->error == E_LOCAL_NOT_FOUND;
    long epoch = 0;
    if (!is_first) {
        const char *digits = arena_printf(&plan->arena, "%.*s", SLICE_ARGS(read->node.data));
        if (digits == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        char *end;
        epoch = strtol(digits, &end, 10);
        if (end == digits || *end != '\0' || epoch < 0 || epoch >= INT32_MAX) {
            start->text = "the node /controller_epoch of the metadata store is not a number";
            return E_LOCAL_CORRUPT;
        }
    }
    controller->epoch = (int32_t)epoch + 1;
    controller->epoch_version = is_first ? 1 : read->node.stat.version + 1;
    const char *text = arena_printf(&plan->arena, "%" PRId32, controller->epoch);
    const struct slice node = node_encode_controller(&plan->arena, controller->broker_id,
                                                     controller->clock->wall_ms(controller->clock));
    if (text == NULL || slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    enum error error = plan_create(plan, STORE_EPHEMERAL, node, "/controller");
    if (error == E_OK && is_first) {
        error = plan_create(plan, 0, SLICE("0"), "/controller_epoch");
    }
    return error == E_OK ? plan_set(plan, controller->epoch_version - 1, slice_from_string(text),
                                    "/controller_epoch")
                         : error;
}

static enum error plan_cluster_id(struct start *start)
{
    struct controller *controller = start->controller;
    struct plan *plan = &controller->plan;
    const struct store_request *read = read_of(start, READ_CLUSTER_ID);
    if (read->error == E_LOCAL_NOT_FOUND) {
        const struct slice node = node_encode_cluster_id(&plan->arena, controller->cluster_id);
        return slice_is_null(node) ? E_LOCAL_NO_MEMORY : plan_create(plan, 0, node, "/cluster/id");
    }
    struct slice stored;
    const enum error error = node_decode_cluster_id(&plan->arena, read->node.data, &stored);
    if (error == E_OK && !slice_equal(stored, controller->cluster_id)) {
        start->text = arena_printf(&start->arena,
                                   "the metadata store belongs to cluster %.*s, meta.properties "
                                   "says %.*s: put ottla.mdb and meta.properties of the same "
                                   "broker together",
                                   SLICE_ARGS(stored), SLICE_ARGS(controller->cluster_id));
        return E_INCONSISTENT_CLUSTER_ID;
    }
    return error;
}

static struct image_broker own_broker(const struct controller *controller)
{
    return (struct image_broker){
        .id = controller->broker_id,
        .rack = controller->rack,
        .endpoints = controller->endpoints,
        .endpoint_count = controller->endpoint_count,
    };
}

/* As Kafka: created empty, then set, so that its version is 1 from birth. */
static enum error plan_registration(struct start *start)
{
    struct controller *controller = start->controller;
    struct plan *plan = &controller->plan;
    const struct image_broker broker = own_broker(controller);
    const struct slice node =
        node_encode_broker(&plan->arena, &broker, controller->clock->wall_ms(controller->clock));
    if (slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    start->registration = plan->operation_count;
    const enum error error = plan_create(plan, STORE_EPHEMERAL, SLICE_NULL, "/brokers/ids/%" PRId32,
                                         controller->broker_id);
    return error == E_OK ? plan_set(plan, 0, node, "/brokers/ids/%" PRId32, controller->broker_id)
                         : error;
}

static enum error plan_features(struct start *start)
{
    struct controller *controller = start->controller;
    struct plan *plan = &controller->plan;
    const struct store_request *read = read_of(start, READ_FEATURES);
    if (read->error == E_OK) {
        start->feature_epoch = read->node.stat.version;
        return node_decode_features(&plan->arena, read->node.data, &start->features,
                                    &start->feature_count);
    }
    start->features =
        ARENA_NEW_ARRAY(&plan->arena, struct image_feature, controller->feature_count);
    if (start->features == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (uint32_t i = 0; i < controller->feature_count; i++) {
        if (controller->features[i].level_first > 0) {
            start->features[start->feature_count++] = (struct image_feature){
                controller->features[i].name, controller->features[i].level_first};
        }
    }
    const struct slice node =
        node_encode_features(&plan->arena, start->features, start->feature_count);
    return slice_is_null(node) ? E_LOCAL_NO_MEMORY : plan_create(plan, 0, node, "/feature");
}

static enum error load_config_set(struct start *start, const char *name, struct config_set *set)
{
    const struct store_node *node =
        find_node(read_of(start, READ_BROKER_CONFIGS), slice_from_string(name));
    if (node == NULL) {
        return E_OK;
    }
    struct config_entry *entries;
    size_t count;
    const enum error error =
        node_decode_configs(&start->controller->plan.arena, node->data, &entries, &count);
    set->has_node = true;
    return error == E_OK ? config_set_assign(set, entries, count) : error;
}

static void say_diagnoses(struct controller *controller, const struct diagnoses *diagnoses)
{
    for (const struct diagnosis *it = diagnoses->head; it != NULL; it = it->next) {
        diag_warn(controller->diag, "dynamic config: %s", it->text);
    }
}

/* The settings with both dynamic layers; a reference. */
static enum error load_settings(struct start *start, struct settings **ret_settings)
{
    struct controller *controller = start->controller;
    struct diagnoses diagnoses;
    struct settings *with_default;
    char id[16];
    (void)snprintf(id, sizeof(id), "%" PRId32, controller->broker_id);
    enum error error = load_config_set(start, "<default>", &controller->default_configs);
    if (error == E_OK) {
        error = load_config_set(start, id, &controller->broker_configs);
    }
    if (error != E_OK) {
        return error;
    }
    diagnoses_init(&diagnoses, &controller->plan.arena);
    error = settings_with_layer(controller->settings, CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER,
                                controller->default_configs.entries,
                                controller->default_configs.count, &diagnoses, &with_default);
    if (error != E_OK) {
        return error;
    }
    error = settings_with_layer(with_default, CONFIG_SOURCE_DYNAMIC_BROKER,
                                controller->broker_configs.entries,
                                controller->broker_configs.count, &diagnoses, ret_settings);
    settings_unref(with_default);
    say_diagnoses(controller, &diagnoses);
    return error;
}

static enum error build_cluster(struct start *start)
{
    struct controller *controller = start->controller;
    struct settings *settings;
    enum error error = load_settings(start, &settings);
    if (error != E_OK) {
        return error;
    }
    struct image_broker broker = own_broker(controller);
    broker.epoch = controller->plan.operations[start->registration].stat.created_id;
    error = image_builder_set_cluster(controller->plan.builder,
                                      &(struct image_cluster_spec){
                                          .cluster_id = controller->cluster_id,
                                          .controller_id = controller->broker_id,
                                          .controller_epoch = controller->epoch,
                                          .is_read_only = controller->is_read_only,
                                          .brokers = &broker,
                                          .broker_count = 1,
                                          .features = start->features,
                                          .feature_count = (uint32_t)start->feature_count,
                                          .feature_epoch = start->feature_epoch,
                                          .settings = settings,
                                      });
    settings_unref(settings);
    return error;
}

/* --- topics --- */

static bool is_deleted_id(const struct start *start, const struct uuid *id)
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_format(id, text);
    return !uuid_is_zero(id) &&
           find_node(read_of(start, READ_DELETED), slice_from_string(text)) != NULL;
}

/* Marks what is left of deleted topics and moves it to the end, out of the count. */
static size_t drop_deleted(struct start *start)
{
    struct controller *controller = start->controller;
    struct found_partition *found = controller->found;
    size_t count = controller->found_count;
    for (size_t i = 0; i < count;) {
        found[i].is_deleted = is_deleted_id(start, &found[i].topic_id);
        if (!found[i].is_deleted) {
            i++;
            continue;
        }
        const struct found_partition last = found[count - 1];
        found[count - 1] = found[i];
        found[i] = last;
        count--;
    }
    return count;
}

static enum error adopt_topic(struct start *start, struct image_topic *spec)
{
    const struct config_entry internal_configs[] = {
        {SLICE("cleanup.policy"), SLICE("compact")},
        {SLICE("compression.type"), SLICE("producer")},
        {SLICE("segment.bytes"), SLICE("104857600")},
    };
    struct controller *controller = start->controller;
    struct plan *plan = &controller->plan;
    spec->is_held = !spec->is_internal;
    if (spec->is_internal) {
        struct config_entry *entries = ARENA_NEW_ARRAY(&plan->arena, struct config_entry, 3);
        if (entries == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        memcpy(entries, internal_configs, sizeof(internal_configs));
        spec->configs = entries;
        spec->config_count = 3;
    }
    const struct slice node = node_encode_topic(&plan->arena, spec);
    const struct slice configs =
        node_encode_configs(&plan->arena, spec->configs, spec->config_count);
    if (slice_is_null(node) || slice_is_null(configs)) {
        return E_LOCAL_NO_MEMORY;
    }
    start->adopted_count++;
    enum error error = plan_create(plan, 0, node, "/brokers/topics/%.*s", SLICE_ARGS(spec->name));
    if (error == E_OK && find_node(read_of(start, READ_TOPIC_CONFIGS), spec->name) == NULL) {
        error = plan_create(plan, 0, configs, "/config/topics/%.*s", SLICE_ARGS(spec->name));
    }
    if (error == E_OK && spec->is_held &&
        find_node(read_of(start, READ_HELD), spec->name) == NULL) {
        error = plan_create(plan, 0, SLICE_NULL, "/ottla/held/%.*s", SLICE_ARGS(spec->name));
    }
    return error;
}

/* Partitions that Kafka added while it had the directory. */
static enum error adopt_partitions(struct start *start, const struct image_topic *spec)
{
    struct plan *plan = &start->controller->plan;
    const struct slice node = node_encode_topic(&plan->arena, spec);
    return slice_is_null(node) ? E_LOCAL_NO_MEMORY
                               : plan_set(plan, STORE_VERSION_ANY, node, "/brokers/topics/%.*s",
                                          SLICE_ARGS(spec->name));
}

static enum error put_topic(struct start *start, struct image_topic *spec)
{
    struct controller *controller = start->controller;
    struct image_partition *parts =
        ARENA_NEW_ARRAY(&controller->plan.arena, struct image_partition, spec->partition_count);
    if (parts == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (uint32_t i = 0; i < spec->partition_count; i++) {
        parts[i] = spec->partitions[i];
        controller_lead(controller, &parts[i]);
    }
    spec->partitions = parts;
    return image_builder_put_topic(controller->plan.builder, spec);
}

static enum error merge_found(struct start *start, struct image_topic *spec, bool *ret_is_adopted)
{
    struct controller *controller = start->controller;
    struct found_topic found;
    const uint32_t stored_count = spec->partition_count;
    enum error error =
        found_next_topic(&start->arena, controller->found + start->found_at,
                         controller->found_count - start->found_at, &found, &start->text);
    if (error != E_OK) {
        return error;
    }
    start->found_at += found.partition_count;
    error = found_merge(controller, &controller->plan.arena, &found, spec, &start->text);
    if (error == E_OK && stored_count == 0) {
        *ret_is_adopted = true;
        error = adopt_topic(start, spec);
    } else if (error == E_OK && spec->partition_count > stored_count) {
        error = adopt_partitions(start, spec);
    }
    return error;
}

/* A topic of the store, of the disk, or of both. */
static enum error load_topic(struct start *start, struct slice name, const struct store_node *node,
                             bool is_found)
{
    struct plan *plan = &start->controller->plan;
    struct image_topic spec = {.name = name, .is_internal = topic_name_is_internal(name)};
    enum error error = E_OK;
    bool is_adopted = false;
    if (node != NULL) {
        error = node_decode_topic(&plan->arena, node->data, &spec);
        struct image_partition *parts = (struct image_partition *)(uintptr_t)spec.partitions;
        for (uint32_t i = 0; i < spec.partition_count; i++) {
            parts[i].directory = UINT32_MAX;
        }
    }
    if (error == E_OK && is_found) {
        error = merge_found(start, &spec, &is_adopted);
    }
    const struct store_node *configs = find_node(read_of(start, READ_TOPIC_CONFIGS), name);
    if (error == E_OK && configs != NULL) {
        struct config_entry *entries;
        size_t count;
        error = node_decode_configs(&plan->arena, configs->data, &entries, &count);
        spec.configs = entries;
        spec.config_count = (uint32_t)count;
    } else if (error == E_OK && !is_adopted) {
        error = plan_create(plan, 0, SLICE("{\"version\":1,\"config\":{}}"), "/config/topics/%.*s",
                            SLICE_ARGS(name));
    }
    if (!is_adopted) {
        spec.is_held = find_node(read_of(start, READ_HELD), name) != NULL;
    }
    if (error == E_OK) {
        error = put_topic(start, &spec);
    }
    if (error != E_OK && start->text == NULL) {
        start->text = arena_printf(&start->arena, "topic %.*s of the metadata store: %s",
                                   SLICE_ARGS(name), error_text(error));
    }
    return error;
}

/* Walks the topics of the store and those found on disk side by side, in order of name. */
static enum error load_topics(struct start *start)
{
    struct controller *controller = start->controller;
    const struct store_request *stored = read_of(start, READ_TOPICS);
    controller->found_count = drop_deleted(start);
    found_sort(controller->found, controller->found_count);
    size_t at = 0;
    enum error error = E_OK;
    while (error == E_OK &&
           (at < stored->node_count || start->found_at < controller->found_count)) {
        const struct store_node *node = at < stored->node_count ? &stored->nodes[at] : NULL;
        const struct found_partition *found =
            start->found_at < controller->found_count ? &controller->found[start->found_at] : NULL;
        int order = 0;
        if (node == NULL || found == NULL) {
            order = node == NULL ? 1 : -1;
        } else {
            order = slice_compare(node->name, found->topic);
        }
        error = load_topic(start, order <= 0 ? node->name : found->topic, order <= 0 ? node : NULL,
                           order >= 0);
        at += order <= 0;
    }
    return error;
}

/* Deletions of which nothing is left on disk are over. */
static enum error plan_deletions_done(struct start *start, size_t found_total)
{
    const struct store_request *deleted = read_of(start, READ_DELETED);
    for (size_t i = 0; i < deleted->node_count; i++) {
        bool is_left = false;
        for (size_t k = start->controller->found_count; k < found_total && !is_left; k++) {
            char id[UUID_TEXT_SIZE + 1];
            uuid_format(&start->controller->found[k].topic_id, id);
            is_left = slice_equal_string(deleted->nodes[i].name, id);
        }
        const enum error error =
            is_left ? E_OK
                    : plan_delete(&start->controller->plan, "/admin/delete_topics/%.*s",
                                  SLICE_ARGS(deleted->nodes[i].name));
        if (error != E_OK) {
            return error;
        }
    }
    return E_OK;
}

/* --- the steps --- */

static void on_begun(struct store_request *write)
{
    struct start_request *call = container_of(write, struct start_request, request);
    struct start *start = call->start;
    struct controller *controller = start->controller;
    if (write->error != E_OK) {
        finish(start, write->error,
               arena_printf(&start->arena, "the metadata store refused the start: %s",
                            error_text(write->error)));
        return;
    }
    const enum error error = build_cluster(start);
    if (error != E_OK) {
        finish(start, error, NULL);
        return;
    }
    struct image_builder *builder = controller->plan.builder;
    controller->plan.builder = NULL;
    image_builder_publish(builder);
    plan_drop(controller);
    if (start->adopted_count > 0) {
        diag_warn(controller->diag,
                  "%zu topics found on disk are new to the metadata store; neither retention nor "
                  "compaction runs on them until their configs are set",
                  start->adopted_count);
    }
    finish(start, E_OK, NULL);
}

static enum error plan_start(struct start *start)
{
    struct controller *controller = start->controller;
    const size_t found_total = controller->found_count;
    enum error error = plan_begin(controller);
    if (error == E_OK) {
        error = plan_epoch(start);
    }
    if (error == E_OK) {
        error = plan_cluster_id(start);
    }
    if (error == E_OK) {
        error = plan_registration(start);
    }
    if (error == E_OK) {
        error = plan_features(start);
    }
    if (error == E_OK) {
        error = load_topics(start);
    }
    if (error == E_OK) {
        error = plan_deletions_done(start, found_total);
    }
    if (error != E_OK) {
        return error;
    }
    int64_t block_end = -1;
    error = node_decode_producer_ids(read_of(start, READ_PRODUCER_IDS)->node.data, &block_end);
    if (error != E_OK) {
        start->text = "the node /latest_producer_id_block of the metadata store is damaged";
    }
    controller->next_producer_id = block_end + 1;
    return error;
}

static void on_all_read(struct start *start)
{
    struct controller *controller = start->controller;
    enum error error = start->error;
    if (error == E_OK) {
        error = plan_start(start);
    }
    if (error != E_OK) {
        finish(start, error, start->text);
        return;
    }
    struct start_request *call = &start->containers[0];
    call->request = (struct store_request){
        .kind = STORE_MULTI,
        .operations = controller->plan.operations,
        .operation_count = controller->plan.operation_count,
        .arena = &controller->plan.arena,
        .on_done = on_begun,
    };
    store_submit(controller->store, &call->request);
}

static void on_step_done(struct store_request *request)
{
    struct start *start = container_of(request, struct start_request, request)->start;
    const bool is_fine = request->error == E_OK || request->error == E_LOCAL_EXISTS ||
                         (request->kind == STORE_GET && request->error == E_LOCAL_NOT_FOUND);
    if (!is_fine && start->error == E_OK) {
        start->error = request->error;
        start->text = arena_printf(&start->arena, "the metadata store cannot be read: %s",
                                   error_text(request->error));
    }
    if (--start->pending == 0) {
        on_all_read(start);
    }
}

static void submit(struct start *start, struct start_request *call)
{
    call->start = start;
    call->request.arena = &start->arena;
    call->request.on_done = on_step_done;
    start->pending++;
    store_submit(start->controller->store, &call->request);
}

void controller_start(struct controller *controller, controller_started_fn on_started,
                      void *context)
{
    check(!controller->is_started && !controller->is_busy);
    struct start *start = calloc(1, sizeof(*start));
    if (start == NULL) {
        on_started(context, E_LOCAL_NO_MEMORY, error_text(E_LOCAL_NO_MEMORY));
        return;
    }
    start->controller = controller;
    start->on_started = on_started;
    start->context = context;
    arena_init(&start->arena, READ_SIZE_MAX);
    controller->is_busy = true;
    for (size_t i = 0; i < CONTAINER_COUNT; i++) {
        start->container_operations[i] = (struct store_operation){
            .kind = STORE_CREATE,
            .create_flags = STORE_PARENTS,
            .path = slice_from_string(containers[i]),
        };
        start->containers[i].request = (struct store_request){
            .kind = STORE_MULTI,
            .operations = &start->container_operations[i],
            .operation_count = 1,
        };
        submit(start, &start->containers[i]);
    }
    for (size_t i = 0; i < READ_COUNT; i++) {
        start->reads[i].request = (struct store_request){
            .kind = reads[i].kind,
            .path = slice_from_string(reads[i].path),
        };
        submit(start, &start->reads[i]);
    }
}
