/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/broker.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "broker/broker_private.h"
#include "broker/dispatch.h"
#include "broker/log_settings.h"
#include "broker/server_limits.h"
#include "metadata/embedded/embedded_store.h"
#include "metadata/simulated/simulated_store.h"

enum {
    WORKER_COUNT = 4,
    NOTICE_ARENA_SIZE_MAX = 64 * 1024, /* of one controller request */
    START_WAIT_MS = 100,
    /* Some 300,000 partitions: 300 consumers of 1,000 partitions each. */
    FETCH_SESSION_MEMORY_MAX = 64 * 1024 * 1024,
};

static enum error fail(struct start_failure *failure, enum error error, const char *text)
{
    failure->error = error;
    if (failure->text[0] == '\0') {
        (void)snprintf(failure->text, sizeof(failure->text), "%s", text);
    }
    return error;
}

/* --- what the layers below call --- */

static enum error make_log_config(void *context, const struct image *image,
                                  const struct image_topic *topic, struct log_config *ret_config,
                                  int32_t *ret_min_in_sync_replicas)
{
    (void)context;
    return log_settings_make(image, topic, ret_config, ret_min_in_sync_replicas);
}

static void on_image_change(void *context, const struct image *before, const struct image *after,
                            const struct image_delta_topic *topics, size_t topic_count,
                            bool settings_changed)
{
    struct broker *broker = context;
    (void)before;
    for (size_t i = 0; i < topic_count; i++) {
        replica_manager_apply(broker->replicas, after, topics[i].before, topics[i].after);
    }
    if (settings_changed) {
        for (const struct image_topic *topic = image_next_topic(after, NULL); topic != NULL;
             topic = image_next_topic(after, topic)) {
            replica_manager_apply(broker->replicas, after, topic, topic);
        }
    }
}

static void on_directory_change(void *context, uint32_t directory, enum error error)
{
    struct broker *broker = context;
    struct log_directory_status status;
    log_manager_directory_status(broker->logs, directory, &status);
    if (error == E_OK) {
        diag_warn(broker->diag, "log directory %s is online again", status.path);
    } else {
        diag_error(broker->diag,
                   "log directory %s is offline: %s; its partitions are not served until it can be "
                   "written again",
                   status.path, error_text(error));
    }
    replica_manager_on_directory_change(broker->replicas, directory, error);
}

static bool cold_config(void *context, const struct log_entry *entry, struct log_config *ret_config)
{
    (void)context;
    return replica_manager_cold_config(entry, ret_config);
}

static void load_cold(void *context, struct log_entry *entry)
{
    (void)context;
    replica_manager_load_cold(entry);
}

static const struct log_manager_cold_events cold_events = {
    .get_config = cold_config,
    .load = load_cold,
};

/* --- deleted topics: the controller forgets one when no directory of it can come back --- */

struct deletion_notice {
    struct list node; /* broker->deletions, until it is sent */
    struct controller_topic_logs_deleted notice;
    struct arena arena;
};

static void free_notice(struct deletion_notice *own)
{
    arena_done(&own->arena);
    free(own);
}

static void on_noticed(struct controller_request *request)
{
    free_notice(container_of(container_of(request, struct controller_topic_logs_deleted, request),
                             struct deletion_notice, notice));
}

/* At the end of the turn, when all partitions of a topic have begun to go: are all of them gone? */
static void send_notices(struct deferred *deferred)
{
    struct broker *broker = container_of(deferred, struct broker, deletions_deferred);
    struct list *node;
    while ((node = list_pop_front(&broker->deletions)) != NULL) {
        struct deletion_notice *own = container_of(node, struct deletion_notice, node);
        if (broker->is_stopping || log_manager_is_deleting(broker->logs, &own->notice.topic_id)) {
            free_notice(own); /* the last partition, or the next start, will say it again */
        } else {
            controller_submit(broker->channel, &own->notice.request);
        }
    }
}

static bool is_noted(const struct broker *broker, const struct uuid *topic_id)
{
    LIST_FOREACH (node, &broker->deletions) {
        const struct deletion_notice *own = container_of(node, struct deletion_notice, node);
        if (uuid_equal(&own->notice.topic_id, topic_id)) {
            return true;
        }
    }
    return false;
}

