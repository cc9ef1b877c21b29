/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "config/diagnosis.h"
#include "io/vfs.h"
#include "protocol/header.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "record/build.h"

enum {
    OVERRIDE_COUNT_MAX = 16,
    OVERRIDE_SIZE_MAX = 128,
    CLIENT_ARENA_SIZE_MAX = 64 * 1024 * 1024,
    ANSWER_WAIT_S = 10, /* longer than anything that a test waits for, under sanitizers too */
};

/* --- node --- */

static struct broker_settings *load_settings(const char *const *overrides, size_t count)
{
    struct arena arena;
    struct diagnoses diagnoses;
    struct broker_settings *settings = NULL;
    arena_init(&arena, 1 << 20);
    diagnoses_init(&diagnoses, &arena);
    const struct broker_config_input input = {
        .overrides = overrides, .override_count = count, .default_log_dir = "unused"};
    const enum error error = broker_config_load(&input, &diagnoses, &settings);
    for (const struct diagnosis *diagnosis = diagnoses.head; diagnosis != NULL;
         diagnosis = diagnosis->next) {
        print_error("%s\n", diagnosis->text);
    }
    arena_done(&arena);
    assert_int_equal(error, E_OK);
    return settings;
}

static void *run(void *context)
{
    struct node *node = context;
    broker_run(node->broker);
    pthread_mutex_lock(&node->stopping);
    pthread_mutex_unlock(&node->stopping);
    broker_free(node->broker);
    return NULL;
}

static void run_broker(struct node *node)
{
    struct start_failure failure = {.error = E_OK};
    const char *loop_count = getenv("TEST_EVENT_LOOPS");
    const struct broker_options options = {
        .settings = node->settings,
        .diag = &node->diag,
        .vfs = vfs_system(),
        .clock = clock_system(),
        .seed = 42,
        .descriptor_count_max = 1024,
        .authoriser = node->authoriser,
        .event_loop_count = loop_count == NULL ? 0 : (unsigned)strtoul(loop_count, NULL, 10),
    };
    if (broker_new(&options, &node->broker, &failure) != E_OK) {
        fail_msg("%s", failure.text);
    }
    node->port = broker_port(node->broker, 0);
    assert_int_equal(pthread_create(&node->thread, NULL, run, node), 0);
}

void node_start(struct node *node, struct authoriser *authoriser, ...)
{
    char texts[2][OVERRIDE_SIZE_MAX];
    const char *overrides[OVERRIDE_COUNT_MAX];
    size_t count = 0;
    *node = (struct node){.diag = {.level_min = DIAG_ERROR, .fd = STDERR_FILENO},
                          .authoriser = authoriser,
                          .stopping = PTHREAD_MUTEX_INITIALIZER};
    (void)snprintf(node->directory, sizeof(node->directory), "/tmp/ottla-test-XXXXXX");
    assert_non_null(mkdtemp(node->directory));
    (void)snprintf(texts[0], sizeof(texts[0]), "log.dirs=%s", node->directory);
    (void)snprintf(texts[1], sizeof(texts[1]), "listeners=PLAINTEXT://127.0.0.1:0");
    overrides[count++] = texts[0];
    overrides[count++] = texts[1];
    va_list args;
    va_start(args, authoriser);
    for (const char *text = va_arg(args, const char *); text != NULL;
         text = va_arg(args, const char *)) {
        assert_true(count < OVERRIDE_COUNT_MAX);
        overrides[count++] = text;
    }
    va_end(args);
    node->settings = load_settings(overrides, count);
    run_broker(node);
}

static void join_broker(struct node *node)
{
    pthread_mutex_lock(&node->stopping);
    broker_stop(node->broker);
    pthread_mutex_unlock(&node->stopping);
    assert_int_equal(pthread_join(node->thread, NULL), 0);
}

