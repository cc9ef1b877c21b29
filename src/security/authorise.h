/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether a principal may do something: asked in every handler, answered by a table of functions.
 * Today everybody may do everything; the seam is here so that no handler is ever without it.
 * Numbers are Kafka's codes, as in DescribeAcls and the authorized-operations fields.
 */

#include <stdbool.h>
#include <stdint.h>

#include "security/principal.h"

enum acl_operation {
    ACL_READ = 3,
    ACL_WRITE = 4,
    ACL_CREATE = 5,
    ACL_DELETE = 6,
    ACL_ALTER = 7,
    ACL_DESCRIBE = 8,
    ACL_CLUSTER_ACTION = 9,
    ACL_DESCRIBE_CONFIGS = 10,
    ACL_ALTER_CONFIGS = 11,
    ACL_IDEMPOTENT_WRITE = 12,
};

enum acl_resource_type {
    ACL_TOPIC = 2,
    ACL_GROUP = 3,
    ACL_CLUSTER = 4,
    ACL_TRANSACTIONAL_ID = 5,
};

struct authoriser {
    bool (*allows)(struct authoriser *authoriser, const struct principal *principal,
                   enum acl_operation operation, enum acl_resource_type type, struct slice name);
};

static inline bool authorise(struct authoriser *authoriser, const struct principal *principal,
                             enum acl_operation operation, enum acl_resource_type type,
                             struct slice name)
{
    return authoriser->allows(authoriser, principal, operation, type, name);
}

/* The cluster as a resource. */
#define ACL_CLUSTER_NAME SLICE("kafka-cluster")

/* Allows everything. Static storage. */
struct authoriser *authoriser_allow_all(void);

/* The authorized-operations field of a resource: a bit 1 << code for each operation it allows. */
int32_t authorised_operations(struct authoriser *authoriser, const struct principal *principal,
                              enum acl_resource_type type, struct slice name);
