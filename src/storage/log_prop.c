/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log does what a list of batches does, under random appends, retries, transactions, truncations,
 * rolls, retention, DeleteRecords, flushes, clean and unclean stops with torn tails. Prints its
 * seed; `log_prop SEED` runs that one again.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "record/control.h"
#include "storage/log_fixture.h"

#include <cmocka.h>

enum {
    BATCH_COUNT_MAX = 4000,
    PRODUCER_COUNT = 4,
    STEP_COUNT = 400,
    RUN_COUNT = 8,
};

/* --- the model: every batch that was ever kept, also below the log start --- */

struct model_batch {
    int64_t base_offset;
    int64_t last_offset;
    int64_t timestamp; /* of the first record; each further one 1 ms later */
    size_t size;
    uint32_t crc;
    int64_t producer_id; /* -1: none */
    int32_t base_sequence;
    int16_t producer_epoch;
    bool is_transactional;
    bool is_marker;
    bool is_commit;
};

struct model {
    struct model_batch batches[BATCH_COUNT_MAX];
    int count;
    int64_t log_start;
    int64_t high_watermark;
    int64_t flushed;
    struct rng rng;
    struct log_fixture fixture;
};

static int64_t model_end(const struct model *model)
{
    return model->count == 0 ? 0 : model->batches[model->count - 1].last_offset + 1;
}

/* The last data batch of a producer in its present epoch; NULL: none. */
static const struct model_batch *model_last(const struct model *model, int64_t producer_id)
{
    for (int i = model->count - 1; i >= 0; i--) {
        const struct model_batch *batch = &model->batches[i];
        if (batch->producer_id == producer_id && !batch->is_marker) {
            return batch;
        }
    }
    return NULL;
}

/* First offset of the producer's open transaction at batch index end; -1: none. */
static int64_t model_open_at(const struct model *model, int64_t producer_id, int end)
{
    int64_t first = -1;
    for (int i = 0; i < end; i++) {
        const struct model_batch *batch = &model->batches[i];
        if (batch->producer_id == producer_id && batch->is_marker) {
            first = -1;
        } else if (batch->producer_id == producer_id && batch->is_transactional && first < 0) {
            first = batch->base_offset;
        }
    }
    return first;
}

