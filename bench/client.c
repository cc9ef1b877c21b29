/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "load.h"

enum {
    ANSWER_CAPACITY = 32 * 1024 * 1024, /* Metadata of PARTITIONS_MAX, with room to spare */
    REQUEST_CAPACITY = 64 * 1024,
    LEADERS_TIMEOUT_S = 120,
    FETCH_ASK = 500, /* partitions per request while waiting for them */
};

int client_connect(const struct load_options *o)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    if (inet_pton(AF_INET, o->host, &address.sin_addr) != 1 ||
        (ntohl(address.sin_addr.s_addr) >> 24) != 127) {
        load_fail("%s: only addresses of the loopback range, 127.x.x.x", o->host);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        load_fail("connect to %s:%d: %s", o->host, o->port, strerror(errno));
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

void client_request_begin(struct out *o, int16_t api, int16_t version, int32_t correlation_id)
{
    out_i32(o, 0); /* size */
    out_i16(o, api);
    out_i16(o, version);
    out_i32(o, correlation_id);
    out_i16(o, (int16_t)strlen(LOAD_CLIENT_ID));
    out_bytes(o, LOAD_CLIENT_ID, strlen(LOAD_CLIENT_ID));
    if (api != API_VERSIONS) {
        out_no_tags(o);
    }
}

void client_request_end(struct out *o, size_t start)
{
    be32_store(o->data + start, (uint32_t)(o->size - start - 4));
}

static bool read_all(int fd, uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = recv(fd, data, size, 0);
        if (n <= 0) {
            return false;
        }
        data += n;
        size -= (size_t)n;
    }
    return true;
}

bool client_call(int fd, const struct out *request, bool flexible, struct in *ret_body)
{
    static uint8_t *answer;
    if (answer == NULL) {
        answer = malloc(ANSWER_CAPACITY);
    }
    for (size_t sent = 0; sent < request->size;) {
        ssize_t n = send(fd, request->data + sent, request->size - sent, MSG_NOSIGNAL);
        if (n < 0) {
            return false;
        }
        sent += (size_t)n;
    }
    if (!read_all(fd, answer, 4)) {
        return false;
    }
    size_t size = be32_load(answer);
    if (size < 5 || size > ANSWER_CAPACITY || !read_all(fd, answer, size)) {
        return false;
    }
    *ret_body = (struct in){.p = answer + 4, .end = answer + size};
    if (flexible) {
        in_skip_tags(ret_body);
    }
    return true;
}

void client_check_versions(int fd)
{
    static const struct {
        int16_t api;
        int16_t version;
        const char *name;
    } needed[] = {{API_PRODUCE, PRODUCE_VERSION, "Produce"},
                  {API_FETCH, FETCH_VERSION, "Fetch"},
                  {API_METADATA, METADATA_VERSION, "Metadata"},
                  {API_CREATE_TOPICS, CREATE_TOPICS_VERSION, "CreateTopics"},
                  {API_DELETE_TOPICS, DELETE_TOPICS_VERSION, "DeleteTopics"}};
    uint8_t data[64];
    struct out o = {.data = data, .capacity = sizeof(data)};
    struct in body;
    client_request_begin(&o, API_VERSIONS, API_VERSIONS_VERSION, 1);
    client_request_end(&o, 0);
    if (!client_call(fd, &o, false, &body) || in_i16(&body) != 0) {
        load_fail("ApiVersions was not answered");
    }
    unsigned found = 0;
    for (int32_t count = in_i32(&body); count > 0 && !body.bad; count--) {
        int16_t api = in_i16(&body);
        int16_t low = in_i16(&body);
        int16_t high = in_i16(&body);
        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
            if (api == needed[i].api && low <= needed[i].version && needed[i].version <= high) {
                found |= 1U << i;
            }
        }
    }
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if ((found & 1U << i) == 0) {
            load_fail("the broker does not serve %s v%d", needed[i].name, needed[i].version);
        }
    }
}

void client_create_topic(int fd, const char *name, int partitions)
{
    uint8_t data[512];
    struct out o = {.data = data, .capacity = sizeof(data)};
    struct in body;
    client_request_begin(&o, API_CREATE_TOPICS, CREATE_TOPICS_VERSION, 1);
    out_compact_length(&o, 1);
    out_compact_string(&o, name, strlen(name));
    out_i32(&o, partitions);
    out_i16(&o, 1);            /* replication factor */
    out_compact_length(&o, 0); /* assignments */
    out_compact_length(&o, 0); /* configs */
    out_no_tags(&o);
    out_i32(&o, LEADERS_TIMEOUT_S * 1000);
    out_u8(&o, 0); /* validate only */
    out_no_tags(&o);
    client_request_end(&o, 0);
    if (!client_call(fd, &o, true, &body)) {
        load_fail("CreateTopics was not answered");
    }
    (void)in_i32(&body); /* throttle time */
    (void)in_compact_length(&body);
    in_skip_compact_string(&body);
    int16_t error = in_i16(&body);
    if (body.bad || (error != 0 && error != ERROR_TOPIC_ALREADY_EXISTS)) {
        load_fail("CreateTopics %s: error %d", name, error);
    }
}

