/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The floor: a single-thread server that does only the unavoidable work of Produce and Fetch.
 * No broker that makes these system calls can cost less, so it is what the broker is held against.
 * It counts only while bench/floor-check passes. It keeps no promise of a broker: one file per
 * partition, no recovery, no validation beyond the CRC, no time-outs of its own.
 *
 * One turn of the loop, in this order (F1..F4 are its invariants):
 *   receive   one recv per readable connection, into a page-aligned buffer
 *   process   every complete request in it: check the CRC, assign offsets, patch them in place,
 *             note the batch in its partition's iovecs, encode the answer
 *   write     one pwritev per partition that got batches
 *   send      one send per connection, and one sendfile per fetched range
 *
 * F1  The bytes that an iovec points to stay in place until they are written.
 * F2  An answer leaves only after the pwritev of every batch that it acknowledges.
 * F3  A fetch serves nothing beyond written_position.
 * F4  Buffers are lent: an idle connection holds none.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "wire.h"

enum {
    IN_SIZE = 2 * 1024 * 1024,    /* one request of a batch of 1 MiB, and the start of the next */
    RECV_SIZE_MAX = 1024 * 1024,  /* per recv: more evicts the bytes from L2 before the CRC */
    OUT_SIZE = 2 * 1024 * 1024,   /* Metadata of 50,000 partitions */
    ANSWER_SIZE_MAX = 512,        /* room kept for one Produce answer */
    RANGES_MAX = 1024,            /* file ranges in the answers of one connection */
    SENDFILE_SIZE_MIN = 8 * 1024, /* below, pread into the answer and one send is cheaper */
    INDEX_INTERVAL = 4096,
    TOPICS_MAX = 4096,
    EVENTS_MAX = 512,
    PRODUCE_PARTITIONS_MAX = 64,
    LEADER_EPOCH = 0,
    BROKER_ID = 1,
    SEND_BUFFER_SIZE = 100 * 1024, /* Kafka's socket.send.buffer.bytes */
};

struct index_entry {
    int64_t offset;
    int64_t position;
};

struct partition {
    int fd;
    int64_t end_offset;
    int64_t end_position;
    int64_t written_offset;
    int64_t written_position;
    struct iovec *iov; /* batches of this turn: IOV_MAX entries, from the first append on */
    int iov_count;
    bool dirty; /* in the list of partitions to write in this turn */
    struct partition *next_dirty;
    struct index_entry *index; /* one entry for each INDEX_INTERVAL bytes of log */
    size_t index_count;
    size_t index_capacity;
    struct index_entry memo; /* end of the last range served: where a sequential reader goes on */
};

struct topic {
    char name[250];
    uint32_t name_size;
    int32_t partition_count;
    struct partition *partitions;
};

struct range {
    size_t after; /* goes out when this many bytes of out->bytes have gone */
    int fd;
    off_t position;
    size_t size;
};

struct answers {
    struct answers *next_free;
    struct out bytes;
    size_t sent;
    struct range ranges[RANGES_MAX];
    int range_count;
    int range_next;
};

struct in_buf {
    struct in_buf *next_free;
    uint8_t *data; /* page-aligned */
};

struct conn {
    int fd;
    bool ready;   /* in the ready list */
    bool blocked; /* answers wait for EPOLLOUT */
    bool more;    /* bytes may wait in the socket or in the buffer */
    bool gone;    /* to be freed at the end of the turn */
    int64_t parked_until_ms;
    uint8_t *parked; /* the request of a fetch that waits, or NULL; owned */
    size_t parked_size;
    struct conn *parked_prev;
    struct conn *parked_next;
    struct in_buf *in;
    size_t in_used;  /* bytes received */
    size_t in_taken; /* bytes processed */
    int low_water;
    struct answers *out;
};

struct server {
    int epoll_fd;
    int listen_fd;
    int dir_fd;
    int port;
    int send_buffer;
    int64_t now_ms;
    struct topic *topics[TOPICS_MAX];
    int topic_count;
    struct topic *last_topic;
    struct partition *dirty;
    bool appended;
    struct conn *parked; /* head of the list of connections with a parked fetch */
    struct in_buf *free_in;
    struct answers *free_out;
    struct conn **ready; /* connections to look at in this turn */
    size_t ready_count;
    size_t ready_capacity;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- lent buffers ---- */

static uint8_t *pages_new(size_t size)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        die("mmap");
    }
    return p;
}

static void in_borrow(struct server *s, struct conn *c)
{
    if (s->free_in == NULL) {
        s->free_in = calloc(1, sizeof(*s->free_in));
        s->free_in->data = pages_new(IN_SIZE);
    }
    c->in = s->free_in;
    s->free_in = c->in->next_free;
    c->in_used = 0;
    c->in_taken = 0;
}

