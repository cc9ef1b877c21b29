/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Consumers that cost little: the heads of an answer are read, its records are dropped inside the
 * kernel (recv with MSG_TRUNC). That works because the log holds only batches of one known size
 * and record count, so the number of bytes tells the next offset.
 *
 * One answer is read in these states:
 *   HEAD       its size … the count of partitions
 *   PARTITION  one partition's fields before its records
 *   RECORDS    drop
 *   TAIL       tagged fields after the last partition
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum {
    BUFFER_SIZE = 16 * 1024,
    HEADS_READ_SIZE = 64, /* enough for one partition's head, and little of its records */
    RECORDS_SMALL = 4096, /* with fewer bytes a partition, read many heads at once */
    MAX_WAIT_MS = 500,
    WRAP_WAIT_MS = 5, /* of consumers that start over at the end of the log */
};

enum consumer_state { STATE_HEAD, STATE_PARTITION, STATE_RECORDS, STATE_TAIL };

struct consumer {
    int fd;
    int partition_count;
    int *partitions;
    int64_t *offsets;
    size_t *offset_positions; /* of each offset in the request */
    struct out request;
    bool waiting; /* for an answer */
    bool rests;   /* paced: to be asked again later */
    int64_t requests_left;
    enum consumer_state state;
    size_t answer_left;
    uint32_t partitions_left;
    size_t records_left;
    size_t next_read;
    uint8_t buffer[BUFFER_SIZE];
    size_t begin;
    size_t end;
};

struct consumers {
    const struct load_options *o;
    int count;
    size_t batch_size;
    int batch_records;
    bool wrap; /* start over at the end of the log, instead of waiting there */
    bool stopped;
    int64_t started_ns;
    int64_t paced_records;
    struct fetch_figures figures;
    struct consumer consumers[];
};

static void consumer_encode_request(const struct consumers *cs, struct consumer *c)
{
    const struct load_options *o = cs->o;
    size_t capacity =
        FETCH_REQUEST_HEAD_MAX + (size_t)c->partition_count * FETCH_REQUEST_PARTITION_SIZE;
    struct out *out = &c->request;
    *out = (struct out){.data = malloc(capacity), .capacity = capacity};
    fetch_request_begin(out, o->topic,
                        (struct fetch_bounds){.max_wait_ms = cs->wrap ? WRAP_WAIT_MS : MAX_WAIT_MS,
                                              .min_bytes = 1,
                                              .max_bytes = INT32_MAX},
                        (size_t)c->partition_count);
    for (int i = 0; i < c->partition_count; i++) {
        c->offset_positions[i] =
            fetch_request_partition(out, c->partitions[i], 0, (int32_t)o->partition_bytes);
    }
    fetch_request_end(out);
}

/* Consumer i of n gets each n-th partition; with more consumers than partitions they share. */
static void consumer_assign(const struct consumers *cs, struct consumer *c, int index)
{
    int partitions = cs->o->partitions;
    int step = cs->count < partitions ? cs->count : partitions;
    size_t room = (size_t)(partitions / step + 1);
    c->partitions = calloc(room, sizeof(*c->partitions));
    c->offsets = calloc(room, sizeof(*c->offsets));
    c->offset_positions = calloc(room, sizeof(*c->offset_positions));
    for (int p = index % step; p < partitions; p += step) {
        c->partitions[c->partition_count++] = p;
    }
}

struct consumers *consumers_new(const struct load_options *o, int epoll_fd, int count,
                                size_t batch_size, int batch_records, bool wrap)
{
    struct consumers *cs = calloc(1, sizeof(*cs) + (size_t)count * sizeof(struct consumer));
    cs->o = o;
    cs->count = count;
    cs->batch_size = batch_size;
    cs->batch_records = batch_records;
    cs->wrap = wrap;
    for (int i = 0; i < count; i++) {
        struct consumer *c = &cs->consumers[i];
        consumer_assign(cs, c, i);
        consumer_encode_request(cs, c);
        c->next_read = BUFFER_SIZE;
        c->requests_left = INT64_MAX;
        c->fd = client_connect(o);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event ev = {.events = EPOLLIN | EPOLLET,
                                 .data.u64 = load_event_key(LOAD_CONSUMER, i)};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
    }
    return cs;
}