void client_delete_topic(int fd, const char *name)
{
    uint8_t data[512];
    struct out o = {.data = data, .capacity = sizeof(data)};
    struct in body;
    client_request_begin(&o, API_DELETE_TOPICS, DELETE_TOPICS_VERSION, 1);
    out_compact_length(&o, 1);
    out_compact_string(&o, name, strlen(name));
    out_i32(&o, 30000);
    out_no_tags(&o);
    client_request_end(&o, 0);
    if (!client_call(fd, &o, true, &body)) {
        load_fail("DeleteTopics was not answered");
    }
    (void)in_i32(&body);
    (void)in_compact_length(&body);
    in_skip_compact_string(&body);
    int16_t error = in_i16(&body);
    if (body.bad || error != 0) {
        load_fail("DeleteTopics %s: error %d", name, error);
    }
}

static int count_leaders_of_topic(struct in *body)
{
    int leaders = 0;
    (void)in_i16(body);
    in_skip_compact_string(body);
    (void)in_u8(body);
    for (uint32_t count = in_compact_length(body); count > 0 && !body->bad; count--) {
        int16_t error = in_i16(body);
        (void)in_i32(body); /* index */
        int32_t leader = in_i32(body);
        (void)in_i32(body);                    /* leader epoch */
        for (int list = 0; list < 3; list++) { /* replicas, in sync, offline */
            (void)in_take(body, (size_t)in_compact_length(body) * 4);
        }
        in_skip_tags(body);
        leaders += error == 0 && leader >= 0;
    }
    return leaders;
}

int client_count_leaders(int fd, const char *name)
{
    uint8_t data[512];
    struct out o = {.data = data, .capacity = sizeof(data)};
    struct in body;
    client_request_begin(&o, API_METADATA, METADATA_VERSION, 1);
    out_compact_length(&o, 1);
    out_compact_string(&o, name, strlen(name));
    out_no_tags(&o);
    out_u8(&o, 0); /* allow auto creation */
    out_u8(&o, 0); /* authorized operations: of the cluster, of the topic */
    out_u8(&o, 0);
    out_no_tags(&o);
    client_request_end(&o, 0);
    if (!client_call(fd, &o, true, &body)) {
        return -1;
    }
    (void)in_i32(&body); /* throttle time */
    for (uint32_t brokers = in_compact_length(&body); brokers > 0 && !body.bad; brokers--) {
        (void)in_i32(&body);
        in_skip_compact_string(&body);
        (void)in_i32(&body);
        in_skip_compact_string(&body);
        in_skip_tags(&body);
    }
    in_skip_compact_string(&body); /* cluster id */
    (void)in_i32(&body);           /* controller id */
    if (in_compact_length(&body) != 1) {
        load_fail("Metadata did not answer for the one topic %s", name);
    }
    return count_leaders_of_topic(&body);
}