void node_restart(struct node *node)
{
    join_broker(node);
    run_broker(node);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

void node_stop(struct node *node)
{
    join_broker(node);
    broker_settings_free(node->settings);
    assert_int_equal(nftw(node->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* --- client --- */

void client_connect(struct client *client, const struct node *node)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(node->port),
                                        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    const struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    arena_init(&client->arena, CLIENT_ARENA_SIZE_MAX);
}

void client_close(struct client *client)
{
    (void)close(client->fd);
    arena_done(&client->arena);
}

void *client_message(struct client *client, const struct struct_schema *schema, size_t count)
{
    void *message = message_new(&client->arena, schema, count);
    check(message != NULL);
    return message;
}

void *client_alloc(struct client *client, size_t size)
{
    void *bytes = arena_calloc(&client->arena, 1, size, _Alignof(max_align_t));
    check(bytes != NULL);
    return bytes;
}

void client_send_raw(struct client *client, struct slice bytes)
{
    while (bytes.size > 0) {
        const ssize_t sent = send(client->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes = slice_of(bytes.data + sent, bytes.size - (size_t)sent);
    }
}

/* false: the broker closed the connection before the first byte. */
static bool receive_all(struct client *client, uint8_t *data, size_t size)
{
    size_t received = 0;
    while (received < size) {
        const ssize_t n = recv(client->fd, data + received, size - received, 0);
        if (n <= 0 && received == 0 && (n == 0 || errno == ECONNRESET)) {
            return false;
        }
        if (n <= 0) {
            fail_msg("no answer: %s", n == 0 ? "closed in a frame" : strerror(errno));
        }
        received += (size_t)n;
    }
    return true;
}

struct slice client_receive_raw(struct client *client)
{
    uint8_t prefix[4];
    if (!receive_all(client, prefix, sizeof(prefix))) {
        return SLICE_NULL;
    }
    const uint32_t size = be32_load(prefix);
    uint8_t *frame = arena_alloc(&client->arena, size, 1);
    assert_non_null(frame);
    assert_true(receive_all(client, frame, size));
    return slice_of(frame, size);
}

bool client_is_closed(struct client *client)
{
    uint8_t byte;
    return !receive_all(client, &byte, 1);
}

int32_t client_send(struct client *client, int16_t api_key, int16_t version, const void *request)
{
    struct chain chain;
    chain_init(&chain, &client->arena);
    assert_int_equal(request_encode(api_find(api_key), version, ++client->correlation_id,
                                    SLICE("test"), request, &chain),
                     E_OK);
    for (const struct piece *piece = chain.head; piece != NULL; piece = piece->next) {
        client_send_raw(client, slice_of(piece->data, piece->size));
    }
    return client->correlation_id;
}

void *client_receive(struct client *client, int16_t api_key, int16_t version,
                     int32_t correlation_id)
{
    const struct api *api = api_find(api_key);
    const struct slice frame = client_receive_raw(client);
    int32_t received_id;
    size_t header_size;
    size_t consumed;
    if (slice_is_null(frame)) {
        fail_msg("the broker closed the connection");
    }
    assert_int_equal(response_header_decode(api, version, frame, &received_id, &header_size), E_OK);
    assert_int_equal(received_id, correlation_id);
    const struct slice bytes = slice_of(frame.data + header_size, frame.size - header_size);
    void *response = arena_alloc(&client->arena, api->response->type->size, _Alignof(max_align_t));
    assert_non_null(response);
    assert_int_equal(
        codec_decode(api->response, version, bytes, &client->arena, NULL, response, &consumed),
        E_OK);
    assert_int_equal(consumed, bytes.size);
    return response;
}

void *client_call(struct client *client, int16_t api_key, int16_t version, const void *request)
{
    return client_receive(client, api_key, version, client_send(client, api_key, version, request));
}

/* --- common requests --- */

struct uuid client_make_topic(struct client *client, const char *name)
{
    struct metadata_request *request = CLIENT_NEW(client, metadata_request);
    request->topics.items = CLIENT_NEW(client, metadata_request_metadata_request_topic);
    request->topics.count = 1;
    request->topics.items[0].name = slice_from_string(name);
    request->allow_auto_topic_creation = true;
    const struct metadata_response *response = client_call(client, API_METADATA, 12, request);
    assert_int_equal(response->topics.count, 1);
    assert_int_equal(response->topics.items[0].error_code, 0);
    return response->topics.items[0].topic_id;
}

void client_make_topic_with(struct client *client, const char *name, const char *config,
                            const char *value)
{
    struct create_topics_request *request = CLIENT_NEW(client, create_topics_request);
    struct create_topics_request_creatable_topic *topic =
        CLIENT_NEW(client, create_topics_request_creatable_topic);
    request->topics.items = topic;
    request->topics.count = 1;
    request->timeout_ms = 5000;
    topic->name = slice_from_string(name);
    topic->num_partitions = 1;
    topic->replication_factor = 1;
    topic->configs.items = CLIENT_NEW(client, create_topics_request_creatable_topic_config);
    topic->configs.count = 1;
    topic->configs.items[0].name = slice_from_string(config);
    topic->configs.items[0].value = slice_from_string(value);
    const struct create_topics_response *response =
        client_call(client, API_CREATE_TOPICS, 5, request);
    assert_int_equal(response->topics.items[0].error_code, 0);
}

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct slice client_make_batch(struct client *client, const struct batch_spec *spec)
{
    struct batch_builder builder = {0};
    struct batch_header header = BATCH_HEADER_NONE;
    const size_t value_size = spec->value_size == 0 ? 1 : spec->value_size;
    const int64_t timestamp = spec->timestamp_ms == 0 ? wall_ms() : spec->timestamp_ms;
    header.base_offset = spec->base_offset;
    header.attributes = (uint16_t)(spec->attributes | (uint16_t)spec->codec);
    if (spec->has_producer) {
        header.producer_id = spec->producer_id;
        header.producer_epoch = spec->producer_epoch;
        header.base_sequence = spec->base_sequence;
    }
    uint8_t *value = arena_alloc(&client->arena, value_size, 1);
    assert_non_null(value);
    memset(value, 'v', value_size);
    batch_builder_start(&builder, &header, CODEC_LEVEL_DEFAULT);
    for (int32_t i = 0; i == 0 || i < spec->count; i++) {
        const struct record record = {
            .offset = spec->base_offset + i,
            .timestamp = timestamp,
            .key = spec->first_has_key && i == 0 ? SLICE("k") : SLICE_NULL,
            .value = slice_of(value, value_size),
        };
        assert_int_equal(batch_builder_append(&builder, &record), E_OK);
    }
    struct slice batch;
    assert_int_equal(batch_builder_finish(&builder, &batch), E_OK);
    const struct slice copy = arena_copy(&client->arena, batch);
    batch_builder_done(&builder);
    assert_false(slice_is_null(copy));
    return copy;
}

const struct produce_response_partition_produce_response *
client_produce(struct client *client, const char *topic, int32_t partition, int16_t acks,
               struct slice records)
{
    struct produce_request *request = CLIENT_NEW(client, produce_request);
    struct produce_request_topic_produce_data *data =
        CLIENT_NEW(client, produce_request_topic_produce_data);
    struct produce_request_partition_produce_data *part =
        CLIENT_NEW(client, produce_request_partition_produce_data);
    request->acks = acks;
    request->timeout_ms = 5000;
    request->topic_data.items = data;
    request->topic_data.count = 1;
    data->name = slice_from_string(topic);
    data->partition_data.items = part;
    data->partition_data.count = 1;
    part->index = partition;
    part->records.bytes = records;
    const struct produce_response *response = client_call(client, API_PRODUCE, 9, request);
    assert_int_equal(response->responses.count, 1);
    assert_int_equal(response->responses.items[0].partition_responses.count, 1);
    return &response->responses.items[0].partition_responses.items[0];
}

void client_fill(struct client *client, const char *topic, int32_t partition, int32_t count)
{
    const struct batch_spec spec = {.count = count};
    const struct produce_response_partition_produce_response *answer =
        client_produce(client, topic, partition, 1, client_make_batch(client, &spec));
    assert_int_equal(answer->error_code, 0);
}
