/* SPDX-License-Identifier: Apache-2.0 */

/*
 * latency: records fall due at a fixed rate whatever the broker does (open loop), and both times
 * count from the moment a record was due, not from when it was sent: a stall shows in every record
 * that it held up.
 *
 * Record number k is due at started + k / rate and goes to partition k % partitions, where it gets
 * offset k / partitions: the topic is new, this is its only producer, and each partition is always
 * fed by the same connection. So an offset tells when its record was due. Like a producer with
 * linger 0, a connection with in_flight unanswered requests lets the records that fall due wait
 * and then sends each partition's as one batch.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum {
    BATCH_RECORDS_MAX = 200,
    IN_FLIGHT_MAX = 64,
    EVENTS_MAX = 64,
    RECEIVE_SIZE = 8 * 1024 * 1024,
    HEAD_SIZE_MAX = 256,
    SLEEP_NS_MAX = 1000000,
    FETCH_PARTITION_BYTES = 256 * 1024,
    REST_TIMEOUT_S = 10,
};

struct sent {
    int partition;
    int64_t first; /* record of the partition */
    int count;
};

struct feeder {
    int fd;
    struct sent in_flight[IN_FLIGHT_MAX];
    int64_t issued;
    int64_t answered;
    int next_partition;
    struct in answers; /* unread part of buffer */
    uint8_t *buffer;
    size_t size;
};

struct latency {
    const struct load_options *o;
    int epoll_fd;
    struct out batches[BATCH_RECORDS_MAX + 1]; /* by record count */
    struct feeder *feeders;
    int64_t *sent;     /* records, by partition */
    int64_t *received; /* records, by partition: the next offset to fetch */
    int64_t scheduled; /* records that have fallen due */
    int64_t scheduled_max;
    int64_t consumed;
    int64_t acked;
    int64_t requests;
    int64_t started_ns;
    int64_t measured_ns; /* records due before are warm-up */
    int tail_fd;
    struct out fetch;
    size_t *fetch_offset_positions;
    uint8_t *tail_buffer;
    size_t tail_size;
    struct histogram ack;
    struct histogram end_to_end;
};

static int64_t due_ns(const struct latency *l, int partition, int64_t record)
{
    int64_t k = record * l->o->partitions + partition;
    return l->started_ns + (int64_t)((double)k * 1e9 / (double)l->o->rate);
}

static int64_t due_count(const struct latency *l, int partition)
{
    return (l->scheduled - partition + l->o->partitions - 1) / l->o->partitions;
}

static void note(const struct latency *l, struct histogram *h, int partition, int64_t first,
                 int64_t count, int64_t now_ns)
{
    for (int64_t r = first; r < first + count; r++) {
        int64_t due = due_ns(l, partition, r);
        if (due >= l->measured_ns) {
            histogram_add(h, now_ns - due);
        }
    }
}

/* ---- producing ---- */

/* The next partition of this connection with records due, or -1. */
static int feeder_pick(struct latency *l, struct feeder *f)
{
    int step = l->o->connections;
    int own = (int)(f - l->feeders);
    for (int tries = 0; tries < l->o->partitions; tries += step) {
        int partition = f->next_partition;
        f->next_partition += step;
        if (f->next_partition >= l->o->partitions) {
            f->next_partition = own;
        }
        if (due_count(l, partition) > l->sent[partition]) {
            return partition;
        }
    }
    return -1;
}

static void send_all(int fd, struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    while (message.msg_iovlen > 0) {
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n < 0) {
            load_fail("sending a Produce request: %s", strerror(errno));
        }
        while (message.msg_iovlen > 0 && (size_t)n >= message.msg_iov->iov_len) {
            n -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + n;
            message.msg_iov->iov_len -= (size_t)n;
        }
    }
}

static void encode_head(const struct load_options *o, struct out *head, int partition,
                        size_t batch_size)
{
    client_request_begin(head, API_PRODUCE, PRODUCE_VERSION, 1);
    out_compact_null(head); /* transactional id */
    out_i16(head, (int16_t)o->acks);
    out_i32(head, 30000);
    out_compact_length(head, 1);
    out_compact_string(head, o->topic, strlen(o->topic));
    out_compact_length(head, 1);
    out_i32(head, partition);
    out_compact_length(head, batch_size);
    be32_store(head->data, (uint32_t)(head->size - 4 + batch_size + 3));
}

