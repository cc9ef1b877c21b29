/* SPDX-License-Identifier: Apache-2.0 */

/*
 * connections: what it costs to accept N connections and to hold them, each after one ApiVersions.
 * idle: then the same N do nothing for a while, or, with --parked, each waits in a Fetch.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum {
    PARK_MS = 30000,
    SETTLE_MS = 1000,
    EVENTS_MAX = 256,
};

static void park(const struct load_options *o, int fd, int index)
{
    uint8_t data[FETCH_REQUEST_HEAD_MAX + FETCH_REQUEST_PARTITION_SIZE];
    struct out request = {.data = data, .capacity = sizeof(data)};
    fetch_request_begin(
        &request, o->topic,
        (struct fetch_bounds){.max_wait_ms = PARK_MS, .min_bytes = 1, .max_bytes = 1 << 20}, 1);
    (void)fetch_request_partition(&request, index % o->partitions, 0, 1 << 20);
    fetch_request_end(&request);
    if (send(fd, data, request.size, MSG_NOSIGNAL) != (ssize_t)request.size) {
        load_fail("sending a Fetch request: %s", strerror(errno));
    }
}

/* Sits through the time, answering each expired Fetch with the next. Returns how many expired. */
static int64_t idle_run(const struct load_options *o, const int *fds, int epoll_fd, double seconds)
{
    int64_t end_ns = load_now_ns() + (int64_t)(seconds * 1e9);
    int64_t expired = 0;
    int64_t left_ns;
    while ((left_ns = end_ns - load_now_ns()) > 0) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, (int)(left_ns / 1000000) + 1);
        for (int i = 0; i < count; i++) {
            uint8_t answer[4096];
            int index = (int)events[i].data.u32;
            if (recv(fds[index], answer, sizeof(answer), 0) <= 0) {
                load_fail("the broker closed connection %d", index);
            }
            park(o, fds[index], index);
            expired++;
        }
    }
    return expired;
}

void case_idle(const struct load_options *o)
{
    int control = client_connect(o);
    client_check_versions(control);
    if (o->parked) {
        client_create_topic(control, o->topic, o->partitions);
        client_await_leaders(control, o->topic, o->partitions);
        client_await_served(control, o->topic, o->partitions);
    }
    int64_t rss_before = load_rss_bytes(o->pid);
    int *fds = calloc((size_t)o->connections, sizeof(int));
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct mark opening;
    mark_begin(&opening, o->pid);
    for (int i = 0; i < o->connections; i++) {
        fds[i] = client_connect(o);
        client_check_versions(fds[i]);
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &ev);
    }
    mark_end(&opening, o->pid);
    for (int i = 0; o->parked && i < o->connections; i++) {
        park(o, fds[i], i);
    }
    nanosleep(&(struct timespec){.tv_sec = SETTLE_MS / 1000}, NULL);
    struct mark idling;
    mark_begin(&idling, o->pid);
    int64_t expired = idle_run(o, fds, epoll_fd, o->seconds);
    mark_end(&idling, o->pid);

    json_begin(o);
    json_int("connections", o->connections);
    json_real("connect_s", (double)opening.elapsed_ns / 1e9);
    json_real("connect_broker_cpu_s", (double)opening.broker_cpu_ns / 1e9);
    json_int("rss_before_bytes", rss_before);
    json_mark(&idling);
    json_int("expired_fetches", expired);
    json_int("rss_bytes", load_rss_bytes(o->pid));
    json_end();
    for (int i = 0; i < o->connections; i++) {
        close(fds[i]);
    }
    free(fds);
    close(epoll_fd);
    if (o->parked && !o->keep) {
        client_delete_topic(control, o->topic);
    }
    close(control);
}
