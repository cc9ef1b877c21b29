/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers see of the broker. */

#include "base/rng.h"
#include "broker/broker.h"
#include "broker/broker_loops.h"
#include "broker/fetch_session.h"
#include "broker/producer_ids.h"
#include "controller/controller.h"
#include "io/worker.h"
#include "metadata/image.h"
#include "net/connection.h"
#include "record/inflate.h"
#include "replication/controller_channel.h"
#include "replication/replica_manager.h"
#include "security/authorise.h"

struct broker {
    const struct broker_settings *settings;
    struct diag *diag;
    struct loop *loop; /* home, the first of them */
    struct broker_loop *loops;
    struct loop_set loop_set;
    struct worker_pool *workers;
    struct log_env log_env;
    struct log_manager *logs;
    struct image_source *images;
    struct image_listener image_listener;
    struct store *store;
    struct controller *controller;
    struct list deletions; /* of topics, to be told to the controller */
    struct deferred deletions_deferred;
    struct controller_channel *channel;
    struct replica_manager *replicas;
    struct server *server;
    uint16_t *ports; /* as many as the settings have listeners */
    struct authoriser *authoriser;
    struct producer_ids producer_ids;
    struct rng rng;
    int32_t broker_id;
    bool is_stopping;
    size_t start_topic_count;
    size_t start_partition_count;
};