static void feeder_send(struct latency *l, struct feeder *f)
{
    static uint8_t no_tags[3]; /* partition, topic, request */
    uint8_t heads[IN_FLIGHT_MAX][HEAD_SIZE_MAX];
    struct iovec iov[IN_FLIGHT_MAX * 3];
    int requests = 0;
    while (f->issued - f->answered < l->o->in_flight) {
        int partition = feeder_pick(l, f);
        if (partition < 0) {
            break;
        }
        int64_t due = due_count(l, partition) - l->sent[partition];
        int count = (int)(due < BATCH_RECORDS_MAX ? due : BATCH_RECORDS_MAX);
        struct out *batch = &l->batches[count];
        struct out head = {.data = heads[requests], .capacity = HEAD_SIZE_MAX};
        encode_head(l->o, &head, partition, batch->size);
        iov[requests * 3] = (struct iovec){head.data, head.size};
        iov[requests * 3 + 1] = (struct iovec){batch->data, batch->size};
        iov[requests * 3 + 2] = (struct iovec){no_tags, sizeof(no_tags)};
        requests++;
        f->in_flight[f->issued % IN_FLIGHT_MAX] =
            (struct sent){partition, l->sent[partition], count};
        f->issued++;
        l->sent[partition] += count;
    }
    if (requests > 0) {
        send_all(f->fd, iov, requests * 3);
    }
}

static void feeder_answered(struct latency *l, struct feeder *f, struct in answer, int64_t now_ns)
{
    struct sent *sent = &f->in_flight[f->answered % IN_FLIGHT_MAX];
    (void)in_i32(&answer); /* correlation id */
    in_skip_tags(&answer);
    (void)in_compact_length(&answer);
    in_skip_compact_string(&answer);
    (void)in_compact_length(&answer);
    int32_t partition = in_i32(&answer);
    int16_t error = in_i16(&answer);
    int64_t base_offset = in_i64(&answer);
    if (answer.bad || error != 0 || partition != sent->partition || base_offset != sent->first) {
        load_fail("Produce to partition %d: error %d, offset %lld instead of %lld", partition,
                  error, (long long)base_offset, (long long)sent->first);
    }
    note(l, &l->ack, sent->partition, sent->first, sent->count, now_ns);
    f->answered++;
    l->acked += sent->count;
    l->requests++;
}

