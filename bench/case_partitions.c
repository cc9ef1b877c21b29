/* SPDX-License-Identifier: Apache-2.0 */

/*
 * partitions: creates a topic of many partitions and waits until all have leaders.
 * ready: waits, after a restart, until an existing topic is served again: first Metadata, all
 *        leaders (each answers a Fetch without an error), and a Produce to and a Fetch from the
 *        first --touch partitions.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum {
    ERROR_NOT_YET = -1,
    RETRY_NS = 200000,
};

/* Produces one record to each of count partitions from first on; the first error, or 0. */
static int touch_produce(const struct load_options *o, int fd, int first, int count)
{
    size_t capacity = 1024 + (size_t)count * (o->record_size + 128);
    struct out request = {.data = malloc(capacity), .capacity = capacity};
    client_request_begin(&request, API_PRODUCE, PRODUCE_VERSION, 1);
    out_compact_null(&request);
    out_i16(&request, (int16_t)o->acks);
    out_i32(&request, 30000);
    out_compact_length(&request, 1);
    out_compact_string(&request, o->topic, strlen(o->topic));
    out_compact_length(&request, (size_t)count);
    struct out batch = {.data = malloc(o->record_size + 128), .capacity = o->record_size + 128};
    batch_encode(&batch, 1, o->record_size);
    for (int i = 0; i < count; i++) {
        out_i32(&request, first + i);
        out_compact_length(&request, batch.size);
        out_bytes(&request, batch.data, batch.size);
        out_no_tags(&request);
    }
    out_no_tags(&request);
    out_no_tags(&request);
    client_request_end(&request, 0);
    struct in body;
    int error = client_call(fd, &request, true, &body) ? 0 : ERROR_NOT_YET;
    free(batch.data);
    free(request.data);
    if (error != 0) {
        return error;
    }
    (void)in_compact_length(&body);
    in_skip_compact_string(&body);
    for (uint32_t left = in_compact_length(&body); left > 0 && error == 0; left--) {
        (void)in_i32(&body);
        error = in_i16(&body);
        (void)in_take(&body, 3 * 8);
        (void)in_compact_length(&body); /* record errors: none */
        in_skip_compact_string(&body);
        in_skip_tags(&body);
        error = body.bad ? ERROR_NOT_YET : error;
    }
    return error;
}

/* Fetches from offset 0 of one partition; error code, or ERROR_NOT_YET without records. */
static int touch_fetch(const struct load_options *o, int fd, int partition)
{
    uint8_t data[FETCH_REQUEST_HEAD_MAX + FETCH_REQUEST_PARTITION_SIZE];
    struct out request = {.data = data, .capacity = sizeof(data)};
    fetch_request_begin(&request, o->topic, (struct fetch_bounds){.max_bytes = 1024}, 1);
    (void)fetch_request_partition(&request, partition, 0, 1024);
    fetch_request_end(&request);
    struct in body;
    if (!client_call(fd, &request, true, &body)) {
        return ERROR_NOT_YET;
    }
    (void)in_i32(&body);
    int16_t error = in_i16(&body);
    (void)in_i32(&body);
    (void)in_compact_length(&body);
    in_skip_compact_string(&body);
    (void)in_compact_length(&body);
    (void)in_i32(&body);
    int16_t partition_error = in_i16(&body);
    (void)in_take(&body, 3 * 8);
    (void)in_compact_length(&body);
    (void)in_i32(&body);
    uint32_t size = in_compact_length(&body);
    if (body.bad || (error == 0 && partition_error == 0 && size == 0)) {
        return ERROR_NOT_YET;
    }
    return error != 0 ? error : partition_error;
}

static void pause_or_fail(const struct load_options *o, int64_t begin_ns, const char *what)
{
    if (load_now_ns() - begin_ns > (int64_t)(o->seconds * 1e9)) {
        load_fail("%s: not within %.0f s", what, o->seconds);
    }
    nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
}

/* Produce to, then fetch from, the first partitions, each until it succeeds. */
static void touch(const struct load_options *o, int fd, int64_t begin_ns)
{
    for (int first = 0; first < o->touch; first += TOUCH_PARTITIONS) {
        int count = o->touch - first < TOUCH_PARTITIONS ? o->touch - first : TOUCH_PARTITIONS;
        while (touch_produce(o, fd, first, count) != 0) {
            pause_or_fail(o, begin_ns, "Produce");
        }
    }
    for (int partition = 0; partition < o->touch; partition++) {
        while (touch_fetch(o, fd, partition) != 0) {
            pause_or_fail(o, begin_ns, "Fetch");
        }
    }
}

void case_partitions(const struct load_options *o)
{
    int fd = client_connect(o);
    client_check_versions(fd);
    int64_t rss_before = load_rss_bytes(o->pid);
    struct mark creating;
    mark_begin(&creating, o->pid);
    client_create_topic(fd, o->topic, o->partitions);
    client_await_leaders(fd, o->topic, o->partitions);
    mark_end(&creating, o->pid);
    struct mark touching;
    mark_begin(&touching, o->pid);
    touch(o, fd, load_now_ns());
    mark_end(&touching, o->pid);
    json_begin(o);
    json_int("partitions", o->partitions);
    json_mark(&creating);
    json_real("touch_s", (double)touching.elapsed_ns / 1e9);
    json_real("touch_broker_cpu_s", (double)touching.broker_cpu_ns / 1e9);
    json_int("rss_before_bytes", rss_before);
    json_int("rss_bytes", load_rss_bytes(o->pid));
    json_end();
    if (!o->keep) {
        client_delete_topic(fd, o->topic);
    }
    close(fd);
}

/* A connection, or -1 while nobody listens. */
static int try_connect(const struct load_options *o)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    inet_pton(AF_INET, o->host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void case_ready(const struct load_options *o)
{
    struct mark m;
    mark_begin(&m, o->pid);
    int fd = -1;
    int leaders = -1;
    int64_t first_answer_ns = 0;
    while (leaders < o->partitions) {
        if (fd < 0) {
            fd = try_connect(o);
        }
        leaders = fd < 0 ? -1 : client_count_leaders(fd, o->topic);
        if (leaders < 0 && fd >= 0) {
            close(fd); /* the broker gave up on it: start over */
            fd = -1;
        }
        if (leaders >= 0 && first_answer_ns == 0) {
            first_answer_ns = load_now_ns();
        }
        if (leaders < o->partitions) {
            pause_or_fail(o, m.begin_ns, "leaders");
        }
    }
    if (o->partitions > 0) {
        client_await_served(fd, o->topic, o->partitions); /* Metadata may be ahead of the log */
    }
    int64_t leaders_ns = load_now_ns();
    touch(o, fd, m.begin_ns);
    mark_end(&m, o->pid);
    json_begin(o);
    json_int("partitions", o->partitions);
    json_int("begin_ns", m.begin_ns); /* of CLOCK_MONOTONIC: the driver knows when it started it */
    json_real("first_metadata_s", (double)(first_answer_ns - m.begin_ns) / 1e9);
    json_real("leaders_s", (double)(leaders_ns - m.begin_ns) / 1e9);
    json_mark(&m);
    json_int("rss_bytes", load_rss_bytes(o->pid));
    json_end();
    close(fd);
}