static void on_partition_deleted(void *context, const struct uuid *topic_id)
{
    struct broker *broker = context;
    struct deletion_notice *own = NULL;
    if (broker->is_stopping || is_noted(broker, topic_id) ||
        (own = calloc(1, sizeof(*own))) == NULL) {
        return; /* without a notice the next start finds the deletion unfinished and ends it */
    }
    arena_init(&own->arena, NOTICE_ARENA_SIZE_MAX);
    own->notice = (struct controller_topic_logs_deleted){
        .request = {.kind = CONTROLLER_TOPIC_LOGS_DELETED,
                    .arena = &own->arena,
                    .loop = broker->loop,
                    .on_done = on_noticed},
        .topic_id = *topic_id,
    };
    list_push_back(&broker->deletions, &own->node);
    loop_defer(broker->loop, &broker->deletions_deferred, PHASE_COMPLETE);
}

/* --- start, in the order of the layers --- */

static int64_t setting(const struct broker *broker, enum setting_id id)
{
    return settings_integer(broker->settings->settings, id);
}

static bool acks_after_fsync(const struct broker *broker)
{
    return slice_equal_string(
        slice_from_string(settings_text(broker->settings->settings, SETTING_ACK_DURABILITY)),
        "fsync");
}

static enum error open_logs(struct broker *broker, const struct broker_options *options,
                            struct start_failure *failure)
{
    broker->log_env = (struct log_env){
        .vfs = options->vfs,
        .clock = options->clock,
        .loop = broker->loop,
        .workers = broker->workers,
    };
    const struct log_manager_options log_options = {
        .directories = options->settings->log_dirs,
        .directory_count = (uint32_t)options->settings->log_dir_count,
        .broker_id = options->settings->node_id,
        .cluster_id = SLICE_NULL,
        .flush_background_interval_ms = setting(broker, SETTING_FLUSH_BACKGROUND_INTERVAL_MS),
        .retention_check_interval_ms = setting(broker, SETTING_LOG_RETENTION_CHECK_INTERVAL_MS),
        .recovery_point_checkpoint_interval_ms =
            setting(broker, SETTING_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS),
        .start_offset_checkpoint_interval_ms =
            setting(broker, SETTING_LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS),
        .high_watermark_checkpoint_interval_ms =
            setting(broker, SETTING_REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS),
        .open_files_max = (uint32_t)(options->descriptor_count_max / 2),
        .ack_after_fsync = acks_after_fsync(broker),
        .loops = &broker->loop_set,
    };
    const enum error error =
        log_manager_open(&broker->log_env, broker->diag, &log_options, &broker->logs, failure);
    if (error != E_OK) {
        return fail(failure, error, "the log directories cannot be opened");
    }
    broker->broker_id = log_manager_broker_id(broker->logs);
    log_manager_on_directory_change(broker->logs, on_directory_change, broker);
    log_manager_on_cold(broker->logs, &cold_events);
    log_manager_on_deleted(broker->logs, on_partition_deleted, broker);
    return E_OK;
}

/* *ret_is_read_only: the store is lost; what is on disk is served, nothing can be changed. */
static enum error open_store(struct broker *broker, const struct broker_options *options,
                             struct start_failure *failure, bool *ret_is_read_only)
{
    char text[STORE_TEXT_SIZE] = "";
    const struct embedded_store_options store_options = {
        .loop = broker->loop,
        .workers = broker->workers,
        .vfs = options->vfs,
        .clock = options->clock,
        .rng = &broker->rng,
        .directory = options->settings->metadata_log_dir,
        .log_directories = options->settings->log_dirs,
        .log_directory_count = options->settings->log_dir_count,
    };
    const enum error error = embedded_store_open(&store_options, &broker->store, text);
    *ret_is_read_only = error == E_LOCAL_NOT_FOUND;
    if (*ret_is_read_only) {
        diag_error(broker->diag, "read-only: %s", text);
        broker->store = simulated_store_new(broker->loop, options->clock);
        return broker->store == NULL ? fail(failure, E_LOCAL_NO_MEMORY, "no memory") : E_OK;
    }
    return error == E_OK ? E_OK : fail(failure, error, text);
}

static enum error new_replicas(struct broker *broker)
{
    const struct replica_manager_options options = {
        .logs = broker->logs,
        .loops = &broker->loop_set,
        .diag = broker->diag,
        .broker_id = broker->broker_id,
        .ack_after_fsync = acks_after_fsync(broker),
        .make_log_config = make_log_config,
        .context = broker,
        .seed = rng_next(&broker->rng),
    };
    broker->image_listener =
        (struct image_listener){.context = broker, .on_change = on_image_change};
    image_source_subscribe(broker->images, &broker->image_listener);
    return replica_manager_new(&options, &broker->replicas);
}