static void in_return(struct server *s, struct conn *c)
{
    c->in->next_free = s->free_in;
    s->free_in = c->in;
    c->in = NULL;
}

static void out_borrow(struct server *s, struct conn *c)
{
    if (s->free_out == NULL) {
        s->free_out = calloc(1, sizeof(*s->free_out));
        s->free_out->bytes = (struct out){.data = pages_new(OUT_SIZE), .capacity = OUT_SIZE};
    }
    c->out = s->free_out;
    s->free_out = c->out->next_free;
    c->out->bytes.size = 0;
    c->out->sent = 0;
    c->out->range_count = 0;
    c->out->range_next = 0;
}

static void out_return(struct server *s, struct conn *c)
{
    c->out->next_free = s->free_out;
    s->free_out = c->out;
    c->out = NULL;
}

/* ---- connections ---- */

static void conn_make_ready(struct server *s, struct conn *c)
{
    if (c->ready) {
        return;
    }
    c->ready = true;
    if (s->ready_count == s->ready_capacity) {
        s->ready_capacity = s->ready_capacity == 0 ? 1024 : s->ready_capacity * 2;
        s->ready = realloc(s->ready, s->ready_capacity * sizeof(struct conn *));
    }
    s->ready[s->ready_count++] = c;
}

static void conn_unpark(struct server *s, struct conn *c)
{
    if (c->parked_prev != NULL) {
        c->parked_prev->parked_next = c->parked_next;
    } else {
        s->parked = c->parked_next;
    }
    if (c->parked_next != NULL) {
        c->parked_next->parked_prev = c->parked_prev;
    }
    free(c->parked);
    c->parked = NULL;
}

static void conn_park(struct server *s, struct conn *c, const uint8_t *request, size_t size,
                      int32_t wait_ms)
{
    c->parked = malloc(size);
    memcpy(c->parked, request, size);
    c->parked_size = size;
    c->parked_until_ms = s->now_ms + wait_ms;
    c->parked_prev = NULL;
    c->parked_next = s->parked;
    if (s->parked != NULL) {
        s->parked->parked_prev = c;
    }
    s->parked = c;
}

/* Only at the end of a turn, when no iovec points into its buffer (F1). */
static void conn_free(struct server *s, struct conn *c)
{
    if (c->parked != NULL) {
        conn_unpark(s, c);
    }
    if (c->in != NULL) {
        in_return(s, c);
    }
    if (c->out != NULL) {
        out_return(s, c);
    }
    close(c->fd);
    free(c);
}

static void accept_all(struct server *s)
{
    int fd;
    while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (s->send_buffer > 0) {
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &s->send_buffer, sizeof(s->send_buffer));
        }
        struct conn *c = calloc(1, sizeof(*c));
        c->fd = fd;
        c->low_water = 1;
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = c};
        if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
            die("epoll_ctl");
        }
    }
}

/* ---- topics ---- */

static struct topic *topic_find(struct server *s, const void *name, uint32_t size)
{
    struct topic *t = s->last_topic;
    if (t != NULL && t->name_size == size && memcmp(t->name, name, size) == 0) {
        return t;
    }
    for (int i = 0; i < s->topic_count; i++) {
        t = s->topics[i];
        if (t->name_size == size && memcmp(t->name, name, size) == 0) {
            s->last_topic = t;
            return t;
        }
    }
    return NULL;
}

static struct partition *partition_find(struct server *s, const void *name, uint32_t size,
                                        int32_t index)
{
    struct topic *t = topic_find(s, name, size);
    return t == NULL || index < 0 || index >= t->partition_count ? NULL : &t->partitions[index];
}