void consumers_free(struct consumers *cs)
{
    for (int i = 0; i < cs->count; i++) {
        struct consumer *c = &cs->consumers[i];
        close(c->fd);
        free(c->partitions);
        free(c->offsets);
        free(c->offset_positions);
        free(c->request.data);
    }
    free(cs);
}

void consumers_limit(struct consumers *cs, int64_t requests)
{
    for (int i = 0; i < cs->count; i++) {
        cs->consumers[i].requests_left = requests;
    }
}

static bool consumers_ahead_of_pace(const struct consumers *cs, int64_t now_ns)
{
    return cs->o->fetch_rate > 0 && (double)cs->paced_records > (double)(now_ns - cs->started_ns) /
                                                                    1e9 * (double)cs->o->fetch_rate;
}

static void consumer_ask(struct consumers *cs, struct consumer *c)
{
    c->waiting = false;
    c->rests = false;
    if (cs->stopped || c->requests_left == 0) {
        return;
    }
    if (consumers_ahead_of_pace(cs, load_now_ns())) {
        c->rests = true;
        return;
    }
    c->requests_left--;
    for (int i = 0; i < c->partition_count; i++) {
        be64_store(c->request.data + c->offset_positions[i], (uint64_t)c->offsets[i]);
    }
    /* The peer reads between answers, so that a request always fits into the socket. */
    if (send(c->fd, c->request.data, c->request.size, MSG_NOSIGNAL) != (ssize_t)c->request.size) {
        load_fail("sending a Fetch request: %s", strerror(errno));
    }
    c->waiting = true;
}

static void consumer_got_records(struct consumers *cs, struct consumer *c, int32_t partition,
                                 int64_t high_watermark, size_t size)
{
    int slot = partition / (cs->count < cs->o->partitions ? cs->count : cs->o->partitions);
    if (slot < 0 || slot >= c->partition_count || c->partitions[slot] != partition) {
        load_fail("a Fetch answer with partition %d", partition);
    }
    int64_t batches = (int64_t)(size / cs->batch_size);
    if (size > 0 && batches == 0) {
        load_fail("a Fetch answer with less than one batch: %zu bytes", size);
    }
    cs->figures.records += batches * cs->batch_records;
    cs->paced_records += batches * cs->batch_records;
    cs->figures.bytes += (int64_t)size;
    c->offsets[slot] += batches * cs->batch_records;
    if (cs->wrap && c->offsets[slot] >= high_watermark) {
        c->offsets[slot] = 0;
    }
}

static struct in consumer_buffered(const struct consumer *c)
{
    size_t size = c->end - c->begin;
    size_t left = c->answer_left;
    bool in_answer = c->state != STATE_HEAD;
    return (struct in){.p = c->buffer + c->begin,
                       .end = c->buffer + c->begin + (in_answer && left < size ? left : size)};
}

static void consumer_consume(struct consumer *c, const struct in *in)
{
    size_t size = (size_t)(in->p - (c->buffer + c->begin));
    c->begin += size;
    c->answer_left -= size;
}

/* Each of these takes one step, or returns false when the buffer does not hold enough. */
static bool consumer_take_head(struct consumer *c)
{
    struct in in = consumer_buffered(c);
    size_t size = (uint32_t)in_i32(&in);
    (void)in_i32(&in); /* correlation id */
    in_skip_tags(&in);
    (void)in_i32(&in); /* throttle time */
    int16_t error = in_i16(&in);
    (void)in_i32(&in); /* session id */
    uint32_t topics = in_compact_length(&in);
    if (topics > 0) {
        in_skip_compact_string(&in);
        c->partitions_left = in_compact_length(&in);
    }
    if (in.bad) {
        return false;
    }
    if (error != 0 || topics != 1) {
        load_fail("Fetch: error %d, %u topics", error, topics);
    }
    c->answer_left = size + 4;
    c->state = STATE_PARTITION;
    consumer_consume(c, &in);
    return true;
}

