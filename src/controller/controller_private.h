/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The controller's state and what its operations (one file each) are made of. */

#include "controller/controller.h"
#include "metadata/image_builder.h"

/*
 * One change of the cluster, all or nothing: the operations of one multi, and the image as it will
 * be. Everything lives in the arena; the builder is published when the multi is done.
 */
struct plan {
    struct arena arena;
    struct image *image; /* the current one: a reference while a plan is made */
    struct image_builder *builder;
    struct store_operation *operations;
    size_t operation_count;
    size_t operation_capacity;
    struct store_request request;
};

/* Dynamic configs as stored, also those that this release does not know. */
struct config_set {
    struct arena arena;
    struct config_entry *entries;
    size_t count;
    bool has_node; /* the node exists in the store */
};

struct controller {
    struct controller_channel channel;
    struct loop *loop;
    struct store *store;
    struct clock *clock;
    struct rng *rng;
    struct diag *diag;
    struct image_source *source;
    struct settings *settings; /* static layer only; a reference */
    struct arena arena;        /* of the options below */
    int32_t broker_id;
    struct slice cluster_id;
    struct slice rack;
    struct image_endpoint *endpoints;
    uint32_t endpoint_count;
    struct supported_feature *features;
    uint32_t feature_count;
    bool is_read_only;
    struct found_partition *found; /* the caller's, until started */
    size_t found_count;

    bool is_started;
    int32_t epoch;         /* /controller_epoch: the start counter too */
    int32_t epoch_version; /* of the node */
    int64_t next_producer_id;
    struct config_set broker_configs;
    struct config_set default_configs;
    struct config_set next_configs; /* of the plan in work: becomes one of the two above */
    struct config_set *next_configs_of;

    struct list waiting;                /* controller_request.link */
    struct controller_request *current; /* of the plan in work; NULL: answered early */
    const struct controller_operation *operation;
    bool is_busy; /* a write is in work */
    struct plan plan;
};

/* One kind of request. */
struct controller_operation {
    /* Validates each item and plans the good ones. An error is that of the whole request. */
    enum error (*prepare)(struct controller *controller, struct controller_request *request);
    /* The failure of item i; NULL behind the last. */
    struct failure *(*failure_at)(struct controller_request *request, size_t index);
    /* NULL: never. */
    bool (*validates_only)(struct controller_request *request);
    /* NULL: waits for the end. */
    bool (*answers_early)(struct controller_request *request);
};

extern const struct controller_operation create_topics_operation;
extern const struct controller_operation delete_topics_operation;
extern const struct controller_operation create_partitions_operation;
extern const struct controller_operation alter_configs_operation;
extern const struct controller_operation allocate_producer_ids_operation;
extern const struct controller_operation update_features_operation;
extern const struct controller_operation topic_logs_deleted_operation;

/* --- plans: all fail with E_LOCAL_NO_MEMORY; then drop the plan --- */

NODISCARD enum error plan_begin(struct controller *controller);
void plan_drop(struct controller *controller);
/* The paths are printf'ed into the arena; data may be null and lives as long as the plan. */
NODISCARD enum error plan_create(struct plan *plan, unsigned flags, struct slice data,
                                 const char *path_format, ...) PRINTF_LIKE(4, 5);
NODISCARD enum error plan_set(struct plan *plan, int32_t version, struct slice data,
                              const char *path_format, ...) PRINTF_LIKE(4, 5);
NODISCARD enum error plan_delete(struct plan *plan, const char *path_format, ...) PRINTF_LIKE(2, 3);
NODISCARD enum error plan_check(struct plan *plan, int32_t version, const char *path_format, ...)
    PRINTF_LIKE(3, 4);

/* "%.*s" of a slice. */
#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* The epoch at which this start leads a partition, at the least (design §2). */
int32_t controller_start_epoch(const struct controller *controller);
/* Fills what the store does not hold: leader, ISR = replicas, epochs, directory. */
void controller_lead(const struct controller *controller, struct image_partition *part);
/* What the image holds, to be changed and given to image_builder_set_cluster. */
struct image_cluster_spec cluster_spec_of(const struct image *image);
/* Sets code and a printf'ed text in the request's arena. */
void controller_fail(struct controller_request *request, struct failure *failure, enum error code,
                     const char *format, ...) PRINTF_LIKE(4, 5);
/* Effective settings of a topic as specified are consistent. Fills the failure otherwise. */
NODISCARD enum error controller_check_topic_configs(struct controller *controller,
                                                    struct controller_request *request,
                                                    const struct config_entry *entries,
                                                    size_t count, struct failure *failure);

void config_set_init(struct config_set *set);
void config_set_done(struct config_set *set);
/* Replaces the entries by copies. */
NODISCARD enum error config_set_assign(struct config_set *set, const struct config_entry *entries,
                                       size_t count);

/* Called by the start when the controller serves. */
void controller_serve(struct controller *controller);