static int16_t topic_create(struct server *s, const uint8_t *name, uint32_t size, int32_t count)
{
    if (topic_find(s, name, size) != NULL) {
        return ERROR_TOPIC_ALREADY_EXISTS;
    }
    struct topic *t = calloc(1, sizeof(*t));
    if (s->topic_count == TOPICS_MAX || size >= sizeof(t->name) || count < 1) {
        free(t);
        return ERROR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    memcpy(t->name, name, size);
    t->name_size = size;
    t->partition_count = count;
    t->partitions = calloc((size_t)count, sizeof(*t->partitions));
    for (int32_t i = 0; i < count; i++) {
        char file[300];
        snprintf(file, sizeof(file), "%s-%d.log", t->name, i);
        t->partitions[i].fd = openat(s->dir_fd, file, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
        if (t->partitions[i].fd < 0) {
            die(file);
        }
    }
    s->topics[s->topic_count++] = t;
    return ERROR_NONE;
}

/* ---- the log ---- */

static void partition_write(struct partition *p)
{
    struct iovec *iov = p->iov;
    int count = p->iov_count;
    while (p->written_position < p->end_position) {
        ssize_t n = pwritev(p->fd, iov, count, p->written_position);
        if (n < 0) {
            die("pwritev");
        }
        p->written_position += n;
        while (count > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    p->written_offset = p->end_offset;
    p->iov_count = 0;
}

static void write_dirty(struct server *s)
{
    for (struct partition *p = s->dirty; p != NULL; p = p->next_dirty) {
        partition_write(p);
        p->dirty = false;
    }
    s->appended |= s->dirty != NULL;
    s->dirty = NULL;
}

static void index_add(struct partition *p)
{
    if (p->index_count > 0 &&
        p->end_position - p->index[p->index_count - 1].position < INDEX_INTERVAL) {
        return;
    }
    if (p->index_count == p->index_capacity) {
        p->index_capacity = p->index_capacity == 0 ? 64 : p->index_capacity * 2;
        p->index = realloc(p->index, p->index_capacity * sizeof(*p->index));
    }
    p->index[p->index_count++] = (struct index_entry){p->end_offset, p->end_position};
}

static void partition_note_batch(struct server *s, struct partition *p, uint8_t *batch, size_t size)
{
    if (!p->dirty) {
        if (p->iov == NULL) {
            p->iov = malloc(IOV_MAX * sizeof(*p->iov));
        }
        p->dirty = true;
        p->next_dirty = s->dirty;
        s->dirty = p;
    }
    if (p->iov_count == IOV_MAX) {
        partition_write(p);
    }
    struct iovec *last = p->iov_count == 0 ? NULL : &p->iov[p->iov_count - 1];
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == batch) {
        last->iov_len += size;
    } else {
        p->iov[p->iov_count++] = (struct iovec){batch, size};
    }
    index_add(p);
    p->end_offset += (int64_t)be32_load(batch + 23) + 1;
    p->end_position += (int64_t)size;
}

/* Checks, numbers and notes all batches of one partition's records. */
static int16_t partition_append(struct server *s, struct partition *p, uint8_t *records,
                                size_t size)
{
    while (size >= BATCH_HEADER_SIZE) {
        size_t batch_size = (size_t)be32_load(records + 8) + 12;
        if (batch_size > size || batch_size < BATCH_HEADER_SIZE || records[16] != 2 ||
            crc32c(0, records + BATCH_CRC_START, batch_size - BATCH_CRC_START) !=
                be32_load(records + 17)) {
            return ERROR_CORRUPT_MESSAGE;
        }
        be64_store(records, (uint64_t)p->end_offset);
        be32_store(records + 12, LEADER_EPOCH);
        partition_note_batch(s, p, records, batch_size);
        records += batch_size;
        size -= batch_size;
    }
    return size == 0 ? ERROR_NONE : ERROR_CORRUPT_MESSAGE;
}

/* ---- answers ---- */

static size_t answer_begin(struct out *o, int32_t correlation_id, bool flexible)
{
    size_t start = o->size;
    out_i32(o, 0); /* size, known at the end */
    out_i32(o, correlation_id);
    if (flexible) {
        out_no_tags(o);
    }
    return start;
}

static void answer_end(struct out *o, size_t start, size_t file_bytes)
{
    be32_store(o->data + start, (uint32_t)(o->size - start - 4 + file_bytes));
}

static void answer_produce_partition(struct out *o, int32_t index, int16_t error, int64_t offset)
{
    out_i32(o, index);
    out_i16(o, error);
    out_i64(o, error == ERROR_NONE ? offset : -1);
    out_i64(o, -1);           /* log append time */
    out_i64(o, 0);            /* log start offset */
    out_compact_length(o, 0); /* record errors */
    out_compact_null(o);      /* error message */
    out_no_tags(o);
}

static bool api_produce(struct server *s, struct in *in, struct out *o, int32_t correlation_id)
{
    in_skip_compact_string(in); /* transactional id */
    int16_t acks = in_i16(in);
    (void)in_i32(in);
    size_t start = answer_begin(o, correlation_id, true);
    uint32_t topics = in_compact_length(in);
    out_compact_length(o, topics);
    for (uint32_t t = 0; t < topics && !in->bad; t++) {
        uint32_t name_size;
        const uint8_t *name = in_compact_string(in, &name_size);
        uint32_t partitions = in_compact_length(in);
        if (name == NULL || partitions > PRODUCE_PARTITIONS_MAX) {
            return false;
        }
        out_compact_string(o, (const char *)name, name_size);
        out_compact_length(o, partitions);
        for (uint32_t i = 0; i < partitions && !in->bad; i++) {
            int32_t index = in_i32(in);
            uint32_t size;
            const uint8_t *records = in_compact_string(in, &size);
            in_skip_tags(in);
            if (in->bad) {
                return false;
            }
            struct partition *p = partition_find(s, name, name_size, index);
            int64_t offset = p == NULL ? -1 : p->end_offset;
            /* The bytes are ours: they lie in the connection's receive buffer. */
            int16_t error = p == NULL ? ERROR_UNKNOWN_TOPIC_OR_PARTITION
                                      : partition_append(s, p, (uint8_t *)(uintptr_t)records, size);
            answer_produce_partition(o, index, error, offset);
        }
        in_skip_tags(in);
        out_no_tags(o);
    }
    out_i32(o, 0); /* throttle time */
    out_no_tags(o);
    answer_end(o, start, 0);
    if (acks == 0) {
        o->size = start;
    }
    return !in->bad;
}

/* Where in the file the batch that holds offset starts; the caller has checked the bounds. */
static int64_t partition_locate(const struct partition *p, int64_t offset)
{
    if (p->memo.offset == offset) {
        return p->memo.position;
    }
    if (offset == p->written_offset) {
        return p->written_position;
    }
    size_t low = 0;
    size_t high = p->index_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (p->index[middle].offset <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    int64_t position = p->index[low].position;
    for (;;) {
        uint8_t header[BATCH_HEADER_SIZE];
        if (pread(p->fd, header, sizeof(header), position) != (ssize_t)sizeof(header)) {
            return p->written_position;
        }
        if ((int64_t)be64_load(header) + (int64_t)be32_load(header + 23) >= offset) {
            return position;
        }
        position += (int64_t)be32_load(header + 8) + 12;
    }
}

/* The end of a range of whole batches from start of at most size_max bytes, but at least one. */
static struct index_entry partition_range_end(const struct partition *p, int64_t start,
                                              int64_t size_max)
{
    struct index_entry end = {p->written_offset, p->written_position};
    if (p->written_position - start <= size_max) {
        return end;
    }
    size_t low = 0; /* the first entry after start + size_max */
    size_t high = p->index_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->index[middle].position <= start + size_max) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low > 0 && p->index[low - 1].position > start) {
        return p->index[low - 1];
    }
    return low < p->index_count && p->index[low].position <= p->written_position ? p->index[low]
                                                                                 : end;
}

static void answer_range(struct answers *a, struct partition *p, int64_t position, size_t size)
{
    if (size < SENDFILE_SIZE_MIN || a->range_count == RANGES_MAX) {
        if (size > 0 && pread(p->fd, out_room(&a->bytes, size), size, position) != (ssize_t)size) {
            die("pread");
        }
        return;
    }
    a->ranges[a->range_count++] =
        (struct range){.after = a->bytes.size, .fd = p->fd, .position = position, .size = size};
}

/* One partition of a Fetch answer; returns its size. With a NULL only counts. */
static size_t fetch_partition(struct partition *p, int32_t index, int64_t offset, int64_t size_max,
                              struct answers *a, size_t *ret_file_bytes)
{
    int16_t error = p == NULL ? ERROR_UNKNOWN_TOPIC_OR_PARTITION : ERROR_NONE;
    if (p != NULL && (offset < 0 || offset > p->written_offset)) {
        error = ERROR_OFFSET_OUT_OF_RANGE;
    }
    int64_t start = error == ERROR_NONE ? partition_locate(p, offset) : 0;
    struct index_entry end = {offset, start};
    if (error == ERROR_NONE && size_max > 0) {
        end = partition_range_end(p, start, size_max);
    }
    size_t size = (size_t)(end.position - start);
    if (a == NULL) {
        return error == ERROR_NONE ? size : SIZE_MAX / 2; /* an error is answered at once */
    }
    struct out *o = &a->bytes;
    int64_t high_watermark = p == NULL ? -1 : p->written_offset;
    out_i32(o, index);
    out_i16(o, error);
    out_i64(o, high_watermark);
    out_i64(o, high_watermark); /* last stable offset */
    out_i64(o, 0);              /* log start offset */
    out_compact_null(o);        /* aborted transactions */
    out_i32(o, -1);             /* preferred read replica */
    out_compact_length(o, size);
    size_t before = o->size;
    if (error == ERROR_NONE) {
        answer_range(a, p, start, size);
        p->memo = end;
    }
    *ret_file_bytes += size - (o->size - before);
    out_no_tags(o);
    return size;
}

/* Walks the request's partitions; with a NULL only counts what could be sent. */
static size_t fetch_walk(struct server *s, struct in in, int32_t size_max, struct answers *a,
                         size_t *ret_file_bytes)
{
    size_t total = 0;
    uint32_t topics = in_compact_length(&in);
    if (a != NULL) {
        out_compact_length(&a->bytes, topics);
    }
    for (uint32_t t = 0; t < topics && !in.bad; t++) {
        uint32_t name_size;
        const uint8_t *name = in_compact_string(&in, &name_size);
        uint32_t partitions = in_compact_length(&in);
        if (name == NULL) {
            break;
        }
        if (a != NULL) {
            out_compact_string(&a->bytes, (const char *)name, name_size);
            out_compact_length(&a->bytes, partitions);
        }
        for (uint32_t i = 0; i < partitions && !in.bad; i++) {
            int32_t index = in_i32(&in);
            (void)in_i32(&in); /* current leader epoch */
            int64_t offset = in_i64(&in);
            (void)in_i32(&in); /* last fetched epoch */
            (void)in_i64(&in); /* log start offset */
            int64_t partition_max = in_i32(&in);
            in_skip_tags(&in);
            int64_t left = total >= (size_t)size_max ? 0 : size_max - (int64_t)total;
            total +=
                fetch_partition(partition_find(s, name, name_size, index), index, offset,
                                partition_max < left ? partition_max : left, a, ret_file_bytes);
        }
        in_skip_tags(&in);
        if (a != NULL) {
            out_no_tags(&a->bytes);
        }
    }
    return total;
}

/* False when the fetch has to wait for more bytes; then *ret_wait_ms is how long. */
static bool api_fetch(struct server *s, struct in in, struct answers *a, int32_t correlation_id,
                      bool may_wait, int32_t *ret_wait_ms)
{
    (void)in_i32(&in); /* replica id */
    int32_t wait_ms = in_i32(&in);
    int32_t size_min = in_i32(&in);
    int32_t size_max = in_i32(&in);
    (void)in_u8(&in);  /* isolation level */
    (void)in_i32(&in); /* session id */
    (void)in_i32(&in); /* session epoch */
    size_t file_bytes = 0;
    if (may_wait && wait_ms > 0 && size_min > 0 &&
        fetch_walk(s, in, size_max, NULL, NULL) < (size_t)size_min) {
        *ret_wait_ms = wait_ms;
        return false;
    }
    size_t start = answer_begin(&a->bytes, correlation_id, true);
    out_i32(&a->bytes, 0); /* throttle time */
    out_i16(&a->bytes, ERROR_NONE);
    out_i32(&a->bytes, 0); /* session id */
    (void)fetch_walk(s, in, size_max, a, &file_bytes);
    out_no_tags(&a->bytes);
    answer_end(&a->bytes, start, file_bytes);
    return true;
}

static void answer_metadata_topic(struct out *o, const struct topic *t)
{
    out_i16(o, ERROR_NONE);
    out_compact_string(o, t->name, t->name_size);
    out_u8(o, 0); /* is internal */
    out_compact_length(o, (size_t)t->partition_count);
    for (int32_t i = 0; i < t->partition_count; i++) {
        out_i16(o, ERROR_NONE);
        out_i32(o, i);
        out_i32(o, BROKER_ID);
        out_i32(o, LEADER_EPOCH);
        out_compact_length(o, 1);
        out_i32(o, BROKER_ID); /* replicas */
        out_compact_length(o, 1);
        out_i32(o, BROKER_ID);    /* in-sync replicas */
        out_compact_length(o, 0); /* offline replicas */
        out_no_tags(o);
    }
    out_i32(o, INT32_MIN); /* authorized operations */
    out_no_tags(o);
}

static void api_metadata(struct server *s, struct in *in, struct out *o, int32_t correlation_id)
{
    uint32_t raw = in_uvarint(in);
    size_t start = answer_begin(o, correlation_id, true);
    out_i32(o, 0); /* throttle time */
    out_compact_length(o, 1);
    out_i32(o, BROKER_ID);
    out_compact_string(o, "127.0.0.1", 9);
    out_i32(o, s->port);
    out_compact_null(o); /* rack */
    out_no_tags(o);
    out_compact_string(o, "floor", 5);
    out_i32(o, BROKER_ID);
    if (raw == 0) {
        out_compact_length(o, (size_t)s->topic_count);
        for (int i = 0; i < s->topic_count; i++) {
            answer_metadata_topic(o, s->topics[i]);
        }
    } else {
        out_compact_length(o, raw - 1);
    }
    for (uint32_t i = 1; i < raw && !in->bad; i++) {
        uint32_t size;
        const uint8_t *name = in_compact_string(in, &size);
        in_skip_tags(in);
        if (name == NULL) {
            break;
        }
        struct topic *t = topic_find(s, name, size);
        if (t != NULL) {
            answer_metadata_topic(o, t);
            continue;
        }
        out_i16(o, ERROR_UNKNOWN_TOPIC_OR_PARTITION);
        out_compact_string(o, (const char *)name, size);
        out_u8(o, 0);
        out_compact_length(o, 0);
        out_i32(o, INT32_MIN);
        out_no_tags(o);
    }
    out_i32(o, INT32_MIN);
    out_no_tags(o);
    answer_end(o, start, 0);
}

static void api_create_topics(struct server *s, struct in *in, struct out *o,
                              int32_t correlation_id)
{
    size_t start = answer_begin(o, correlation_id, true);
    out_i32(o, 0); /* throttle time */
    uint32_t topics = in_compact_length(in);
    out_compact_length(o, topics);
    for (uint32_t t = 0; t < topics && !in->bad; t++) {
        uint32_t size;
        const uint8_t *name = in_compact_string(in, &size);
        int32_t partitions = in_i32(in);
        (void)in_i16(in); /* replication factor */
        if (in_compact_length(in) != 0 || name == NULL) {
            in->bad = true; /* manual assignments: the load generator sends none */
            break;
        }
        for (uint32_t configs = in_compact_length(in); configs > 0 && !in->bad; configs--) {
            in_skip_compact_string(in);
            in_skip_compact_string(in);
            in_skip_tags(in);
        }
        in_skip_tags(in);
        out_compact_string(o, (const char *)name, size);
        out_i16(o, topic_create(s, name, size, partitions));
        out_compact_null(o); /* error message */
        out_i32(o, partitions);
        out_i16(o, 1);
        out_compact_length(o, 0); /* configs */
        out_no_tags(o);
    }
    out_no_tags(o);
    answer_end(o, start, 0);
}

static int16_t topic_delete(struct server *s, const uint8_t *name, uint32_t size)
{
    struct topic *t = topic_find(s, name, size);
    if (t == NULL) {
        return ERROR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    write_dirty(s);
    for (int32_t i = 0; i < t->partition_count; i++) {
        char file[300];
        snprintf(file, sizeof(file), "%s-%d.log", t->name, i);
        unlinkat(s->dir_fd, file, 0);
        close(t->partitions[i].fd);
        free(t->partitions[i].iov);
        free(t->partitions[i].index);
    }
    for (int i = 0; i < s->topic_count; i++) {
        if (s->topics[i] == t) {
            s->topics[i] = s->topics[--s->topic_count];
        }
    }
    s->last_topic = NULL;
    free(t->partitions);
    free(t);
    return ERROR_NONE;
}

static void api_delete_topics(struct server *s, struct in *in, struct out *o,
                              int32_t correlation_id)
{
    size_t start = answer_begin(o, correlation_id, true);
    out_i32(o, 0); /* throttle time */
    uint32_t topics = in_compact_length(in);
    out_compact_length(o, topics);
    for (uint32_t t = 0; t < topics && !in->bad; t++) {
        uint32_t size;
        const uint8_t *name = in_compact_string(in, &size);
        if (name == NULL) {
            break;
        }
        out_compact_string(o, (const char *)name, size);
        out_i16(o, topic_delete(s, name, size));
        out_no_tags(o);
    }
    out_no_tags(o);
    answer_end(o, start, 0);
}

static void api_versions(struct out *o, int32_t correlation_id)
{
    static const int16_t served[][2] = {{API_PRODUCE, PRODUCE_VERSION},
                                        {API_FETCH, FETCH_VERSION},
                                        {API_METADATA, METADATA_VERSION},
                                        {API_VERSIONS, API_VERSIONS_VERSION},
                                        {API_CREATE_TOPICS, CREATE_TOPICS_VERSION},
                                        {API_DELETE_TOPICS, DELETE_TOPICS_VERSION}};
    size_t start = answer_begin(o, correlation_id, false);
    out_i16(o, ERROR_NONE);
    out_i32(o, (int32_t)(sizeof(served) / sizeof(served[0])));
    for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++) {
        out_i16(o, served[i][0]);
        out_i16(o, served[i][1]);
        out_i16(o, served[i][1]);
    }
    answer_end(o, start, 0);
}

/* ---- one turn ---- */

/* One request without its size field. False: not for us, close the connection. */
static bool conn_request(struct server *s, struct conn *c, const uint8_t *data, size_t size,
                         bool may_park)
{
    struct in in = {.p = data, .end = data + size};
    int16_t api = in_i16(&in);
    int16_t version = in_i16(&in);
    int32_t correlation_id = in_i32(&in);
    int16_t client_id_size = in_i16(&in);
    (void)in_take(&in, client_id_size > 0 ? (size_t)client_id_size : 0);
    if (in.bad) {
        return false;
    }
    struct out *o = &c->out->bytes;
    if (api == API_VERSIONS && version == API_VERSIONS_VERSION) {
        api_versions(o, correlation_id);
        return true;
    }
    in_skip_tags(&in);
    if (api == API_PRODUCE && version == PRODUCE_VERSION) {
        return api_produce(s, &in, o, correlation_id);
    }
    if (api == API_FETCH && version == FETCH_VERSION) {
        int32_t wait_ms = 0;
        if (!api_fetch(s, in, c->out, correlation_id, may_park, &wait_ms)) {
            conn_park(s, c, data, size, wait_ms);
        }
        return true;
    }
    if (api == API_METADATA && version == METADATA_VERSION) {
        api_metadata(s, &in, o, correlation_id);
    } else if (api == API_CREATE_TOPICS && version == CREATE_TOPICS_VERSION) {
        api_create_topics(s, &in, o, correlation_id);
    } else if (api == API_DELETE_TOPICS && version == DELETE_TOPICS_VERSION) {
        api_delete_topics(s, &in, o, correlation_id);
    } else {
        return false;
    }
    return !in.bad;
}

/* When much of a request is still missing, sleep until it has come instead of once a segment. */
static void conn_set_low_water(struct conn *c, size_t missing)
{
    int wanted = missing < 64 * 1024 ? 1 : (int)(missing < 512 * 1024 ? missing : 512 * 1024);
    if (wanted != c->low_water) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof(wanted));
        c->low_water = wanted;
    }
}

