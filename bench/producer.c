/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Producers that cost little: all requests are encoded once, one after the other in a memory file
 * (the "ring"), for all connections. Each slot of the ring is one request for one partition.
 * Sending is sendfile from the ring, so bytes are not copied on this side; nothing is patched,
 * because the correlation id of a slot is its number and the broker answers in order.
 *
 * I1  A connection's stream is the ring over and over, from its own first slot on.
 * I2  issued - answered <= in_flight.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum {
    RING_SIZE_MAX = 512 * 1024 * 1024,
    SENDFILE_REQUEST_MIN = 4096, /* smaller requests are copied: cheaper than page references */
    RECEIVE_SIZE = 64 * 1024,
    SLOTS_MAX = 4096,
};

struct producer {
    int fd;
    size_t first_slot;
    int64_t issued;
    int64_t answered;
    int64_t sent_bytes; /* of the stream; issued * request_size when all is out */
    int64_t *issued_ns; /* of the requests in flight, by number modulo in_flight */
    uint8_t *received;
    size_t received_size;
};

struct producers {
    const struct load_options *o;
    int count;
    int ring_fd;
    uint8_t *ring;
    size_t slot_count;
    size_t request_size;
    size_t batch_size;
    int batch_records;
    size_t error_position; /* of the error code in an answer */
    bool draining;
    int64_t started_ns;
    int64_t requests_left; /* counts down only with a limit */
    struct produce_figures figures;
    struct producer producers[];
};

/* At least in_flight slots, and a multiple of the partitions, so that all get the same share. */
static void producers_fill_ring(struct producers *p)
{
    const struct load_options *o = p->o;
    p->batch_records = o->batch_size == 0 ? 1 : batch_record_count(o->batch_size, o->record_size);
    size_t capacity = o->batch_size + o->record_size + 4096;
    struct out batch = {.data = malloc(capacity), .capacity = capacity};
    p->batch_size = batch_encode(&batch, p->batch_records, o->record_size);
    size_t partitions = (size_t)o->partitions;
    p->slot_count = ((size_t)o->in_flight + partitions - 1) / partitions * partitions;
    size_t all = p->slot_count * (p->batch_size + 512);
    if (all > RING_SIZE_MAX || p->slot_count > SLOTS_MAX) {
        load_fail("%zu requests of %zu bytes do not fit into the ring", p->slot_count,
                  p->batch_size);
    }
    p->ring_fd = memfd_create("load", MFD_CLOEXEC);
    if (p->ring_fd < 0 || ftruncate(p->ring_fd, (off_t)all) != 0) {
        load_fail("memfd: %s", strerror(errno));
    }
    p->ring = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, p->ring_fd, 0);
    struct out ring = {.data = p->ring, .capacity = all};
    for (size_t slot = 0; slot < p->slot_count; slot++) {
        produce_request_encode(&ring, o, (int32_t)slot, (int32_t)(slot % partitions), batch.data,
                               p->batch_size);
    }
    p->request_size = ring.size / p->slot_count;
    check(p->request_size * p->slot_count == ring.size);
    free(batch.data);
}

struct producers *producers_new(const struct load_options *o, int epoll_fd)
{
    struct producers *p = calloc(1, sizeof(*p) + (size_t)o->connections * sizeof(struct producer));
    p->o = o;
    p->count = o->connections;
    p->figures.latency = calloc(1, sizeof(struct histogram));
    p->requests_left = o->requests_max > 0 ? o->requests_max : INT64_MAX;
    producers_fill_ring(p);
    /* size, correlation id, tags; one topic: count, name; one partition: count, index */
    p->error_position = 4 + 4 + 1 + 1 + 1 + strlen(o->topic) + 1 + 4;
    for (int i = 0; i < p->count; i++) {
        struct producer *pr = &p->producers[i];
        pr->fd = client_connect(o);
        fcntl(pr->fd, F_SETFL, O_NONBLOCK);
        pr->first_slot = (size_t)i * p->slot_count / (size_t)p->count;
        pr->issued_ns = calloc((size_t)o->in_flight, sizeof(int64_t));
        pr->received = malloc(RECEIVE_SIZE);
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                 .data.u64 = load_event_key(LOAD_PRODUCER, i)};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pr->fd, &ev);
    }
    return p;
}

void producers_free(struct producers *p)
{
    for (int i = 0; i < p->count; i++) {
        close(p->producers[i].fd);
        free(p->producers[i].issued_ns);
        free(p->producers[i].received);
    }
    munmap(p->ring, p->slot_count * (p->batch_size + 512));
    close(p->ring_fd);
    free(p->figures.latency);
    free(p);
}

/* How many more requests this connection may send now. */
static int64_t producer_allowed(const struct producers *p, const struct producer *pr,
                                int64_t now_ns)
{
    int64_t allowed = pr->answered + p->o->in_flight - pr->issued;
    if (p->o->rate > 0) {
        double due = (double)(now_ns - p->started_ns) / 1e9 * (double)p->o->rate /
                     ((double)p->batch_records * p->count);
        int64_t paced = (int64_t)due - pr->issued;
        allowed = paced < allowed ? paced : allowed;
    }
    allowed = allowed < p->requests_left ? allowed : p->requests_left;
    return p->draining || allowed < 0 ? 0 : allowed;
}