static bool consumer_take_partition(struct consumers *cs, struct consumer *c)
{
    struct in in = consumer_buffered(c);
    int32_t partition = in_i32(&in);
    int16_t error = in_i16(&in);
    int64_t high_watermark = in_i64(&in);
    (void)in_i64(&in); /* last stable offset */
    (void)in_i64(&in); /* log start offset */
    if (in_compact_length(&in) != 0) {
        load_fail("Fetch: aborted transactions");
    }
    (void)in_i32(&in); /* preferred read replica */
    size_t records = in_compact_length(&in);
    if (in.bad) {
        return false;
    }
    if (error != 0) {
        load_fail("Fetch of partition %d: error %d", partition, error);
    }
    consumer_consume(c, &in);
    consumer_got_records(cs, c, partition, high_watermark, records);
    c->records_left = records;
    c->next_read = records < RECORDS_SMALL ? BUFFER_SIZE : HEADS_READ_SIZE;
    c->state = STATE_RECORDS;
    return true;
}

static bool consumer_take_records(struct consumer *c)
{
    size_t buffered = c->end - c->begin;
    size_t taken = buffered < c->records_left ? buffered : c->records_left;
    c->begin += taken;
    c->answer_left -= taken;
    c->records_left -= taken;
    if (c->records_left > 0) {
        return false;
    }
    struct in in = consumer_buffered(c);
    in_skip_tags(&in);
    if (in.bad) {
        return false;
    }
    consumer_consume(c, &in);
    c->state = --c->partitions_left > 0 ? STATE_PARTITION : STATE_TAIL;
    return true;
}

static bool consumer_take_tail(struct consumers *cs, struct consumer *c)
{
    if (c->end - c->begin < c->answer_left) {
        return false;
    }
    c->begin += c->answer_left;
    c->answer_left = 0;
    c->state = STATE_HEAD;
    cs->figures.requests++;
    consumer_ask(cs, c);
    return true;
}

static void consumer_parse(struct consumers *cs, struct consumer *c)
{
    bool stepped = true;
    while (stepped && c->begin < c->end) {
        switch (c->state) {
        case STATE_HEAD:
            stepped = consumer_take_head(c);
            break;
        case STATE_PARTITION:
            stepped = consumer_take_partition(cs, c);
            break;
        case STATE_RECORDS:
            stepped = consumer_take_records(c);
            break;
        case STATE_TAIL:
            stepped = consumer_take_tail(cs, c);
            break;
        }
    }
    memmove(c->buffer, c->buffer + c->begin, c->end - c->begin);
    c->end -= c->begin;
    c->begin = 0;
}

void consumers_on_event(struct consumers *cs, int index)
{
    void *nowhere = NULL; /* MSG_TRUNC writes nothing */
    struct consumer *c = &cs->consumers[index];
    for (;;) {
        ssize_t n;
        if (c->state == STATE_RECORDS && c->records_left > 0 && c->end == 0) {
            n = recv(c->fd, nowhere, c->records_left, MSG_TRUNC);
            if (n > 0) {
                c->records_left -= (size_t)n;
                c->answer_left -= (size_t)n;
                continue;
            }
        } else {
            size_t room = BUFFER_SIZE - c->end;
            n = recv(c->fd, c->buffer + c->end, room < c->next_read ? room : c->next_read, 0);
            if (n > 0) {
                c->end += (size_t)n;
                consumer_parse(cs, c);
                continue;
            }
        }
        if (n == 0 || errno != EAGAIN) {
            load_fail("the broker closed a consumer's connection");
        }
        return;
    }
}

void consumers_start(struct consumers *cs)
{
    cs->started_ns = load_now_ns();
    for (int i = 0; i < cs->count; i++) {
        consumer_ask(cs, &cs->consumers[i]);
    }
}

void consumers_on_turn(struct consumers *cs, int64_t now_ns)
{
    if (cs->o->fetch_rate == 0 || consumers_ahead_of_pace(cs, now_ns)) {
        return;
    }
    for (int i = 0; i < cs->count; i++) {
        if (cs->consumers[i].rests) {
            consumer_ask(cs, &cs->consumers[i]);
        }
    }
}

void consumers_stop(struct consumers *cs)
{
    cs->stopped = true;
}

void consumers_figures(const struct consumers *cs, struct fetch_figures *ret_figures)
{
    *ret_figures = cs->figures;
}

void consumers_clear_figures(struct consumers *cs)
{
    cs->figures = (struct fetch_figures){0};
}