static bool conn_process(struct server *s, struct conn *c)
{
    if (c->out == NULL) {
        out_borrow(s, c);
    }
    size_t missing = 0;
    while (c->parked == NULL && missing == 0) {
        const uint8_t *p = c->in->data + c->in_taken;
        size_t left = c->in_used - c->in_taken;
        size_t size = left < 4 ? 0 : be32_load(p);
        if (size > IN_SIZE - 4) {
            return false;
        }
        if (left < 4 || left < size + 4) {
            missing = size + 4 - left;
        } else if (c->out->bytes.capacity - c->out->bytes.size < ANSWER_SIZE_MAX) {
            c->more = true; /* send first, go on in the next turn */
            break;
        } else if (!conn_request(s, c, p + 4, size, true)) {
            return false;
        } else {
            c->in_taken += size + 4;
        }
    }
    if (missing > 0) {
        conn_set_low_water(c, missing);
    }
    c->more |= c->parked != NULL && c->in_used > c->in_taken;
    return true;
}

/* False: the peer is gone or talks nonsense. */
static bool conn_turn(struct server *s, struct conn *c)
{
    if (c->parked != NULL || c->blocked) {
        c->more = true;
        return true;
    }
    if (c->in == NULL) {
        in_borrow(s, c);
    }
    c->more = false;
    size_t room = IN_SIZE - c->in_used;
    size_t wanted = room < RECV_SIZE_MAX ? room : RECV_SIZE_MAX;
    if (wanted > 0) {
        ssize_t n = recv(c->fd, c->in->data + c->in_used, wanted, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        c->in_used += n > 0 ? (size_t)n : 0;
        c->more = n == (ssize_t)wanted;
    }
    return conn_process(s, c);
}

/* After the write: what is processed makes room, and an empty buffer goes back (F1, F4). */
static void conn_compact(struct server *s, struct conn *c)
{
    if (c->in == NULL) {
        return;
    }
    size_t left = c->in_used - c->in_taken;
    if (left == 0) {
        in_return(s, c);
        return;
    }
    if (c->in_taken > 0) {
        memmove(c->in->data, c->in->data + c->in_taken, left);
        c->in_used = left;
        c->in_taken = 0;
    }
}

/* Sends until all is gone or the socket is full. False: the peer is gone. */
static bool conn_send(struct server *s, struct conn *c)
{
    struct answers *a = c->out;
    c->blocked = false;
    while (a != NULL && !c->blocked) {
        struct range *r = a->range_next < a->range_count ? &a->ranges[a->range_next] : NULL;
        size_t end = r == NULL ? a->bytes.size : r->after;
        ssize_t n;
        if (a->sent < end) {
            n = send(c->fd, a->bytes.data + a->sent, end - a->sent,
                     MSG_NOSIGNAL | (r == NULL ? 0 : MSG_MORE));
            a->sent += n > 0 ? (size_t)n : 0;
        } else if (r != NULL) {
            n = sendfile(c->fd, r->fd, &r->position, r->size);
            r->size -= n > 0 ? (size_t)n : 0;
            a->range_next += r->size == 0;
        } else {
            out_return(s, c);
            return true;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        c->blocked = n < 0 && errno == EAGAIN;
    }
    return true;
}

/* Answers the parked fetches that have enough now, or have waited long enough. */
static void retry_parked(struct server *s)
{
    struct conn *next;
    for (struct conn *c = s->parked; c != NULL; c = next) {
        next = c->parked_next;
        bool expired = c->parked_until_ms <= s->now_ms;
        if (!s->appended && !expired) {
            continue;
        }
        struct in in = {.p = c->parked, .end = c->parked + c->parked_size};
        (void)in_i32(&in); /* key and version */
        int32_t correlation_id = in_i32(&in);
        int16_t client_id_size = in_i16(&in);
        (void)in_take(&in, client_id_size > 0 ? (size_t)client_id_size : 0);
        in_skip_tags(&in);
        if (c->out == NULL) {
            out_borrow(s, c);
        }
        int32_t wait_ms;
        if (!api_fetch(s, in, c->out, correlation_id, !expired, &wait_ms)) {
            continue;
        }
        conn_unpark(s, c);
        conn_make_ready(s, c);
    }
}

static int turn_timeout_ms(const struct server *s)
{
    if (s->ready_count > 0) {
        return 0;
    }
    int64_t first = INT64_MAX;
    for (const struct conn *c = s->parked; c != NULL; c = c->parked_next) {
        first = c->parked_until_ms < first ? c->parked_until_ms : first;
    }
    if (first == INT64_MAX) {
        return -1;
    }
    return first <= s->now_ms ? 0 : (int)(first - s->now_ms);
}

static void turn_collect(struct server *s, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        struct conn *c = events[i].data.ptr;
        if (c == NULL) {
            accept_all(s);
            continue;
        }
        if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) && c->parked != NULL) {
            conn_unpark(s, c); /* its recv will find the end */
        }
        c->more |= (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0;
        if (c->more || c->blocked) {
            conn_make_ready(s, c);
        }
    }
}