/* What lies on disk, for the controller to adopt. Array by malloc. */
static enum error list_found(struct broker *broker, struct found_partition **ret_found,
                             size_t *ret_count)
{
    size_t count = 0;
    for (struct log_entry *entry = log_manager_next(broker->logs, NULL); entry != NULL;
         entry = log_manager_next(broker->logs, entry)) {
        count++;
    }
    struct found_partition *found = calloc(count + 1, sizeof(*found));
    if (found == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t i = 0;
    for (struct log_entry *entry = log_manager_next(broker->logs, NULL); entry != NULL;
         entry = log_manager_next(broker->logs, entry)) {
        found[i++] = (struct found_partition){
            .topic = entry->topic_partition.topic,
            .partition = entry->topic_partition.partition,
            .topic_id = entry->topic_id,
            .directory = entry->directory,
            .latest_epoch = entry->latest_epoch_hint,
        };
    }
    *ret_found = found;
    *ret_count = count;
    return E_OK;
}

static void delete_unfinished(struct broker *broker, const struct found_partition *found,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct log_entry *entry = log_manager_find(
            broker->logs,
            (struct topic_partition){.topic = found[i].topic, .partition = found[i].partition});
        if (found[i].is_deleted && entry != NULL && entry->user == NULL) {
            log_manager_delete(broker->logs, entry);
        }
    }
}

static enum error new_controller(struct broker *broker, const struct broker_options *options,
                                 struct found_partition *found, size_t found_count,
                                 bool is_read_only)
{
    const struct listeners *listeners = &options->settings->listeners;
    struct image_endpoint *endpoints = calloc(listeners->count + 1, sizeof(*endpoints));
    if (endpoints == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener_address *advertised = listeners_find(
            listeners->advertised, listeners->advertised_count, listeners->items[i].name);
        endpoints[i].listener = slice_from_string(listeners->items[i].name);
        endpoints[i].host = advertised == NULL ? SLICE_NULL : slice_from_string(advertised->host);
        endpoints[i].port = advertised == NULL ? listeners->items[i].port : advertised->port;
    }
    const struct controller_options controller_options = {
        .loop = broker->loop,
        .store = broker->store,
        .clock = options->clock,
        .rng = &broker->rng,
        .diag = broker->diag,
        .settings = options->settings->settings,
        .source = broker->images,
        .broker_id = broker->broker_id,
        .cluster_id = log_manager_cluster_id(broker->logs),
        .rack = slice_from_string(settings_text(options->settings->settings, SETTING_BROKER_RACK)),
        .endpoints = endpoints,
        .endpoint_count = (uint32_t)listeners->count,
        .found = found,
        .found_count = found_count,
        .is_read_only = is_read_only,
    };
    const enum error error = controller_new(&controller_options, &broker->controller);
    free(endpoints);
    return error;
}

