/* SPDX-License-Identifier: Apache-2.0 */

/*
 * produce, small, fetch and both: producers and consumers that go as fast as the broker lets them
 * (or at a rate), first for the warm-up, then measured until the time, the bytes or the requests
 * are used up.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

enum {
    EVENTS_MAX = 256,
    TURN_MS = 20,
    PACED_TURN_MS = 1,
    DRAIN_TIMEOUT_S = 30,
    FILL_IN_FLIGHT = 5,
};

struct stream {
    const struct load_options *o;
    int epoll_fd;
    struct producers *producers; /* NULL in fetch */
    struct consumers *consumers; /* NULL in produce and small */
};

static void stream_turn(const struct stream *s)
{
    struct epoll_event events[EVENTS_MAX];
    bool paced = s->o->rate > 0 || s->o->fetch_rate > 0;
    bool go_on = s->producers != NULL && producers_can_go_on(s->producers);
    int timeout_ms = go_on ? 0 : paced ? PACED_TURN_MS : TURN_MS;
    int count = epoll_wait(s->epoll_fd, events, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < count; i++) {
        int index = (int)(uint32_t)events[i].data.u64;
        if (events[i].data.u64 >> 32 == LOAD_PRODUCER) {
            producers_on_event(s->producers, index);
        } else {
            consumers_on_event(s->consumers, index);
        }
    }
    if (paced || go_on) {
        int64_t now_ns = load_now_ns();
        if (s->producers != NULL) {
            producers_on_turn(s->producers, now_ns);
        }
        if (s->consumers != NULL) {
            consumers_on_turn(s->consumers, now_ns);
        }
    }
}

static void stream_figures(const struct stream *s, struct produce_figures *ret_produced,
                           struct fetch_figures *ret_fetched)
{
    *ret_produced = (struct produce_figures){0};
    *ret_fetched = (struct fetch_figures){0};
    if (s->producers != NULL) {
        producers_figures(s->producers, ret_produced);
    }
    if (s->consumers != NULL) {
        consumers_figures(s->consumers, ret_fetched);
    }
}

/* Turns for the time given, or until the limits of the options are reached. */
static void stream_run(const struct stream *s, double seconds, bool limited)
{
    int64_t end_ns = load_now_ns() + (int64_t)(seconds * 1e9);
    while (load_now_ns() < end_ns) {
        struct produce_figures produced;
        struct fetch_figures fetched;
        stream_turn(s);
        stream_figures(s, &produced, &fetched);
        if (limited &&
            ((s->o->bytes_max > 0 && produced.bytes + fetched.bytes >= s->o->bytes_max) ||
             (s->o->requests_max > 0 &&
              produced.requests + fetched.requests >= s->o->requests_max))) {
            return;
        }
    }
}

static void stream_drain(const struct stream *s)
{
    int64_t deadline = load_now_ns() + DRAIN_TIMEOUT_S * 1000000000LL;
    while (s->producers != NULL && !producers_drain(s->producers)) {
        if (load_now_ns() > deadline) {
            load_fail("not all requests were answered");
        }
        stream_turn(s);
    }
}

static void stream_report(const struct stream *s, const struct mark *m)
{
    struct produce_figures produced;
    struct fetch_figures fetched;
    stream_figures(s, &produced, &fetched);
    json_begin(s->o);
    json_mark(m);
    if (s->producers != NULL) {
        json_int("produce_requests", produced.requests);
        json_int("produce_records", produced.records);
        json_int("produce_bytes", produced.bytes);
        if (s->o->acks != 0) {
            json_latency("ack", produced.latency);
        }
    }
    if (s->consumers != NULL) {
        json_int("fetch_requests", fetched.requests);
        json_int("fetch_records", fetched.records);
        json_int("fetch_bytes", fetched.bytes);
    }
    json_int("rss_bytes", load_rss_bytes(s->o->pid));
    json_end();
}

static void stream_measure(const struct stream *s)
{
    if (s->producers != NULL) {
        producers_start(s->producers);
    }
    if (s->consumers != NULL) {
        consumers_start(s->consumers);
    }
    stream_run(s, s->o->warmup, false);
    if (s->producers != NULL && s->o->warmup > 0) {
        producers_clear_figures(s->producers);
    }
    if (s->consumers != NULL && s->o->warmup > 0) {
        consumers_clear_figures(s->consumers);
    }
    struct mark m;
    mark_begin(&m, s->o->pid);
    stream_run(s, s->o->seconds, true);
    mark_end(&m, s->o->pid);
    stream_report(s, &m); /* before the drain, whose requests are not in the mark */
    if (s->consumers != NULL) {
        consumers_stop(s->consumers);
    }
    stream_drain(s);
}

/* Puts fill_bytes of batches into the topic, spread over its partitions. */
static void stream_fill(const struct load_options *o, size_t *ret_batch_size,
                        int *ret_batch_records)
{
    struct load_options filling = *o;
    filling.connections = 1;
    filling.in_flight = FILL_IN_FLIGHT;
    filling.acks = 1;
    filling.rate = 0;
    filling.fetch_rate = 0;
    filling.requests_max = 0;
    filling.bytes_max = (int64_t)o->fill_bytes;
    struct stream s = {.o = &filling, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    s.producers = producers_new(&filling, s.epoll_fd);
    *ret_batch_size = producers_batch_size(s.producers);
    *ret_batch_records = producers_batch_records(s.producers);
    if (o->fill_bytes > 0) {
        producers_start(s.producers);
        stream_run(&s, 120, true);
        stream_drain(&s);
    }
    producers_free(s.producers);
    close(s.epoll_fd);
}

void case_stream(const struct load_options *o)
{
    bool fetches = strcmp(o->name, "fetch") == 0;
    bool both = strcmp(o->name, "both") == 0;
    int control = client_connect(o);
    client_check_versions(control);
    client_create_topic(control, o->topic, o->partitions);
    client_await_leaders(control, o->topic, o->partitions);
    client_await_served(control, o->topic, o->partitions);
    struct stream s = {.o = o, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    size_t batch_size = 0;
    int batch_records = 0;
    if (fetches || both) {
        stream_fill(o, &batch_size, &batch_records);
        /* Paced consumers read what is there again and again; others follow the producers. */
        s.consumers = consumers_new(o, s.epoll_fd, fetches ? o->connections : o->consumers,
                                    batch_size, batch_records, fetches || o->fetch_rate > 0);
        if (fetches && o->requests_max > 0) {
            consumers_limit(s.consumers, o->requests_max);
        }
    }
    if (!fetches) {
        s.producers = producers_new(o, s.epoll_fd);
    }
    stream_measure(&s);
    if (s.producers != NULL) {
        producers_free(s.producers);
    }
    if (s.consumers != NULL) {
        consumers_free(s.consumers);
    }
    close(s.epoll_fd);
    if (!o->keep) {
        client_delete_topic(control, o->topic);
    }
    close(control);
}
