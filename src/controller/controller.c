/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A request: channel_submit → message → waiting → prepare (validate, plan) → one multi → publish
 * the image → answer. Invariants: I1. At most one plan is in work; its builder holds the image that
 * the next plan starts from. I2. The image is published before the answer goes out, and only after
 * the store has the change. I3. Every multi after the start checks the version of
 * /controller_epoch.
 */

#include "controller/controller.h"

#include <stdarg.h>
#include <stdlib.h>

#include "config/topic_config.h"
#include "controller/controller_private.h"

enum {
    OPTIONS_SIZE_MAX = 1024 * 1024,
    PLAN_SIZE_MAX = 256 * 1024 * 1024, /* a request of 10,000 partitions needs some 10 MiB */
    CONFIG_SET_SIZE_MAX = 4 * 1024 * 1024,
};

/* --- helpers of the operations --- */

int32_t controller_start_epoch(const struct controller *controller)
{
    /* Kafka's first controller epoch is 1 and its first leader epoch 0. */
    return controller->epoch > 0 ? controller->epoch - 1 : 0;
}

void controller_lead(const struct controller *controller, struct image_partition *part)
{
    const int32_t start_epoch = controller_start_epoch(controller);
    part->isr = part->replicas;
    part->isr_count = part->replica_count;
    part->leader = -1;
    for (uint32_t i = 0; i < part->replica_count; i++) {
        if (part->replicas[i] == controller->broker_id) {
            part->leader = controller->broker_id;
        }
    }
    if (part->leader_epoch < start_epoch) {
        part->leader_epoch = start_epoch;
    }
}

struct image_cluster_spec cluster_spec_of(const struct image *image)
{
    return (struct image_cluster_spec){
        .cluster_id = image->cluster_id,
        .controller_id = image->controller_id,
        .controller_epoch = image->controller_epoch,
        .is_read_only = image->is_read_only,
        .brokers = image->brokers,
        .broker_count = image->broker_count,
        .features = image->features,
        .feature_count = image->feature_count,
        .feature_epoch = image->feature_epoch,
        .settings = image->settings,
    };
}

void controller_fail(struct controller_request *request, struct failure *failure, enum error code,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    failure->code = code;
    failure->text = arena_vprintf(request->arena, format, args);
    va_end(args);
}