static enum error new_fetch_sessions(struct broker *broker)
{
    const unsigned loop_count = broker->loop_set.count;
    const struct fetch_session_limits limits = {
        .session_count_max =
            (uint32_t)setting(broker, SETTING_MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS),
        .memory_max = FETCH_SESSION_MEMORY_MAX / loop_count,
    };
    for (unsigned i = 0; i < loop_count; i++) {
        struct broker_loop *here = &broker->loops[i];
        rng_init(&here->rng, rng_next(&broker->rng));
        here->fetch_sessions = fetch_sessions_new(&limits, &here->rng);
        if (here->fetch_sessions == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
    }
    return E_OK;
}

struct controller_start_wait {
    bool is_done;
    enum error error;
    struct start_failure *failure;
};

static void on_controller_started(void *context, enum error error, const char *text)
{
    struct controller_start_wait *wait = context;
    wait->is_done = true;
    wait->error = error;
    if (error != E_OK) {
        (void)fail(wait->failure, error, text);
    }
}

static enum error start_controller(struct broker *broker, const struct broker_options *options,
                                   struct start_failure *failure, bool is_read_only)
{
    struct controller_start_wait wait = {.failure = failure};
    struct found_partition *found = NULL;
    size_t found_count = 0;
    enum error error = list_found(broker, &found, &found_count);
    if (error == E_OK) {
        error = new_controller(broker, options, found, found_count, is_read_only);
    }
    if (error == E_OK) {
        broker->channel = controller_get_channel(broker->controller);
        controller_start(broker->controller, on_controller_started, &wait);
        while (!wait.is_done) {
            loop_turn(broker->loop, START_WAIT_MS);
        }
        error = wait.error;
    }
    if (error == E_OK) {
        delete_unfinished(broker, found, found_count);
        producer_ids_init(&broker->producer_ids, broker->channel, broker->loop);
    }
    free(found);
    return error;
}

static enum error new_server(struct broker *broker, const struct broker_options *options,
                             struct start_failure *failure)
{
    struct server_limits limits;
    const enum error error = server_limits_make(options, &limits, failure);
    return error == E_OK ? server_new(&limits, broker->diag, &broker->server) : error;
}

/* The first loop chooses the port where the setting says 0. */
static enum error open_listener(struct broker_loop *here, size_t index,
                                const struct listener_address *wanted,
                                struct start_failure *failure)
{
    struct broker *broker = here->broker;
    const struct listen_address address = {
        .listener_name = wanted->name,
        .host = wanted->host,
        .port = here->loop == broker->loop ? wanted->port : broker->ports[index],
    };
    const enum error error =
        server_listen(broker->server, here->loop, &address, broker->loop_set.count > 1,
                      &here->handler, &here->listeners[index], &broker->ports[index]);
    if (error != E_OK) {
        (void)snprintf(failure->text, sizeof(failure->text),
                       "cannot listen on %s://%s:%u: %s; choose another address in listeners, "
                       "or end the process that has it",
                       address.listener_name, address.host, address.port,
                       error == E_LOCAL_NOT_FOUND ? "this machine has no such host or address"
                                                  : error_text(error));
        failure->error = error;
    }
    return error;
}

static enum error open_listeners(struct broker *broker, const struct broker_options *options,
                                 struct start_failure *failure)
{
    const struct listeners *listeners = &options->settings->listeners;
    enum error error = E_OK;
    broker->ports = calloc(listeners->count, sizeof(uint16_t));
    if (broker->ports == NULL) {
        return fail(failure, E_LOCAL_NO_MEMORY, "no memory");
    }
    for (unsigned i = 0; i < broker->loop_set.count; i++) {
        struct broker_loop *here = &broker->loops[i];
        here->listeners = calloc(listeners->count, sizeof(struct listener *));
        if (here->listeners == NULL) {
            return fail(failure, E_LOCAL_NO_MEMORY, "no memory");
        }
        for (size_t j = 0; error == E_OK && j < listeners->count; j++) {
            error = open_listener(here, j, &listeners->items[j], failure);
            here->listener_count += error == E_OK ? 1 : 0;
        }
    }
    return error;
}

static void announce(const struct broker *broker)
{
    const struct listeners *listeners = &broker->settings->listeners;
    char addresses[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < listeners->count && used < sizeof(addresses); i++) {
        used += (size_t)snprintf(addresses + used, sizeof(addresses) - used, "%s%s://%s:%u",
                                 i == 0 ? "" : ",", listeners->items[i].name,
                                 listeners->items[i].host, broker->ports[i]);
    }
    diag_info(broker->diag,
              "serving: broker %d of cluster %.*s on %s; %zu topics, %zu partitions; "
              "ack.durability=%s%s",
              broker->broker_id, (int)log_manager_cluster_id(broker->logs).size,
              (const char *)log_manager_cluster_id(broker->logs).data, addresses,
              broker->start_topic_count, broker->start_partition_count,
              settings_text(broker->settings->settings, SETTING_ACK_DURABILITY),
              listeners->advertised_count == 0
                  ? "; clients are told the address at which they arrived (behind port mappings "
                    "set advertised.listeners)"
                  : "");
}

/* event.loops: 0 is one per core, and one on machines of one or two cores. */
static enum error new_loops(struct broker *broker, const struct broker_options *options,
                            struct start_failure *failure)
{
    const unsigned count = options->event_loop_count != 0
                               ? options->event_loop_count
                               : (unsigned)setting(broker, SETTING_EVENT_LOOPS);
    const enum error error = broker_loops_new(broker, options->clock, count);
    dispatch_init(broker);
    return error == E_OK ? E_OK : fail(failure, error, "no memory or threads for the event loop");
}

static enum error start(struct broker *broker, const struct broker_options *options,
                        struct start_failure *failure)
{
    bool is_read_only = false;
    enum error error = new_loops(broker, options, failure);
    if (error == E_OK) {
        error = worker_pool_new(WORKER_COUNT, &broker->workers);
    }
    if (error != E_OK) {
        return fail(failure, error, "no memory or threads for the event loop");
    }
    error = open_logs(broker, options, failure);
    if (error == E_OK) {
        error = open_store(broker, options, failure, &is_read_only);
    }
    if (error != E_OK) {
        return error;
    }
    broker->images = image_source_new(options->settings->settings);
    error = broker->images == NULL ? E_LOCAL_NO_MEMORY : new_replicas(broker);
    if (error == E_OK) {
        error = new_fetch_sessions(broker);
    }
    if (error == E_OK) {
        error = start_controller(broker, options, failure, is_read_only);
    }
    if (error == E_OK) {
        error = new_server(broker, options, failure);
    }
    if (error == E_OK) {
        error = open_listeners(broker, options, failure);
    }
    return error == E_OK ? E_OK : fail(failure, error, error_text(error));
}

enum error broker_new(const struct broker_options *options, struct broker **ret_broker,
                      struct start_failure *failure)
{
    struct broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL) {
        return fail(failure, E_LOCAL_NO_MEMORY, "no memory");
    }
    broker->settings = options->settings;
    broker->diag = options->diag;
    broker->authoriser = options->authoriser != NULL ? options->authoriser : authoriser_allow_all();
    list_init(&broker->deletions);
    deferred_init(&broker->deletions_deferred, send_notices);
    rng_init(&broker->rng, options->seed);
    const enum error error = start(broker, options, failure);
    if (error != E_OK) {
        broker_free(broker);
        return error;
    }
    struct image *image = image_source_take(broker->images);
    broker->start_topic_count = image->topic_count;
    broker->start_partition_count = image->partition_count;
    (void)image_unref(image);
    announce(broker);
    replica_manager_load_all(broker->replicas);
    *ret_broker = broker;
    return E_OK;
}