/* Appends what the socket holds to the buffer; false when that is nothing. */
static bool receive(int fd, uint8_t *buffer, size_t *size)
{
    ssize_t n = recv(fd, buffer + *size, RECEIVE_SIZE - *size, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        load_fail("the broker closed a connection");
    }
    *size += n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* The first complete answer in the buffer from position on, without its size field. */
static bool next_answer(const uint8_t *buffer, size_t size, size_t *position, struct in *ret_answer)
{
    if (size - *position < 4) {
        return false;
    }
    size_t answer = be32_load(buffer + *position);
    if (answer > RECEIVE_SIZE - 4) {
        load_fail("an answer of %zu bytes", answer);
    }
    if (size - *position - 4 < answer) {
        return false;
    }
    const uint8_t *start = buffer + *position + 4;
    *ret_answer = (struct in){.p = start, .end = start + answer};
    *position += 4 + answer;
    return true;
}

static void feeder_on_event(struct latency *l, struct feeder *f)
{
    if (!receive(f->fd, f->buffer, &f->size)) {
        return;
    }
    int64_t now_ns = load_now_ns();
    size_t position = 0;
    struct in answer;
    while (next_answer(f->buffer, f->size, &position, &answer)) {
        feeder_answered(l, f, answer, now_ns);
    }
    memmove(f->buffer, f->buffer + position, f->size - position);
    f->size -= position;
    feeder_send(l, f);
}

/* ---- consuming ---- */

static void tail_encode(struct latency *l)
{
    const struct load_options *o = l->o;
    size_t capacity = FETCH_REQUEST_HEAD_MAX + (size_t)o->partitions * FETCH_REQUEST_PARTITION_SIZE;
    struct out *out = &l->fetch;
    *out = (struct out){.data = malloc(capacity), .capacity = capacity};
    l->fetch_offset_positions = calloc((size_t)o->partitions, sizeof(size_t));
    fetch_request_begin(
        out, o->topic,
        (struct fetch_bounds){.max_wait_ms = 500, .min_bytes = 1, .max_bytes = RECEIVE_SIZE / 2},
        (size_t)o->partitions);
    for (int i = 0; i < o->partitions; i++) {
        l->fetch_offset_positions[i] = fetch_request_partition(out, i, 0, FETCH_PARTITION_BYTES);
    }
    fetch_request_end(out);
}

static void tail_ask(struct latency *l)
{
    for (int i = 0; i < l->o->partitions; i++) {
        be64_store(l->fetch.data + l->fetch_offset_positions[i], (uint64_t)l->received[i]);
    }
    send_all(l->tail_fd, &(struct iovec){l->fetch.data, l->fetch.size}, 1);
}

/* Whole batches only; an incomplete one at the end is fetched again. */
static void tail_records(struct latency *l, int partition, const uint8_t *p, size_t size,
                         int64_t now_ns)
{
    while (size >= BATCH_HEADER_SIZE && size >= (size_t)be32_load(p + 8) + 12) {
        size_t batch = (size_t)be32_load(p + 8) + 12;
        int64_t first = (int64_t)be64_load(p);
        int64_t count = (int64_t)be32_load(p + 23) + 1;
        int64_t skipped = l->received[partition] - first; /* a batch may start before the offset */
        if (skipped < 0 || count <= skipped) {
            load_fail("partition %d: offset %lld after %lld", partition, (long long)first,
                      (long long)l->received[partition]);
        }
        note(l, &l->end_to_end, partition, first + skipped, count - skipped, now_ns);
        l->received[partition] += count - skipped;
        l->consumed += count - skipped;
        p += batch;
        size -= batch;
    }
}

static void tail_answer(struct latency *l, struct in in, int64_t now_ns)
{
    (void)in_i32(&in); /* correlation id */
    in_skip_tags(&in);
    (void)in_i32(&in); /* throttle time */
    int16_t error = in_i16(&in);
    (void)in_i32(&in); /* session id */
    (void)in_compact_length(&in);
    in_skip_compact_string(&in);
    for (uint32_t count = in_compact_length(&in); count > 0 && !in.bad; count--) {
        int32_t partition = in_i32(&in);
        int16_t partition_error = in_i16(&in);
        (void)in_take(&in, 3 * 8);    /* high watermark, last stable and log start offset */
        (void)in_compact_length(&in); /* aborted transactions: none */
        (void)in_i32(&in);            /* preferred read replica */
        uint32_t size;
        const uint8_t *records = in_compact_string(&in, &size);
        in_skip_tags(&in);
        if (error != 0 || partition_error != 0 || in.bad || partition < 0 ||
            partition >= l->o->partitions) {
            load_fail("Fetch of partition %d: error %d %d", partition, error, partition_error);
        }
        tail_records(l, partition, records, size, now_ns);
    }
}

static void tail_on_event(struct latency *l)
{
    if (!receive(l->tail_fd, l->tail_buffer, &l->tail_size)) {
        return;
    }
    int64_t now_ns = load_now_ns();
    size_t position = 0;
    struct in answer;
    if (next_answer(l->tail_buffer, l->tail_size, &position, &answer)) {
        tail_answer(l, answer, now_ns);
        l->tail_size = 0; /* one request at a time, so nothing follows */
        tail_ask(l);
    }
}

/* ---- the run ---- */

static void latency_turn(struct latency *l)
{
    int64_t now_ns = load_now_ns();
    int64_t due = (int64_t)((double)(now_ns - l->started_ns) / 1e9 * (double)l->o->rate) + 1;
    l->scheduled = due < l->scheduled_max ? due : l->scheduled_max;
    for (int i = 0; i < l->o->connections; i++) {
        feeder_send(l, &l->feeders[i]);
    }
    int64_t sleep_ns = due_ns(l, 0, 0) +
                       (int64_t)((double)l->scheduled * 1e9 / (double)l->o->rate) - load_now_ns();
    sleep_ns = sleep_ns < 0 ? 0 : sleep_ns > SLEEP_NS_MAX ? SLEEP_NS_MAX : sleep_ns;
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_pwait2(l->epoll_fd, events, EVENTS_MAX,
                             &(struct timespec){.tv_nsec = sleep_ns}, NULL);
    for (int i = 0; i < count; i++) {
        int index = (int)(uint32_t)events[i].data.u64;
        if (events[i].data.u64 >> 32 == LOAD_PRODUCER) {
            feeder_on_event(l, &l->feeders[index]);
        } else {
            tail_on_event(l);
        }
    }
}

static void latency_set_up(struct latency *l)
{
    const struct load_options *o = l->o;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->sent = calloc((size_t)o->partitions, sizeof(int64_t));
    l->received = calloc((size_t)o->partitions, sizeof(int64_t));
    for (int n = 1; n <= BATCH_RECORDS_MAX; n++) {
        size_t capacity = BATCH_HEADER_SIZE + (size_t)n * (o->record_size + 24);
        l->batches[n] = (struct out){.data = malloc(capacity), .capacity = capacity};
        batch_encode(&l->batches[n], n, o->record_size);
    }
    l->feeders = calloc((size_t)o->connections, sizeof(*l->feeders));
    for (int i = 0; i < o->connections; i++) {
        struct feeder *f = &l->feeders[i];
        f->fd = client_connect(o);
        f->next_partition = i;
        f->buffer = malloc(RECEIVE_SIZE);
        struct epoll_event ev = {.events = EPOLLIN, .data.u64 = load_event_key(LOAD_PRODUCER, i)};
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev);
    }
    l->tail_fd = client_connect(o);
    l->tail_buffer = malloc(RECEIVE_SIZE);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = load_event_key(LOAD_CONSUMER, 0)};
    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->tail_fd, &ev);
    tail_encode(l);
}

