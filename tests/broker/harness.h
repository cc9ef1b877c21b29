/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A whole broker in the test's process, and a client that speaks the protocol by hand.
 *
 *     struct node node;
 *     struct client client;
 *     node_start(&node, NULL, "num.partitions=3", (char *)NULL);
 *     client_connect(&client, &node);
 *     struct metadata_request *request = CLIENT_NEW(&client, metadata_request);
 *     struct metadata_response *response = client_call(&client, API_METADATA, 12, request);
 *     ...
 *     client_close(&client);
 *     node_stop(&node);
 *
 * What goes wrong that the test is not about fails the test. Requests and responses live in
 * client.arena until client_close. A node runs on a thread of its own; its data lie in a directory
 * that node_stop removes.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/broker.h"
#include "protocol/apis.h"
#include "protocol/message.h"
#include "security/authorise.h"

#include <cmocka.h>

struct node {
    char directory[64];
    struct diag diag;
    struct broker_settings *settings;
    struct broker *broker;
    pthread_t thread;
    pthread_mutex_t stopping; /* broker_stop returns before the broker is freed */
    uint16_t port;
    struct authoriser *authoriser;
};

/* The further arguments are overrides "name=value", ended by NULL. authoriser may be NULL. */
void node_start(struct node *node, struct authoriser *authoriser, ...) __attribute__((sentinel));
/* Stops the broker cleanly and starts it again over the same data, with the same settings. */
void node_restart(struct node *node);
/* Stops it and removes the data. */
void node_stop(struct node *node);

struct client {
    int fd;
    int32_t correlation_id;
    struct arena arena;
};

void client_connect(struct client *client, const struct node *node);
void client_close(struct client *client);

/* As MESSAGE_NEW in client->arena, and zeroed bytes; without memory the test ends. */
#define CLIENT_NEW(client, type) ((struct type *)client_message((client), &type##_fields, 1))
#define CLIENT_NEW_ARRAY(client, type, count)                                                      \
    ((struct type *)client_message((client), &type##_fields, (count)))
void *client_message(struct client *client, const struct struct_schema *schema, size_t count)
    __attribute__((returns_nonnull));
void *client_alloc(struct client *client, size_t size) __attribute__((returns_nonnull));

/* Sends and waits for the answer: the response struct of the API. Fails the test when none comes.
 */
void *client_call(struct client *client, int16_t api_key, int16_t version, const void *request);
/* The two halves. client_send returns the correlation id. */
int32_t client_send(struct client *client, int16_t api_key, int16_t version, const void *request);
void *client_receive(struct client *client, int16_t api_key, int16_t version,
                     int32_t correlation_id);
/* Bytes as they are. */
void client_send_raw(struct client *client, struct slice bytes);
/* The next frame without its size; null when the broker closed the connection. */
struct slice client_receive_raw(struct client *client);
/* Whether the broker closes the connection now, without another byte. */
bool client_is_closed(struct client *client);

/* --- common requests --- */

/* Makes the topic through Metadata (num.partitions of the node) and returns its id. */
struct uuid client_make_topic(struct client *client, const char *name);

/* The same through CreateTopics, with one partition and one config. */
void client_make_topic_with(struct client *client, const char *name, const char *config,
                            const char *value);

/* `count` records with value "v", no key and this timestamp in one batch; uncompressed. */
struct batch_spec {
    int32_t count; /* 0: one */
    int64_t timestamp_ms;
    bool has_producer;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int64_t base_offset;
    uint16_t attributes; /* further ones */
    size_t value_size;   /* 0: one byte */
    int codec;           /* enum codec */
    bool first_has_key;  /* the others have none */
};
/* In client->arena; writable. */
struct slice client_make_batch(struct client *client, const struct batch_spec *spec);

struct produce_response_partition_produce_response;
/* Produce v9 of one partition, acks as given. The answer of that partition. */
const struct produce_response_partition_produce_response *
client_produce(struct client *client, const char *topic, int32_t partition, int16_t acks,
               struct slice records);
/* Produces one batch of `count` records with acks=1, which must succeed. */
void client_fill(struct client *client, const char *topic, int32_t partition, int32_t count);