void broker_run(struct broker *broker)
{
    broker_loops_run(broker);
}

void broker_stop(struct broker *broker)
{
    loop_stop(broker->loop);
}

/* --- stop, in reverse --- */

static void stop_serving(struct broker *broker)
{
    if (broker->loop != NULL) {
        broker_loops_turn(broker, 0); /* the loops are this thread's now */
    }
    for (unsigned i = 0; i < broker->loop_set.count; i++) {
        struct broker_loop *here = &broker->loops[i];
        for (size_t j = 0; j < here->listener_count; j++) {
            listener_close(here->listeners[j]);
        }
        if (broker->server != NULL) {
            server_close_connections(broker->server, here->loop);
        }
    }
    if (broker->loop_set.count > 1) {
        broker_loops_turn(broker, 0); /* what is on its way between them arrives */
    }
    /* What is under way at the controller and on the workers comes to its end. */
    while (broker->controller != NULL && !controller_is_idle(broker->controller)) {
        broker_loops_turn(broker, START_WAIT_MS);
    }
    broker->is_stopping = true; /* nothing new for the controller */
}

static void free_fetch_sessions(struct broker *broker)
{
    for (unsigned i = 0; i < broker->loop_set.count; i++) {
        fetch_sessions_free(broker->loops[i].fetch_sessions);
    }
}

/* Appends that waited are answered by the partitions' end: the answers go to their loops. */
static void free_replicas(struct broker *broker)
{
    replica_manager_free(broker->replicas);
    if (broker->loop_set.count > 1) {
        broker_loops_turn(broker, 0);
    }
}

void broker_free(struct broker *broker)
{
    if (broker == NULL) {
        return;
    }
    stop_serving(broker);
    if (broker->replicas != NULL) {
        replica_manager_stop_loading(broker->replicas);
    }
    if (broker->logs != NULL) {
        log_manager_close_clean(broker->logs);
    }
    free_fetch_sessions(broker);
    free_replicas(broker);
    server_free(broker->server);
    producer_ids_done(&broker->producer_ids);
    controller_free(broker->controller);
    image_source_free(broker->images);
    if (broker->store != NULL) {
        store_close(broker->store);
    }
    log_manager_free(broker->logs);
    if (broker->workers != NULL) {
        worker_pool_free(broker->workers);
    }
    broker_loops_free(broker);
    free(broker->ports);
    free(broker);
}

uint16_t broker_port(const struct broker *broker, size_t index)
{
    check(index < broker->loops[0].listener_count);
    return broker->ports[index];
}
