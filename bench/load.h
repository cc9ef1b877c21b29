/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the cases of the load generator share: options, the broker's CPU clock, and plain requests
 * that are sent and awaited one at a time (set-up only; the measured loops have their own code).
 * Anything unexpected ends the program with a line on stderr: a benchmark that goes on after an
 * error measures something else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "histogram.h"
#include "wire.h"

#define LOAD_CLIENT_ID "bench"

enum {
    TOPIC_NAME_SIZE_MAX = 120, /* so that its compact length is one byte */
    PARTITIONS_MAX = 100000,
    TOUCH_PARTITIONS = 50, /* per request */
};

struct load_options {
    const char *name; /* of the case */
    const char *host; /* numeric IPv4 */
    int port;
    pid_t pid; /* of the broker, 0 if unknown */
    char topic[TOPIC_NAME_SIZE_MAX + 1];
    bool keep; /* do not delete the topic at the end */
    int partitions;
    int connections;
    int consumers; /* connections that fetch, in the cases that do both */
    int in_flight; /* requests per connection */
    int acks;
    int touch; /* partitions to produce to and fetch from, in the cases that can */
    bool parked;
    size_t record_size; /* of the value */
    size_t batch_size;  /* at most; 0: one record */
    int64_t rate;       /* records per second produced; 0: as many as the broker takes */
    int64_t fetch_rate; /* records per second fetched, all consumers together */
    double seconds;
    double warmup;
    int64_t bytes_max;
    int64_t requests_max;
    size_t fill_bytes;      /* of log, before fetching */
    size_t partition_bytes; /* per partition and fetch */
};

NORETURN void load_fail(const char *format, ...) PRINTF_LIKE(1, 2);
int64_t load_now_ns(void);
/* CPU time of all threads of the process so far, user and system; 0 when pid is 0. */
int64_t load_cpu_ns(pid_t pid);
/* Resident memory; 0 when pid is 0. */
int64_t load_rss_bytes(pid_t pid);

/* A figure that covers from mark_begin to mark_end. */
struct mark {
    int64_t begin_ns;
    int64_t elapsed_ns;
    int64_t broker_cpu_ns;
    int64_t own_cpu_ns;
};
void mark_begin(struct mark *m, pid_t pid);
void mark_end(struct mark *m, pid_t pid);

/* One line of JSON on stdout, members in the order of the calls. */
void json_begin(const struct load_options *o);
void json_int(const char *name, int64_t value);
void json_real(const char *name, double value);
void json_mark(const struct mark *m);
void json_latency(const char *name, const struct histogram *h);
void json_end(void);

/* A blocking connection. */
int client_connect(const struct load_options *o);
/* Fails unless the broker serves the versions that wire.h lists. */
void client_check_versions(int fd);
void client_create_topic(int fd, const char *name, int partitions);
void client_delete_topic(int fd, const char *name);
/* How many of the topic's partitions have a leader now; -1 when the connection broke. */
int client_count_leaders(int fd, const char *name);
/*
 * Waits until all have leaders, at most 120 s. A broker may say so in Metadata before it serves
 * them, so also until a Fetch from each answers without an error.
 */
void client_await_leaders(int fd, const char *name, int partitions);
void client_await_served(int fd, const char *name, int partitions);
/* Sends, waits, and returns the answer's body (after its header) in a static buffer. */
bool client_call(int fd, const struct out *request, bool flexible, struct in *ret_body);
void client_request_begin(struct out *o, int16_t api, int16_t version, int32_t correlation_id);
/* Writes the size of the request that starts at o->data[start]. */
void client_request_end(struct out *o, size_t start);

/* Appends one batch v2 of count records; returns its size. Nothing in it depends on the offset. */
size_t batch_encode(struct out *o, int count, size_t record_size);
/* How many records of this size a batch of at most batch_size bytes holds, at least one. */
int batch_record_count(size_t batch_size, size_t record_size);
/* A whole Produce request for one batch that is already encoded. */
void produce_request_encode(struct out *o, const struct load_options *lo, int32_t correlation_id,
                            int32_t partition, const void *batch, size_t batch_size);

/*
 * A Fetch request of version FETCH_VERSION for partitions of the options' topic: begin, one call
 * for each of partition_count partitions, end. Without a session.
 */
struct fetch_bounds {
    int32_t max_wait_ms;
    int32_t min_bytes;
    int32_t max_bytes;
};
void fetch_request_begin(struct out *o, const char *topic, struct fetch_bounds bounds,
                         size_t partition_count);
/* Returns where in the request the offset stands. */
size_t fetch_request_partition(struct out *o, int32_t partition, int64_t offset, int32_t max_bytes);
void fetch_request_end(struct out *o);
enum { FETCH_REQUEST_HEAD_MAX = 256, FETCH_REQUEST_PARTITION_SIZE = 33 };

/* Closed-loop or paced producers on connections of their own; see producer.c. */
struct producers;
struct producers *producers_new(const struct load_options *o, int epoll_fd);
void producers_free(struct producers *p);
void producers_start(struct producers *p);
/* After an event of connection index. */
void producers_on_event(struct producers *p, int index);
/* Once per turn: paced ones send what is due. */
void producers_on_turn(struct producers *p, int64_t now_ns);
/* Without acks no answer calls for the next request: true while a socket still has room. */
bool producers_can_go_on(const struct producers *p);
/* No new requests; true when everything has been answered. */
bool producers_drain(struct producers *p);
struct produce_figures {
    int64_t requests; /* answered; sent, with acks=0 */
    int64_t records;
    int64_t bytes; /* of batches */
    struct histogram *latency;
};
void producers_figures(const struct producers *p, struct produce_figures *ret_figures);
void producers_clear_figures(struct producers *p);
size_t producers_batch_size(const struct producers *p);
int producers_batch_records(const struct producers *p);

/* Consumers that discard; see consumer.c. */
struct consumers;
struct consumers *consumers_new(const struct load_options *o, int epoll_fd, int count,
                                size_t batch_size, int batch_records, bool wrap);
void consumers_free(struct consumers *c);
void consumers_start(struct consumers *c);
void consumers_on_event(struct consumers *c, int index);
void consumers_on_turn(struct consumers *c, int64_t now_ns);
void consumers_stop(struct consumers *c);
struct fetch_figures {
    int64_t requests;
    int64_t records;
    int64_t bytes;
};
void consumers_figures(const struct consumers *c, struct fetch_figures *ret_figures);
void consumers_clear_figures(struct consumers *c);
/* Requests after which each one stops by itself, 0: never. */
void consumers_limit(struct consumers *c, int64_t requests);

/* Both kinds register {kind, index} with the epoll instance. */
enum { LOAD_PRODUCER = 0, LOAD_CONSUMER = 1 };
static inline uint64_t load_event_key(unsigned kind, int index)
{
    return ((uint64_t)kind << 32) | (uint32_t)index;
}

/* The cases. */
void case_stream(const struct load_options *o); /* produce, small, fetch, both */
void case_latency(const struct load_options *o);
void case_idle(const struct load_options *o); /* idle, connections */
void case_partitions(const struct load_options *o);
void case_ready(const struct load_options *o);