void client_await_leaders(int fd, const char *name, int partitions)
{
    int64_t deadline = load_now_ns() + LEADERS_TIMEOUT_S * 1000000000LL;
    int leaders;
    while ((leaders = client_count_leaders(fd, name)) < partitions) {
        if (leaders < 0 || load_now_ns() > deadline) {
            load_fail("%d of %d partitions of %s have a leader", leaders, partitions, name);
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* ---- batches ---- */

static size_t varint_size(int64_t v)
{
    return uvarint64_size(zigzag64_encode(v));
}

static size_t record_encoded_size(int index, size_t record_size)
{
    size_t body =
        1 + 1 + varint_size(index) + 1 + varint_size((int64_t)record_size) + record_size + 1;
    return varint_size((int64_t)body) + body;
}

int batch_record_count(size_t batch_size, size_t record_size)
{
    int count = 1;
    size_t size = BATCH_HEADER_SIZE + record_encoded_size(0, record_size);
    while (size + record_encoded_size(count, record_size) <= batch_size) {
        size += record_encoded_size(count, record_size);
        count++;
    }
    return count;
}

size_t batch_encode(struct out *o, int count, size_t record_size)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    int64_t timestamp = (int64_t)ts.tv_sec * 1000;
    size_t start = o->size;
    out_i64(o, 0);  /* base offset */
    out_i32(o, 0);  /* size, below */
    out_i32(o, -1); /* partition leader epoch */
    out_u8(o, 2);   /* magic */
    out_i32(o, 0);  /* CRC, below */
    out_i16(o, 0);  /* attributes */
    out_i32(o, count - 1);
    out_i64(o, timestamp);
    out_i64(o, timestamp);
    out_i64(o, -1); /* producer id, epoch, base sequence */
    out_i16(o, -1);
    out_i32(o, -1);
    out_i32(o, count);
    for (int i = 0; i < count; i++) {
        size_t body =
            1 + 1 + varint_size(i) + 1 + varint_size((int64_t)record_size) + record_size + 1;
        out_varint(o, (int64_t)body);
        out_u8(o, 0);     /* attributes */
        out_varint(o, 0); /* timestamp delta */
        out_varint(o, i);
        out_varint(o, -1); /* no key */
        out_varint(o, (int64_t)record_size);
        uint8_t *value = out_room(o, record_size);
        for (size_t b = 0; b < record_size; b++) {
            value[b] = (uint8_t)('a' + (b * 7 + (size_t)i) % 26);
        }
        out_varint(o, 0); /* headers */
    }
    size_t size = o->size - start;
    be32_store(o->data + start + 8, (uint32_t)(size - 12));
    be32_store(o->data + start + 17,
               crc32c(0, o->data + start + BATCH_CRC_START, size - BATCH_CRC_START));
    return size;
}

void produce_request_encode(struct out *o, const struct load_options *lo, int32_t correlation_id,
                            int32_t partition, const void *batch, size_t batch_size)
{
    size_t start = o->size;
    client_request_begin(o, API_PRODUCE, PRODUCE_VERSION, correlation_id);
    out_compact_null(o); /* transactional id */
    out_i16(o, (int16_t)lo->acks);
    out_i32(o, 30000);
    out_compact_length(o, 1);
    out_compact_string(o, lo->topic, strlen(lo->topic));
    out_compact_length(o, 1);
    out_i32(o, partition);
    out_compact_length(o, batch_size);
    out_bytes(o, batch, batch_size);
    out_no_tags(o); /* partition, topic, request */
    out_no_tags(o);
    out_no_tags(o);
    client_request_end(o, start);
}

/* ---- Fetch ---- */

void fetch_request_begin(struct out *o, const char *topic, struct fetch_bounds bounds,
                         size_t partition_count)
{
    client_request_begin(o, API_FETCH, FETCH_VERSION, 1);
    out_i32(o, -1); /* replica id */
    out_i32(o, bounds.max_wait_ms);
    out_i32(o, bounds.min_bytes);
    out_i32(o, bounds.max_bytes);
    out_u8(o, 0);   /* isolation level */
    out_i32(o, 0);  /* session id */
    out_i32(o, -1); /* session epoch: none */
    out_compact_length(o, 1);
    out_compact_string(o, topic, strlen(topic));
    out_compact_length(o, partition_count);
}

size_t fetch_request_partition(struct out *o, int32_t partition, int64_t offset, int32_t max_bytes)
{
    out_i32(o, partition);
    out_i32(o, -1); /* current leader epoch */
    size_t position = o->size;
    out_i64(o, offset);
    out_i32(o, -1); /* last fetched epoch */
    out_i64(o, -1); /* log start offset */
    out_i32(o, max_bytes);
    out_no_tags(o);
    return position;
}

void fetch_request_end(struct out *o)
{
    out_no_tags(o);               /* topic */
    out_compact_length(o, 0);     /* forgotten topics */
    out_compact_string(o, "", 0); /* rack */
    out_no_tags(o);
    client_request_end(o, 0);
}

/* The first error of any partition in a Fetch answer, 0, or -1 if it is not one. */
static int fetch_first_error(struct in body)
{
    (void)in_i32(&body);
    int error = in_i16(&body);
    (void)in_i32(&body); /* session id */
    (void)in_compact_length(&body);
    in_skip_compact_string(&body);
    for (uint32_t left = in_compact_length(&body); left > 0 && error == 0; left--) {
        (void)in_i32(&body);
        error = in_i16(&body);
        (void)in_take(&body, 3 * 8);    /* high watermark, last stable and log start offset */
        (void)in_compact_length(&body); /* aborted transactions: none */
        (void)in_i32(&body);
        in_skip_compact_string(&body); /* records */
        in_skip_tags(&body);
        error = body.bad ? -1 : error;
    }
    return error;
}

void client_await_served(int fd, const char *name, int partitions)
{
    int64_t deadline = load_now_ns() + LEADERS_TIMEOUT_S * 1000000000LL;
    size_t capacity = FETCH_REQUEST_HEAD_MAX + FETCH_ASK * FETCH_REQUEST_PARTITION_SIZE;
    struct out o = {.data = malloc(capacity), .capacity = capacity};
    for (int first = 0; first < partitions;) {
        int count = partitions - first < FETCH_ASK ? partitions - first : FETCH_ASK;
        o.size = 0;
        fetch_request_begin(&o, name, (struct fetch_bounds){.max_bytes = 1}, (size_t)count);
        for (int i = 0; i < count; i++) {
            (void)fetch_request_partition(&o, first + i, 0, 1);
        }
        fetch_request_end(&o);
        struct in body;
        if (!client_call(fd, &o, true, &body) || load_now_ns() > deadline) {
            load_fail("the partitions of %s are not served", name);
        }
        if (fetch_first_error(body) == 0) {
            first += count;
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
    }
    free(o.data);
}
