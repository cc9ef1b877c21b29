/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The APIs, one row each, from schemas/apis.tsv: the only place where an API is registered.
 * "protocol/api_handlers.inc" (generated) lists API_HANDLER(key, function) for the served ones.
 */

#include "protocol/api_keys.h" /* generated: enum api_key */
#include "protocol/schema.h"

struct version_range {
    int16_t min;
    int16_t max; /* below min: none */
};

struct api {
    const char *name; /* Kafka's: "ListOffsets" */
    const struct message_schema *request;
    const struct message_schema *response;
    struct version_range embedded;  /* served by the embedded persona (Kafka 4.3) */
    struct version_range zookeeper; /* served by the zookeeper persona (Kafka 3.9) */
    int16_t key;
    bool served;            /* has a handler; only such a row may be advertised */
    bool inter_broker_only; /* on the inter-broker listener only */
    uint8_t acl_operation;  /* Kafka's AclOperation code of the main check; 0: none */
    uint8_t acl_resource;   /* Kafka's ResourceType code of it; 0: none */
};

/* NULL: no such API is known. */
const struct api *api_find(int16_t key);

/* Is this a version with compact types, tagged fields and the longer headers? Also right for
 * versions above the schema's: those are flexible if the newest known is. */
static inline bool api_version_is_flexible(const struct api *api, int16_t version)
{
    return version >= api->request->flexible_from;
}