static void latency_report(const struct latency *l, const struct mark *m)
{
    json_begin(l->o);
    json_mark(m);
    json_int("rate", l->o->rate);
    json_int("produce_requests", l->requests);
    json_int("produce_records", l->acked);
    json_int("fetch_records", l->consumed);
    json_int("missing", l->scheduled_max - l->consumed);
    json_latency("ack", &l->ack);
    json_latency("end_to_end", &l->end_to_end);
    json_int("rss_bytes", load_rss_bytes(l->o->pid));
    json_end();
}

static void latency_free(struct latency *l)
{
    for (int i = 0; i < l->o->connections; i++) {
        close(l->feeders[i].fd);
        free(l->feeders[i].buffer);
    }
    for (int n = 1; n <= BATCH_RECORDS_MAX; n++) {
        free(l->batches[n].data);
    }
    free(l->feeders);
    free(l->sent);
    free(l->received);
    free(l->fetch.data);
    free(l->fetch_offset_positions);
    free(l->tail_buffer);
    close(l->tail_fd);
    close(l->epoll_fd);
}

void case_latency(const struct load_options *o)
{
    static struct latency latency;
    struct latency *l = &latency;
    if (o->rate <= 0 || o->in_flight > IN_FLIGHT_MAX || o->connections > o->partitions ||
        o->acks == 0) {
        load_fail("latency needs --rate, --acks 1 or -1, at most %d in flight, and a partition "
                  "for each connection",
                  IN_FLIGHT_MAX);
    }
    l->o = o;
    prctl(PR_SET_TIMERSLACK, 1UL);
    int control = client_connect(o);
    client_check_versions(control);
    client_create_topic(control, o->topic, o->partitions);
    client_await_leaders(control, o->topic, o->partitions);
    client_await_served(control, o->topic, o->partitions);
    latency_set_up(l);
    l->scheduled_max = (int64_t)((double)o->rate * (o->warmup + o->seconds));
    struct mark m;
    tail_ask(l);
    mark_begin(&m, o->pid);
    l->started_ns = load_now_ns();
    l->measured_ns = l->started_ns + (int64_t)(o->warmup * 1e9);
    int64_t deadline = l->started_ns + (int64_t)((o->warmup + o->seconds + REST_TIMEOUT_S) * 1e9);
    while (l->consumed < l->scheduled_max && load_now_ns() < deadline) {
        latency_turn(l);
    }
    mark_end(&m, o->pid);
    latency_report(l, &m);
    latency_free(l);
    if (!o->keep) {
        client_delete_topic(control, o->topic);
    }
    close(control);
}