static void producer_count_answered(struct producers *p, struct producer *pr, int64_t count,
                                    int64_t now_ns)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t issued = pr->issued_ns[(pr->answered + i) % p->o->in_flight];
        histogram_add(p->figures.latency, now_ns - issued);
    }
    pr->answered += count;
    p->figures.requests += count;
    p->figures.records += count * p->batch_records;
    p->figures.bytes += count * (int64_t)p->batch_size;
}

static void producer_send(struct producers *p, struct producer *pr)
{
    size_t ring_size = p->request_size * p->slot_count;
    int64_t end = pr->issued * (int64_t)p->request_size;
    while (pr->sent_bytes < end) {
        size_t position = (pr->first_slot * p->request_size + (size_t)pr->sent_bytes) % ring_size;
        size_t size = (size_t)(end - pr->sent_bytes);
        size = size < ring_size - position ? size : ring_size - position;
        off_t offset = (off_t)position;
        ssize_t n = p->request_size >= SENDFILE_REQUEST_MIN
                        ? sendfile(pr->fd, p->ring_fd, &offset, size)
                        : send(pr->fd, p->ring + position, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            load_fail("sending a Produce request: %s", strerror(errno));
        }
        pr->sent_bytes += n;
    }
    if (p->o->acks == 0) {
        producer_count_answered(p, pr, pr->issued - pr->answered, load_now_ns());
    }
}

static void producer_issue(struct producers *p, struct producer *pr, int64_t now_ns)
{
    int64_t allowed = producer_allowed(p, pr, now_ns);
    for (int64_t i = 0; i < allowed; i++) {
        pr->issued_ns[(pr->issued + i) % p->o->in_flight] = now_ns;
    }
    pr->issued += allowed;
    p->requests_left -= p->o->requests_max > 0 ? allowed : 0;
    producer_send(p, pr);
}

/* Counts the complete answers in the receive buffer and keeps the rest. */
static int64_t producer_take_answers(const struct producers *p, struct producer *pr)
{
    size_t position = 0;
    int64_t count = 0;
    while (pr->received_size - position >= 4) {
        const uint8_t *answer = pr->received + position;
        size_t size = 4 + (size_t)be32_load(answer);
        if (size > RECEIVE_SIZE || size < p->error_position + 2) {
            load_fail("a Produce answer of %zu bytes", size);
        }
        if (pr->received_size - position < size) {
            break;
        }
        int16_t error = (int16_t)be16_load(answer + p->error_position);
        if (error != 0) {
            load_fail("Produce: error %d", error);
        }
        position += size;
        count++;
    }
    memmove(pr->received, pr->received + position, pr->received_size - position);
    pr->received_size -= position;
    return count;
}

void producers_on_event(struct producers *p, int index)
{
    struct producer *pr = &p->producers[index];
    for (;;) {
        size_t room = RECEIVE_SIZE - pr->received_size;
        ssize_t n = recv(pr->fd, pr->received + pr->received_size, room, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            load_fail("the broker closed a producer's connection");
        }
        pr->received_size += n > 0 ? (size_t)n : 0;
        int64_t now_ns = load_now_ns();
        producer_count_answered(p, pr, producer_take_answers(p, pr), now_ns);
        producer_issue(p, pr, now_ns);
        if (n != (ssize_t)room) {
            return;
        }
    }
}

void producers_start(struct producers *p)
{
    p->started_ns = load_now_ns();
    for (int i = 0; i < p->count; i++) {
        producer_issue(p, &p->producers[i], p->started_ns);
    }
}

void producers_on_turn(struct producers *p, int64_t now_ns)
{
    if (p->o->rate > 0 || p->o->acks == 0) {
        for (int i = 0; i < p->count; i++) {
            producer_issue(p, &p->producers[i], now_ns);
        }
    }
}

bool producers_can_go_on(const struct producers *p)
{
    for (int i = 0; i < p->count && p->o->acks == 0 && p->o->rate == 0; i++) {
        if (p->producers[i].answered == p->producers[i].issued) {
            return true;
        }
    }
    return false;
}

bool producers_drain(struct producers *p)
{
    p->draining = true;
    bool done = true;
    for (int i = 0; i < p->count; i++) {
        const struct producer *pr = &p->producers[i];
        done &=
            pr->answered == pr->issued && pr->sent_bytes == pr->issued * (int64_t)p->request_size;
    }
    return done;
}

void producers_figures(const struct producers *p, struct produce_figures *ret_figures)
{
    *ret_figures = p->figures;
}

void producers_clear_figures(struct producers *p)
{
    histogram_clear(p->figures.latency);
    p->figures = (struct produce_figures){.latency = p->figures.latency};
}

size_t producers_batch_size(const struct producers *p)
{
    return p->batch_size;
}

int producers_batch_records(const struct producers *p)
{
    return p->batch_records;
}
