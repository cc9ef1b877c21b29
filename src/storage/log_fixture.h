/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests: one log in a temporary directory, appended to by hand. Not part of the product. */

#include "io/clock.h"
#include "record/build.h"
#include "record/inflate.h"
#include "storage/file_cache.h"
#include "storage/log.h"

enum { FIXTURE_BATCH_SIZE_MAX = 64 * 1024 };

struct log_fixture {
    char directory[64]; /* a log directory */
    char path[128];     /* of the partition */
    struct manual_clock clock;
    struct log_env env;
    struct log_config config;
    struct log_hints hints;
    struct log_events events;
    struct log *log; /* NULL: closed */
    struct batch_builder builder;
    struct inflate_scratch *scratch;
};

/* Kafka's defaults. */
struct log_config fixture_config(void);
/* On vfs (the system's when NULL), in a new temporary directory; the log is not open yet. */
void fixture_init(struct log_fixture *fixture, struct vfs *vfs);
/* Frees all and removes the directory. */
void fixture_done(struct log_fixture *fixture);

enum error fixture_open(struct log_fixture *fixture);
/* Clean: the hints say so afterwards. */
void fixture_close(struct log_fixture *fixture);
/* As kill -9: the hints ask for recovery from what was flushed. */
void fixture_crash(struct log_fixture *fixture);

struct batch_spec {
    int32_t count;       /* records; 0: 1 */
    int32_t value_size;  /* bytes of each value */
    int64_t timestamp;   /* of the first record; each further one 1 ms later. 0: the clock's */
    int64_t producer_id; /* with producer_epoch and base_sequence, when is_idempotent */
    int32_t base_sequence;
    int16_t producer_epoch;
    bool is_idempotent;
    bool is_transactional;
    enum codec codec;
    uint8_t fill; /* of the values */
};

/* The bytes of a batch from a producer, malloc'ed. */
uint8_t *fixture_batch(struct log_fixture *fixture, const struct batch_spec *spec,
                       size_t *ret_size);
/* A control batch that ends a transaction, malloc'ed. */
uint8_t *fixture_marker(int64_t producer_id, int16_t producer_epoch, bool is_commit,
                        int32_t coordinator_epoch, int64_t timestamp, size_t *ret_size);

/* Queues; data is freed by fixture_flush or by fixture_append_now. on_done only counts. */
struct fixture_append {
    struct append append;
    bool is_done;
    uint32_t done_order;
};
void fixture_queue(struct log_fixture *fixture, struct fixture_append *item, uint8_t *data,
                   size_t size, enum append_origin origin, int32_t leader_epoch);
/* Builds, queues, flushes; the result is in the returned append (data is gone). */
struct append fixture_append(struct log_fixture *fixture, const struct batch_spec *spec);
struct append fixture_append_marker(struct log_fixture *fixture, int64_t producer_id,
                                    int16_t producer_epoch, bool is_commit);
/* Appends plain batches of count records with values of value_size. */
void fixture_fill(struct log_fixture *fixture, int32_t batch_count, int32_t count,
                  int32_t value_size);

/* Reads the whole range of a log_read into malloc'ed memory. */
uint8_t *fixture_read_bytes(const struct log_read *read);
/* First batch's base offset at offset; -1: nothing there; < -1: -1000 - error. */
int64_t fixture_first_base(struct log_fixture *fixture, int64_t offset, enum read_limit limit);
/* The bytes of a file of the partition, malloc'ed; NULL: absent. */
uint8_t *fixture_file(struct log_fixture *fixture, const char *name, size_t *ret_size);
bool fixture_has_file(struct log_fixture *fixture, const char *name);
/* Copies a directory tree of flat files (one partition) into the fixture's partition. */
void fixture_copy_from(struct log_fixture *fixture, const char *directory);
struct log_offsets fixture_offsets(const struct log_fixture *fixture);