enum error controller_check_topic_configs(struct controller *controller,
                                          struct controller_request *request,
                                          const struct config_entry *entries, size_t count,
                                          struct failure *failure)
{
    struct topic_settings *settings = ARENA_NEW(request->arena, struct topic_settings);
    if (settings == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    enum error error = E_OK;
    for (size_t i = 0; i < count && error == E_OK; i++) {
        error = topic_config_check(entries[i].name, entries[i].value, request->arena, failure);
    }
    if (error == E_OK) {
        error = topic_settings_resolve(controller->plan.image->settings, entries, count,
                                       request->arena, settings);
    }
    if (error == E_OK) {
        error = topic_settings_check(settings, request->arena, failure);
    }
    if (error != E_OK && error != E_LOCAL_NO_MEMORY) {
        failure->code = error;
    }
    return error;
}

void config_set_init(struct config_set *set)
{
    *set = (struct config_set){.count = 0};
    arena_init(&set->arena, CONFIG_SET_SIZE_MAX);
}

void config_set_done(struct config_set *set)
{
    arena_done(&set->arena);
}

enum error config_set_assign(struct config_set *set, const struct config_entry *entries,
                             size_t count)
{
    arena_clear(&set->arena);
    set->entries = ARENA_NEW_ARRAY(&set->arena, struct config_entry, count);
    set->count = 0;
    if (set->entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        set->entries[i].name = arena_copy(&set->arena, entries[i].name);
        set->entries[i].value = arena_copy(&set->arena, entries[i].value);
        if (slice_is_null(set->entries[i].name) || slice_is_null(set->entries[i].value)) {
            return E_LOCAL_NO_MEMORY;
        }
    }
    set->count = count;
    return E_OK;
}

/* --- requests --- */

static const struct controller_operation *operation_of(enum controller_request_kind kind)
{
    switch (kind) {
    case CONTROLLER_CREATE_TOPICS:
        return &create_topics_operation;
    case CONTROLLER_DELETE_TOPICS:
        return &delete_topics_operation;
    case CONTROLLER_CREATE_PARTITIONS:
        return &create_partitions_operation;
    case CONTROLLER_ALTER_CONFIGS:
        return &alter_configs_operation;
    case CONTROLLER_ALLOCATE_PRODUCER_IDS:
        return &allocate_producer_ids_operation;
    case CONTROLLER_UPDATE_FEATURES:
        return &update_features_operation;
    case CONTROLLER_TOPIC_LOGS_DELETED:
        return &topic_logs_deleted_operation;
    }
    return NULL;
}

static void on_answer(struct message *message)
{
    struct controller_request *request = container_of(message, struct controller_request, message);
    request->on_done(request);
}

static void answer(struct controller_request *request, enum error error)
{
    request->error = error;
    request->message.on_receive = on_answer;
    loop_post(request->loop, &request->message);
}

/* Gives the items that are good so far this failure. */
static void fail_rest(const struct controller_operation *operation,
                      struct controller_request *request, struct failure with)
{
    struct failure *failure;
    for (size_t i = 0; (failure = operation->failure_at(request, i)) != NULL; i++) {
        if (failure->code == E_OK) {
            *failure = with;
        }
    }
}

static void clear_failures(const struct controller_operation *operation,
                           struct controller_request *request)
{
    struct failure *failure;
    for (size_t i = 0; (failure = operation->failure_at(request, i)) != NULL; i++) {
        *failure = (struct failure){.code = E_OK};
    }
}

static void apply_next_configs(struct controller *controller)
{
    struct config_set *set = controller->next_configs_of;
    if (set != NULL) {
        config_set_done(set);
        *set = controller->next_configs;
        set->has_node = true;
        config_set_init(&controller->next_configs);
        controller->next_configs_of = NULL;
    }
}

static void drop_next_configs(struct controller *controller)
{
    arena_clear(&controller->next_configs.arena);
    controller->next_configs_of = NULL;
}

static void start_next(struct controller *controller);

static void commit_plan(struct controller *controller)
{
    struct image_builder *builder = controller->plan.builder;
    controller->plan.builder = NULL;
    apply_next_configs(controller);
    image_builder_publish(builder);
    plan_drop(controller);
}

static void on_written(struct store_request *write)
{
    struct controller *controller = container_of(write, struct controller, plan.request);
    struct controller_request *request = controller->current;
    const bool is_deposed = write->error == E_LOCAL_BAD_VERSION && write->failed == 0;
    enum error error = E_OK;
    if (write->error == E_OK) {
        commit_plan(controller);
    } else {
        diag_error(controller->diag, "the metadata store refused a change: %s",
                   error_text(write->error));
        drop_next_configs(controller);
        plan_drop(controller);
        error = is_deposed ? E_NOT_CONTROLLER : E_OK;
        if (request != NULL && !is_deposed) {
            fail_rest(controller->operation, request,
                      (struct failure){.code = write->error,
                                       .text = "The metadata store refused the change"});
        }
    }
    controller->current = NULL;
    controller->is_busy = false;
    if (request != NULL) {
        answer(request, error);
    }
    start_next(controller);
}

static void submit_plan(struct controller *controller, struct controller_request *request)
{
    const struct controller_operation *operation = controller->operation;
    struct plan *plan = &controller->plan;
    plan->request = (struct store_request){
        .kind = STORE_MULTI,
        .operations = plan->operations,
        .operation_count = plan->operation_count,
        .arena = &plan->arena,
        .on_done = on_written,
    };
    controller->is_busy = true;
    controller->current = request;
    if (operation->answers_early != NULL && operation->answers_early(request)) {
        controller->current = NULL;
        fail_rest(operation, request, (struct failure){.code = E_REQUEST_TIMED_OUT});
        answer(request, E_OK);
    }
    store_submit(controller->store, &plan->request);
}

/* Plans, and answers at once what needs no write. */
static void process(struct controller *controller, struct controller_request *request)
{
    const struct controller_operation *operation = operation_of(request->kind);
    check(operation != NULL);
    controller->operation = operation;
    clear_failures(operation, request);
    if (controller->is_read_only) {
        fail_rest(operation, request,
                  (struct failure){.code = E_LOCAL_OFFLINE,
                                   .text = "The metadata store of this broker is lost: it serves "
                                           "reads only"});
        answer(request, E_OK);
        return;
    }
    enum error error = plan_begin(controller);
    if (error == E_OK) {
        error = plan_check(&controller->plan, controller->epoch_version, "/controller_epoch");
    }
    if (error == E_OK) {
        error = operation->prepare(controller, request);
    }
    const bool is_write =
        error == E_OK && controller->plan.operation_count > 1 &&
        (operation->validates_only == NULL || !operation->validates_only(request));
    if (is_write) {
        submit_plan(controller, request);
        return;
    }
    drop_next_configs(controller);
    plan_drop(controller);
    answer(request, error);
}

static void start_next(struct controller *controller)
{
    while (controller->is_started && !controller->is_busy && !list_is_empty(&controller->waiting)) {
        process(controller, container_of(list_pop_front(&controller->waiting),
                                         struct controller_request, link));
    }
}

/* --- the channel --- */

static void on_submitted(struct message *message)
{
    struct controller_request *request = container_of(message, struct controller_request, message);
    struct controller *controller = container_of(request->channel, struct controller, channel);
    list_push_back(&controller->waiting, &request->link);
    start_next(controller);
}

static void channel_submit(struct controller_channel *channel, struct controller_request *request)
{
    struct controller *controller = container_of(channel, struct controller, channel);
    request->channel = channel;
    request->message.on_receive = on_submitted;
    loop_post(controller->loop, &request->message);
}

/* --- life --- */

void controller_serve(struct controller *controller)
{
    controller->is_started = true;
    start_next(controller);
}

struct controller_channel *controller_get_channel(struct controller *controller)
{
    return &controller->channel;
}

bool controller_is_idle(const struct controller *controller)
{
    return !controller->is_busy && list_is_empty(&controller->waiting);
}

static bool copy_text(struct arena *arena, struct slice *text)
{
    const bool is_null = slice_is_null(*text);
    *text = arena_copy(arena, *text);
    return is_null || !slice_is_null(*text);
}

static bool copy_options(struct controller *controller, const struct controller_options *options)
{
    struct arena *arena = &controller->arena;
    controller->cluster_id = options->cluster_id;
    controller->rack = options->rack;
    controller->endpoints = ARENA_NEW_ARRAY(arena, struct image_endpoint, options->endpoint_count);
    controller->features = ARENA_NEW_ARRAY(arena, struct supported_feature, options->feature_count);
    if (controller->endpoints == NULL || controller->features == NULL ||
        !copy_text(arena, &controller->cluster_id) || !copy_text(arena, &controller->rack)) {
        return false;
    }
    for (uint32_t i = 0; i < options->endpoint_count; i++) {
        struct image_endpoint *endpoint = &controller->endpoints[i];
        *endpoint = options->endpoints[i];
        if (!copy_text(arena, &endpoint->listener) || !copy_text(arena, &endpoint->host)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < options->feature_count; i++) {
        controller->features[i] = options->features[i];
        if (!copy_text(arena, &controller->features[i].name)) {
            return false;
        }
    }
    controller->endpoint_count = options->endpoint_count;
    controller->feature_count = options->feature_count;
    return true;
}

enum error controller_new(const struct controller_options *options,
                          struct controller **ret_controller)
{
    struct controller *controller = calloc(1, sizeof(*controller));
    if (controller == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    controller->channel.submit = channel_submit;
    controller->loop = options->loop;
    controller->store = options->store;
    controller->clock = options->clock;
    controller->rng = options->rng;
    controller->diag = options->diag;
    controller->source = options->source;
    controller->settings = settings_ref(options->settings);
    controller->broker_id = options->broker_id;
    controller->is_read_only = options->is_read_only;
    controller->found = options->found;
    controller->found_count = options->found_count;
    arena_init(&controller->arena, OPTIONS_SIZE_MAX);
    arena_init(&controller->plan.arena, PLAN_SIZE_MAX);
    config_set_init(&controller->broker_configs);
    config_set_init(&controller->default_configs);
    config_set_init(&controller->next_configs);
    list_init(&controller->waiting);
    if (!copy_options(controller, options)) {
        controller_free(controller);
        return E_LOCAL_NO_MEMORY;
    }
    *ret_controller = controller;
    return E_OK;
}

void controller_free(struct controller *controller)
{
    if (controller == NULL) {
        return;
    }
    check(controller_is_idle(controller));
    check(controller->plan.builder == NULL);
    config_set_done(&controller->broker_configs);
    config_set_done(&controller->default_configs);
    config_set_done(&controller->next_configs);
    arena_done(&controller->plan.arena);
    arena_done(&controller->arena);
    settings_unref(controller->settings);
    free(controller);
}
