/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a broker asks of the controller: typed requests in, typed answers out. Implemented by
 * controller/ in this process; later by a client connection to the controller of the cluster.
 *
 * A request is embedded in what the caller keeps and stays where it is until on_done. Inputs are
 * borrowed until then; texts and arrays of the answer go to the request's arena, which is lent:
 * nobody else allocates from it meanwhile. Requests of one loop are carried out in order.
 *
 * What was changed is in the image that image_source_take gives in on_done or later.
 *
 * Error of the whole request (request.error), then the items are not filled:
 *   E_NOT_CONTROLLER, E_LOCAL_NO_MEMORY. Anything else is in the failure of each item, with a text
 *   as Kafka's where Kafka gives one.
 * timeout_ms <= 0: the items answer E_REQUEST_TIMED_OUT while the work goes on.
 *
 * Thread: any loop may submit; on_done comes on request.loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "config/settings.h"
#include "io/loop.h"

struct controller_channel;

enum controller_request_kind {
    CONTROLLER_CREATE_TOPICS,
    CONTROLLER_DELETE_TOPICS,
    CONTROLLER_CREATE_PARTITIONS,
    CONTROLLER_ALTER_CONFIGS,
    CONTROLLER_ALLOCATE_PRODUCER_IDS,
    CONTROLLER_UPDATE_FEATURES,
    CONTROLLER_TOPIC_LOGS_DELETED,
};

/* First member of each typed request. Set by the caller: kind, arena, loop, on_done. */
struct controller_request {
    enum controller_request_kind kind;
    struct arena *arena; /* lent until on_done */
    struct loop *loop;   /* of the caller */
    void (*on_done)(struct controller_request *request);
    enum error error;                   /* answer */
    struct message message;             /* the channel's, as all below */
    struct controller_channel *channel; /* that it was submitted to */
    struct list link;
};

/* Replicas of one partition; the first is the preferred leader. */
struct controller_assignment {
    int32_t partition; /* create topics: in any order; create partitions: position counts */
    const int32_t *broker_ids;
    uint32_t broker_count;
};

struct controller_new_topic {
    struct slice name;
    int32_t partition_count;    /* -1: num.partitions, or as assigned */
    int16_t replication_factor; /* -1: default.replication.factor, or as assigned */
    const struct controller_assignment *assignments;
    uint32_t assignment_count; /* > 0: both counts must be -1 */
    const struct config_entry *configs;
    uint32_t config_count;
    /* Answers. */
    struct failure failure;
    struct uuid topic_id;            /* zero when it only was validated */
    int32_t partition_count_made;    /* also when it only was validated */
    int16_t replication_factor_made; /* likewise */
};

struct controller_create_topics {
    struct controller_request request;
    struct controller_new_topic *topics;
    size_t topic_count;
    int32_t timeout_ms;
    bool validate_only;
};

struct controller_deleted_topic {
    struct slice name;    /* null: by id. Answer: the name if it is known */
    struct uuid topic_id; /* zero: by name. Answer: the id if it is known */
    struct failure failure;
};

struct controller_delete_topics {
    struct controller_request request;
    struct controller_deleted_topic *topics;
    size_t topic_count;
    int32_t timeout_ms;
};

struct controller_grown_topic {
    struct slice name;
    int32_t partition_count;                         /* total after it */
    const struct controller_assignment *assignments; /* of the new partitions, in order */
    uint32_t assignment_count;
    bool has_assignments; /* false: null in the request, placed by the controller */
    struct failure failure;
};

struct controller_create_partitions {
    struct controller_request request;
    struct controller_grown_topic *topics;
    size_t topic_count;
    int32_t timeout_ms;
    bool validate_only;
};

/* Kafka's codes. */
enum config_resource_type {
    CONFIG_RESOURCE_TOPIC = 2,
    CONFIG_RESOURCE_BROKER = 4,
    CONFIG_RESOURCE_BROKER_LOGGER = 8,
    CONFIG_RESOURCE_CLIENT_METRICS = 16,
    CONFIG_RESOURCE_GROUP = 32,
};

/* Kafka's codes. */
enum alter_config_operation {
    ALTER_CONFIG_SET = 0,
    ALTER_CONFIG_DELETE = 1,
    ALTER_CONFIG_APPEND = 2,
    ALTER_CONFIG_SUBTRACT = 3,
};

struct controller_config_change {
    struct slice name;
    struct slice value; /* null slice: null */
    int8_t operation;   /* enum alter_config_operation, as received; SET in a full replacement */
};

struct controller_altered_resource {
    int8_t type;       /* enum config_resource_type, as received */
    struct slice name; /* broker: its id in decimal, or "" for all brokers */
    const struct controller_config_change *changes;
    uint32_t change_count;
    struct failure failure;
};

struct controller_alter_configs {
    struct controller_request request;
    struct controller_altered_resource *resources;
    size_t resource_count;
    bool is_incremental; /* false: the changes replace all that was set */
    bool validate_only;
};

struct controller_allocate_producer_ids {
    struct controller_request request;
    /* Answers. */
    struct failure failure;
    int64_t first_producer_id;
    int32_t producer_id_count;
};

struct controller_feature_update {
    struct slice name;
    int16_t level_max;    /* the wanted level; 0: delete */
    bool allow_downgrade; /* v0; or upgrade type 2 or 3 */
    struct failure failure;
};

struct controller_update_features {
    struct controller_request request;
    struct controller_feature_update *features;
    size_t feature_count;
    bool validate_only;
    struct failure failure; /* of the whole: with it no feature was changed */
};

/* Not an API of clients: this broker has renamed or removed all directories of a deleted topic, so
 * that it cannot come back at the next start. */
struct controller_topic_logs_deleted {
    struct controller_request request;
    struct uuid topic_id;
    struct failure failure; /* E_LOCAL_NOT_FOUND: no such deletion */
};

struct controller_channel {
    void (*submit)(struct controller_channel *channel, struct controller_request *request);
};

static inline void controller_submit(struct controller_channel *channel,
                                     struct controller_request *request)
{
    channel->submit(channel, request);
}
