/* SPDX-License-Identifier: Apache-2.0 */
#include "security/authorise.h"

#include <stddef.h>

static bool allow_all(struct authoriser *authoriser, const struct principal *principal,
                      enum acl_operation operation, enum acl_resource_type type, struct slice name)
{
    (void)authoriser;
    (void)principal;
    (void)operation;
    (void)type;
    (void)name;
    return true;
}

struct authoriser *authoriser_allow_all(void)
{
    static struct authoriser allowing = {.allows = allow_all};
    return &allowing;
}

/* What can be done to each type of resource, as Kafka lists it. */
static const enum acl_operation topic_operations[] = {
    ACL_READ,  ACL_WRITE,    ACL_CREATE,           ACL_DELETE,
    ACL_ALTER, ACL_DESCRIBE, ACL_DESCRIBE_CONFIGS, ACL_ALTER_CONFIGS,
};
static const enum acl_operation group_operations[] = {
    ACL_READ, ACL_DELETE, ACL_DESCRIBE, ACL_DESCRIBE_CONFIGS, ACL_ALTER_CONFIGS,
};
static const enum acl_operation cluster_operations[] = {
    ACL_CREATE,           ACL_ALTER,         ACL_DESCRIBE,         ACL_CLUSTER_ACTION,
    ACL_DESCRIBE_CONFIGS, ACL_ALTER_CONFIGS, ACL_IDEMPOTENT_WRITE,
};
static const enum acl_operation transactional_id_operations[] = {ACL_WRITE, ACL_DESCRIBE};

struct operation_list {
    const enum acl_operation *items;
    size_t count;
};

#define OPERATION_LIST(array)                                                                      \
    ((struct operation_list){.items = (array), .count = sizeof(array) / sizeof((array)[0])})

static struct operation_list operations_of(enum acl_resource_type type)
{
    switch (type) {
    case ACL_TOPIC:
        return OPERATION_LIST(topic_operations);
    case ACL_GROUP:
        return OPERATION_LIST(group_operations);
    case ACL_CLUSTER:
        return OPERATION_LIST(cluster_operations);
    case ACL_TRANSACTIONAL_ID:
        return OPERATION_LIST(transactional_id_operations);
    }
    return (struct operation_list){0};
}

int32_t authorised_operations(struct authoriser *authoriser, const struct principal *principal,
                              enum acl_resource_type type, struct slice name)
{
    const struct operation_list operations = operations_of(type);
    int32_t bits = 0;
    for (size_t i = 0; i < operations.count; i++) {
        if (authorise(authoriser, principal, operations.items[i], type, name)) {
            bits |= (int32_t)(1U << operations.items[i]);
        }
    }
    return bits;
}