static void turn(struct server *s)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(s->epoll_fd, events, EVENTS_MAX, turn_timeout_ms(s));
    s->now_ms = clock_ms();
    s->appended = false;
    turn_collect(s, events, count);
    size_t received = s->ready_count;
    for (size_t i = 0; i < received; i++) {
        struct conn *c = s->ready[i];
        if (c->more && !conn_turn(s, c)) {
            c->gone = true;
        }
    }
    write_dirty(s);
    retry_parked(s); /* may add to the ready list */
    size_t all = s->ready_count;
    s->ready_count = 0;
    for (size_t i = 0; i < all; i++) {
        struct conn *c = s->ready[i];
        conn_compact(s, c);
        c->ready = false;
        if (c->gone || !conn_send(s, c)) {
            conn_free(s, c);
        } else if (c->more && !c->blocked && c->parked == NULL) {
            conn_make_ready(s, c); /* into a slot already passed: at most i + 1 are taken */
        }
    }
}

static void listen_on(struct server *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    int on = 1;
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(s->listen_fd, (struct sockaddr *)&address, size) != 0 ||
        listen(s->listen_fd, 4096) != 0 ||
        getsockname(s->listen_fd, (struct sockaddr *)&address, &size) != 0) {
        die("listen");
    }
    s->port = ntohs(address.sin_port);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &ev);
}

static volatile sig_atomic_t stop_asked;

static void on_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

int main(int argc, char **argv)
{
    static struct server server;
    struct server *s = &server;
    int option;
    const char *dir = NULL;
    s->send_buffer = SEND_BUFFER_SIZE;
    while ((option = getopt(argc, argv, "p:d:s:")) != -1) {
        if (option == 'p') {
            s->port = (int)strtol(optarg, NULL, 10);
        } else if (option == 'd') {
            dir = optarg;
        } else if (option == 's') {
            s->send_buffer = (int)strtol(optarg, NULL, 10);
        }
    }
    if (dir == NULL) {
        fprintf(stderr, "usage: floor -d DIRECTORY [-p PORT] [-s SEND_BUFFER_BYTES]\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sigaction action = {.sa_handler = on_stop}; /* no SA_RESTART: wakes epoll_wait */
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    sigaction(SIGINT, &action, NULL);
    s->dir_fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (s->dir_fd < 0) {
        die(dir);
    }
    listen_on(s);
    printf("floor serves 127.0.0.1:%d\n", s->port);
    fflush(stdout);
    while (!stop_asked) {
        turn(s);
    }
    return 0;
}