static int64_t min_offset(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t model_last_stable(const struct model *model)
{
    int64_t stable = model->high_watermark;
    for (int64_t id = 0; id < PRODUCER_COUNT; id++) {
        const int64_t open = model_open_at(model, id, model->count);
        stable = open >= 0 ? min_offset(stable, open) : stable;
    }
    for (int i = 0; i < model->count; i++) {
        const struct model_batch *batch = &model->batches[i];
        if (batch->is_marker && batch->base_offset >= model->high_watermark) {
            const int64_t open = model_open_at(model, batch->producer_id, i);
            stable = open >= 0 ? min_offset(stable, open) : stable;
        }
    }
    return stable < model->log_start ? model->log_start : stable;
}

static const struct model_batch *model_find(const struct model *model, int64_t offset)
{
    for (int i = 0; i < model->count; i++) {
        if (model->batches[i].last_offset >= offset) {
            return &model->batches[i];
        }
    }
    return NULL;
}

/* The batch that holds an offset below the end. */
static const struct model_batch *model_at(const struct model *model, int64_t offset)
{
    const struct model_batch *batch = model_find(model, offset);
    check(batch != NULL);
    return batch;
}

static void model_truncate(struct model *model, int64_t offset)
{
    while (model->count > 0 && model->batches[model->count - 1].last_offset >= offset) {
        model->count--;
    }
    model->high_watermark = min_offset(model->high_watermark, model_end(model));
    model->flushed = min_offset(model->flushed, model_end(model));
    model->log_start = min_offset(model->log_start, model_end(model));
}

/* --- what must hold after each step --- */

static int64_t draw(struct model *model, int64_t bound)
{
    return (int64_t)rng_below(&model->rng, (uint64_t)bound);
}

static void check_read(struct model *model, int64_t offset, enum read_limit limit)
{
    const struct log_offsets offsets = fixture_offsets(&model->fixture);
    const int64_t end = limit == READ_TO_END              ? offsets.end
                        : limit == READ_TO_HIGH_WATERMARK ? offsets.high_watermark
                                                          : offsets.last_stable;
    const int64_t base = fixture_first_base(&model->fixture, offset, limit);
    if (offset < model->log_start) {
        assert_int_equal(base, -1000 - E_OFFSET_OUT_OF_RANGE);
    } else if (offset >= end) {
        assert_int_equal(base, -1);
    } else {
        assert_int_equal(base, model_at(model, offset)->base_offset);
    }
}

/* All bytes from an offset to the end, against sizes and checksums. */
static void check_range(struct model *model, int64_t offset)
{
    while (offset < model_end(model)) {
        struct log_read read = {.offset = offset, .size_max = 700, .at_least_one_batch = true};
        assert_int_equal(log_read(model->fixture.log, &read), E_OK);
        assert_true(read.size > 0);
        uint8_t *bytes = fixture_read_bytes(&read);
        size_t at = 0;
        while (read.size - at >= RECORD_BATCH_HEADER_SIZE) {
            const struct model_batch *expected = model_at(model, offset);
            if (expected->size > read.size - at) {
                break;
            }
            assert_int_equal(batch_base_offset(bytes + at), expected->base_offset);
            assert_int_equal(batch_crc(bytes + at), expected->crc);
            assert_true(batch_crc_matches(bytes + at));
            offset = expected->last_offset + 1;
            at += expected->size;
        }
        assert_true(at > 0);
        free(bytes);
        file_unref(read.file);
    }
}

static void check_aborted(struct model *model, int64_t from, int64_t to)
{
    struct arena arena;
    struct aborted_transaction *items = NULL;
    size_t count = 0;
    size_t found = 0;
    arena_init(&arena, 1 << 20);
    assert_int_equal(log_aborted_transactions(model->fixture.log, from, to, &arena, &items, &count),
                     E_OK);
    for (int i = 0; i < model->count; i++) {
        const struct model_batch *batch = &model->batches[i];
        if (!batch->is_marker || batch->is_commit || batch->base_offset < from) {
            continue;
        }
        const int64_t first = model_open_at(model, batch->producer_id, i);
        if (first >= 0 && first < to) {
            assert_true(found < count);
            assert_int_equal(items[found].producer_id, batch->producer_id);
            assert_int_equal(items[found].first_offset, first);
            found++;
        }
    }
    assert_int_equal(found, count);
    arena_done(&arena);
}

static void check_time(struct model *model, int64_t at)
{
    int64_t expected = -1;
    for (int i = 0; i < model->count && expected < 0; i++) {
        const struct model_batch *batch = &model->batches[i];
        for (int64_t offset = batch->base_offset; offset <= batch->last_offset; offset++) {
            const int64_t timestamp = batch->timestamp + offset - batch->base_offset;
            if (expected < 0 && offset >= model->log_start && timestamp >= at) {
                expected = offset;
            }
        }
    }
    struct timestamp_offset found;
    assert_int_equal(log_find_timestamp(model->fixture.log, at, READ_TO_END, &found), E_OK);
    assert_int_equal(found.offset, expected);
}

static void check_producers(struct model *model)
{
    struct arena arena;
    struct producer_info *items;
    size_t count;
    arena_init(&arena, 1 << 16);
    assert_int_equal(log_producers(model->fixture.log, &arena, &items, &count), E_OK);
    for (size_t i = 0; i < count; i++) {
        const struct model_batch *last = model_last(model, items[i].producer_id);
        check(last != NULL);
        assert_int_equal(items[i].producer_epoch, last->producer_epoch);
        assert_int_equal(
            items[i].last_sequence,
            sequence_add(last->base_sequence, (int32_t)(last->last_offset - last->base_offset)));
        assert_int_equal(items[i].current_txn_start_offset,
                         model_open_at(model, items[i].producer_id, model->count));
    }
    size_t expected = 0;
    for (int64_t id = 0; id < PRODUCER_COUNT; id++) {
        expected += model_last(model, id) != NULL ? 1 : 0;
    }
    assert_int_equal(count, expected);
    arena_done(&arena);
}

static void check_all(struct model *model)
{
    const struct log_offsets offsets = fixture_offsets(&model->fixture);
    const int64_t end = model_end(model);
    assert_int_equal(offsets.end, end);
    assert_int_equal(offsets.log_start, model->log_start);
    assert_int_equal(offsets.high_watermark, model->high_watermark);
    assert_int_equal(offsets.last_stable, model_last_stable(model));
    assert_int_equal(offsets.flushed, model->flushed);
    for (int i = 0; i < 3; i++) {
        check_read(model, draw(model, end + 1), (enum read_limit)i);
    }
    const int64_t from = model->log_start + draw(model, end - model->log_start + 1);
    check_aborted(model, from, from + draw(model, end - from + 1));
    check_time(model, 1000 + draw(model, 2000));
    check_producers(model);
}

/* --- steps --- */

static void remember(struct model *model, const struct append *append, const uint8_t *data,
                     size_t size, const struct batch_spec *spec)
{
    assert_int_equal(append->base_offset, model_end(model));
    model->batches[model->count++] = (struct model_batch){
        .base_offset = append->base_offset,
        .last_offset = append->last_offset,
        .timestamp = spec->timestamp,
        .size = size,
        .crc = batch_crc(data),
        .producer_id = spec->is_idempotent ? spec->producer_id : -1,
        .base_sequence = spec->base_sequence,
        .producer_epoch = spec->producer_epoch,
        .is_transactional = spec->is_transactional,
    };
}

/* A few plain batches in one turn. */
static void step_append(struct model *model)
{
    struct fixture_append items[4];
    struct batch_spec specs[4];
    uint8_t *data[4];
    size_t sizes[4];
    const int count = 1 + (int)draw(model, 4);
    for (int i = 0; i < count; i++) {
        specs[i] = (struct batch_spec){.count = 1 + (int32_t)draw(model, 4),
                                       .value_size = (int32_t)draw(model, 120),
                                       .timestamp = 1000 + draw(model, 2000)};
        data[i] = fixture_batch(&model->fixture, &specs[i], &sizes[i]);
        fixture_queue(&model->fixture, &items[i], data[i], sizes[i], APPEND_FROM_CLIENT, 0);
    }
    log_writer_flush(model->fixture.env.writer);
    for (int i = 0; i < count; i++) {
        assert_int_equal(items[i].append.error, E_OK);
        remember(model, &items[i].append, data[i], sizes[i], &specs[i]);
        free(data[i]);
    }
}

static struct append send(struct model *model, const struct batch_spec *spec, bool expect_new)
{
    size_t size;
    struct fixture_append item;
    uint8_t *data = fixture_batch(&model->fixture, spec, &size);
    fixture_queue(&model->fixture, &item, data, size, APPEND_FROM_CLIENT, 0);
    log_writer_flush(model->fixture.env.writer);
    if (expect_new) {
        assert_int_equal(item.append.error, E_OK);
        assert_false(item.append.is_duplicate);
        remember(model, &item.append, data, size, spec);
    }
    free(data);
    return item.append;
}

static void step_idempotent(struct model *model)
{
    const int64_t id = draw(model, PRODUCER_COUNT);
    const struct model_batch *last = model_last(model, id);
    const bool is_open = model_open_at(model, id, model->count) >= 0;
    struct batch_spec spec = {.count = 1 + (int32_t)draw(model, 3),
                              .timestamp = 1000 + draw(model, 2000),
                              .producer_id = id,
                              .is_idempotent = true,
                              .is_transactional = is_open || draw(model, 2) == 0};
    if (last != NULL) {
        spec.producer_epoch = last->producer_epoch;
        spec.base_sequence =
            sequence_add(last->base_sequence, (int32_t)(last->last_offset - last->base_offset) + 1);
        if (!is_open && draw(model, 10) == 0) {
            spec.producer_epoch++;
            spec.base_sequence = 0;
        }
    } else {
        spec.base_sequence = INT32_MAX - 3; /* wraps soon */
    }
    (void)send(model, &spec, true);
}

/* The last batch again is always known; others may be forgotten, but never appended. */
static void step_retry(struct model *model)
{
    const int64_t id = draw(model, PRODUCER_COUNT);
    const struct model_batch *last = model_last(model, id);
    if (last == NULL) {
        return;
    }
    struct batch_spec spec = {.count = (int32_t)(last->last_offset - last->base_offset) + 1,
                              .timestamp = 1,
                              .producer_id = id,
                              .producer_epoch = last->producer_epoch,
                              .base_sequence = last->base_sequence,
                              .is_idempotent = true,
                              .is_transactional = last->is_transactional};
    const struct append retry = send(model, &spec, false);
    assert_int_equal(retry.error, E_OK);
    assert_true(retry.is_duplicate);
    assert_int_equal(retry.base_offset, last->base_offset);
    spec.base_sequence = sequence_add(last->base_sequence, spec.count + 1);
    assert_int_equal(send(model, &spec, false).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER);
}

static void step_marker(struct model *model)
{
    const int64_t id = draw(model, PRODUCER_COUNT);
    const struct model_batch *last = model_last(model, id);
    if (last == NULL) {
        return;
    }
    const bool is_commit = draw(model, 2) == 0;
    const int64_t timestamp = 1000 + draw(model, 2000);
    size_t size;
    uint8_t *data = fixture_marker(id, last->producer_epoch, is_commit, 0, timestamp, &size);
    struct fixture_append item;
    fixture_queue(&model->fixture, &item, data, size, APPEND_FROM_COORDINATOR, 0);
    log_writer_flush(model->fixture.env.writer);
    assert_int_equal(item.append.error, E_OK);
    const struct batch_spec spec = {.timestamp = timestamp,
                                    .producer_id = id,
                                    .producer_epoch = last->producer_epoch,
                                    .is_idempotent = true};
    remember(model, &item.append, data, size, &spec);
    model->batches[model->count - 1].is_marker = true;
    model->batches[model->count - 1].is_commit = is_commit;
    free(data);
}

static void step_high_watermark(struct model *model)
{
    int64_t offset =
        model->high_watermark + draw(model, model_end(model) - model->high_watermark + 1);
    const struct model_batch *batch = model_find(model, offset);
    offset = batch == NULL ? model_end(model) : batch->base_offset;
    log_set_high_watermark(model->fixture.log, offset);
    if (offset > model->high_watermark) {
        model->high_watermark = offset;
    }
}

static void step_truncate(struct model *model)
{
    const int64_t from = model->log_start;
    const int64_t offset = model_end(model) - draw(model, (model_end(model) - from) / 4 + 2);
    if (offset < from) {
        return;
    }
    assert_int_equal(log_truncate(model->fixture.log, offset), E_OK);
    model_truncate(model, offset);
}

static void step_start(struct model *model)
{
    uint32_t count;
    const int64_t offset =
        model->log_start + draw(model, model->high_watermark - model->log_start + 1);
    assert_int_equal(log_raise_start(model->fixture.log, offset), E_OK);
    assert_int_equal(log_retain(model->fixture.log, model->fixture.clock.now_ms, &count), E_OK);
    model->log_start = offset;
}

static void step_flush(struct model *model)
{
    log_flush(model->fixture.log);
    model->flushed = model_end(model);
}

static void step_roll(struct model *model)
{
    assert_int_equal(log_roll(model->fixture.log), E_OK);
}

static void step_close(struct model *model)
{
    fixture_close(&model->fixture);
    model->flushed = model_end(model);
    assert_int_equal(fixture_open(&model->fixture), E_OK);
    check_range(model, model->log_start);
}

/* The end of the file is lost, down to what was flushed or promised at most. */
static void tear(struct model *model)
{
    char path[512];
    struct stat status;
    int64_t base = model_end(model);
    const int64_t kept =
        model->flushed > model->high_watermark ? model->flushed : model->high_watermark;
    for (; base >= 0; base--) {
        (void)snprintf(path, sizeof(path), "%s/%020" PRId64 ".log", model->fixture.path, base);
        if (stat(path, &status) == 0) {
            break;
        }
    }
    if (base < 0 || status.st_size == 0) {
        return;
    }
    int64_t loss = draw(model, status.st_size + 1);
    while (model->count > 0 && loss > 0) {
        const struct model_batch *last = &model->batches[model->count - 1];
        if (last->base_offset < base || last->base_offset < kept) {
            break;
        }
        const int64_t part = min_offset(loss, (int64_t)last->size);
        status.st_size -= part;
        loss -= part;
        model_truncate(model, last->base_offset);
    }
    assert_int_equal(truncate(path, status.st_size), 0);
}

static void step_crash(struct model *model)
{
    fixture_crash(&model->fixture);
    if (draw(model, 2) == 0) {
        tear(model);
    }
    model->fixture.hints.machine_restarted = draw(model, 2) == 0;
    assert_int_equal(fixture_open(&model->fixture), E_OK);
    check_range(model, model->log_start);
}

typedef void (*step_fn)(struct model *model);

static const step_fn steps[] = {
    step_append,         step_append,         step_append,   step_idempotent, step_idempotent,
    step_idempotent,     step_idempotent,     step_retry,    step_marker,     step_marker,
    step_high_watermark, step_high_watermark, step_truncate, step_start,      step_flush,
    step_roll,           step_close,          step_crash,
};

/* The system's files without waiting for the disk, which loses nothing here. */
static enum error no_sync(struct file *file)
{
    (void)file;
    return E_OK;
}

static enum error no_sync_directory(struct vfs *vfs, const char *path)
{
    (void)vfs;
    (void)path;
    return E_OK;
}

static void run(uint64_t seed)
{
    struct vfs vfs = *vfs_system();
    vfs.sync = no_sync;
    vfs.sync_directory = no_sync_directory;
    struct model *model = calloc(1, sizeof(*model));
    rng_init(&model->rng, seed);
    fixture_init(&model->fixture, &vfs);
    model->fixture.config.segment_size_bytes_max = 800 + draw(model, 3000);
    model->fixture.config.index_interval_bytes = 100 + draw(model, 600);
    model->fixture.config.segment_age_ms_max = draw(model, 2) == 0 ? 1500 : INT64_C(1) << 40;
    model->fixture.config.retention_ms = -1; /* the model does not know of time */
    assert_int_equal(fixture_open(&model->fixture), E_OK);
    for (int i = 0; i < STEP_COUNT && model->count < BATCH_COUNT_MAX - 4; i++) {
        steps[draw(model, sizeof(steps) / sizeof(steps[0]))](model);
        check_all(model);
    }
    check_range(model, model->log_start);
    fixture_done(&model->fixture);
    free(model);
}

static uint64_t first_seed;
static int run_count = RUN_COUNT;

static void test_log_equals_model(void **state)
{
    (void)state;
    for (int i = 0; i < run_count; i++) {
        const uint64_t seed = first_seed + (uint64_t)i;
        print_message("seed %" PRIu64 "\n", seed);
        run(seed);
    }
}

int main(int argc, char **argv)
{
    first_seed = (uint64_t)time(NULL) * 1000;
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        run_count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_equals_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
