/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "storage/log_writer.h"

#include <cmocka.h>

enum {
    SEGMENT_BYTES = 1024,
    RETENTION_BYTES = 4096,
    RECORDS_MAX = 4,
    VALUE_SIZE_MAX = 300,
    BATCH_HEAD_SIZE = 12, /* base offset and length */
    READ_SIZE_MAX = 1 << 20,
    STEP_KINDS = 100,
};

static const char *const directories[] = {"/data"};

void world_init(struct world *world, struct vfs *vfs, struct rng *rng, struct log_fixture *fixture)
{
    *world = (struct world){.vfs = vfs, .rng = rng, .fixture = fixture};
    manual_clock_init(&world->clock, 1700000000000);
}

static void batch_free(struct model_batch *batch)
{
    free(batch->data);
    *batch = (struct model_batch){0};
}

static void model_clear(struct model *model)
{
    struct log_entry *entry = model->entry;
    for (int i = 0; i < model->count; i++) {
        batch_free(&model->batches[i]);
    }
    batch_free(&model->maybe);
    *model = (struct model){.entry = entry};
}

void world_done(struct world *world)
{
    assert_null(world->manager);
    for (int i = 0; i < PARTITION_COUNT; i++) {
        model_clear(&world->models[i]);
    }
}

static struct topic_partition name_of(int index)
{
    return (struct topic_partition){.topic = SLICE("orders"), .partition = index};
}

static struct log_config config(void)
{
    struct log_config values = fixture_config();
    values.segment_size_bytes_max = SEGMENT_BYTES;
    values.index_interval_bytes = 256;
    values.retention_bytes = RETENTION_BYTES;
    values.retention_ms = -1;
    values.file_delete_delay_ms = 0;
    return values;
}

/* --- start and stop --- */

static void on_loaded(struct log_load *load)
{
    (void)load; /* without workers the caller looks at it behind the call */
}

static enum error load(struct world *world, int index)
{
    struct model *model = &world->models[index];
    struct log_load work = {.entry = model->entry, .config = config(), .on_done = on_loaded};
    log_manager_load(world->manager, &work);
    return work.error;
}

static enum error load_or_make(struct world *world, int index)
{
    struct model *model = &world->models[index];
    model->entry = log_manager_find(world->manager, name_of(index));
    if (model->entry != NULL && model->is_deleting) {
        log_manager_delete(world->manager, model->entry);
        model->entry = NULL;
    }
    if (model->entry == NULL) {
        if (model->is_deleting) {
            model_clear(model);
            model->is_deleting = true; /* until this start has been verified */
        }
        model->entry = log_manager_add(world->manager, name_of(index), NULL, UINT32_MAX);
        assert_non_null(model->entry);
    }
    return load(world, index);
}

enum error world_start(struct world *world)
{
    const struct log_env env = {.vfs = world->vfs, .clock = &world->clock.clock};
    const struct log_manager_options options = {
        .directories = directories,
        .directory_count = 1,
        .broker_id = 1,
        .open_files_max = 8,
        .broker_epoch = -1,
        .random_seed = rng_next(world->rng) | 1,
    };
    struct start_failure failure;
    enum error error = log_manager_open(&env, NULL, &options, &world->manager, &failure);
    for (int i = 0; error == E_OK && i < PARTITION_COUNT; i++) {
        error = load_or_make(world, i);
    }
    world->leader_epoch++;
    if (error != E_OK) {
        world_kill(world);
    }
    return error;
}

void world_kill(struct world *world)
{
    log_manager_free(world->manager);
    world->manager = NULL;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        world->models[i].entry = NULL;
    }
}

static struct log *log_at(struct world *world, int index)
{
    struct log_entry *entry = world->models[index].entry;
    return entry == NULL ? NULL : entry->log;
}

/* --- steps --- */

static void note_offsets(struct world *world, int index)
{
    struct model *model = &world->models[index];
    struct log *log = log_at(world, index);
    struct log_offsets offsets;
    if (log == NULL || log_is_failed(log)) {
        return;
    }
    log_get_offsets(log, &offsets);
    assert_int_equal(offsets.end, model->end);
    assert_true(offsets.flushed <= offsets.end);
    assert_true(offsets.log_start <= offsets.high_watermark);
    assert_true(offsets.high_watermark <= offsets.end);
    model->flushed = offsets.flushed > model->flushed ? offsets.flushed : model->flushed;
    model->log_start = offsets.log_start;
}

static void on_appended(struct append *append)
{
    (void)append; /* looked at behind log_writer_flush */
}

static void append_one(struct world *world, int index)
{
    struct model *model = &world->models[index];
    struct log *log = log_at(world, index);
    const int producer = (int)rng_below(world->rng, PRODUCER_COUNT + 1);
    struct batch_spec spec = {
        .count = 1 + (int32_t)rng_below(world->rng, RECORDS_MAX),
        .value_size = (int32_t)rng_below(world->rng, VALUE_SIZE_MAX),
        .fill = (uint8_t)rng_next(world->rng),
    };
    struct model_batch batch = {.producer_id = -1};
    if (log == NULL || model->count == BATCHES_MAX) {
        return;
    }
    if (producer < PRODUCER_COUNT) {
        spec.is_idempotent = true;
        spec.producer_id = producer + 1;
        spec.base_sequence = world->sequences[index][producer];
        batch.producer_id = spec.producer_id;
        batch.last_sequence = spec.base_sequence + spec.count - 1;
    }
    batch.data = fixture_batch(world->fixture, &spec, &batch.size);
    struct append append = {
        .data = batch.data,
        .size = batch.size,
        .origin = APPEND_FROM_CLIENT,
        .leader_epoch = world->leader_epoch,
        .scratch = world->fixture->scratch,
        .on_done = on_appended,
    };
    log_append(log, &append);
    log_writer_flush(log_manager_env(world->manager)->writer);
    batch.base_offset = model->end;
    batch.last_offset = model->end + spec.count - 1;
    if (append.error != E_OK) {
        batch_free(&model->maybe);
        model->maybe = batch;
        return;
    }
    assert_int_equal(append.base_offset, batch.base_offset);
    assert_int_equal(append.last_offset, batch.last_offset);
    batch_free(&model->maybe); /* a failed write was cut off again */
    model->batches[model->count++] = batch;
    model->end = batch.last_offset + 1;
    if (producer < PRODUCER_COUNT) {
        world->sequences[index][producer] = batch.last_sequence + 1;
    }
}

/* Errors of these steps mean that the disk has stopped; what was told before still holds. */
static void raise_start(struct world *world, int index)
{
    struct model *model = &world->models[index];
    struct log *log = log_at(world, index);
    struct log_offsets offsets;
    log_get_offsets(log, &offsets);
    const int64_t room = offsets.high_watermark - offsets.log_start + 1;
    const int64_t to = offsets.log_start + (int64_t)rng_below(world->rng, (uint64_t)room);
    model->log_start = to; /* also when it fails half way */
    if (log_raise_start(log, to) != E_OK) {
        return;
    }
    log_manager_checkpoint_start_offsets(world->manager);
    note_offsets(world, index);
    struct log_directory_status status;
    log_manager_directory_status(world->manager, 0, &status);
    if (status.error == E_OK && log_at(world, index) != NULL && !world->is_faulty) {
        model->log_start_kept = model->log_start;
    }
}

static void retain(struct world *world, int index)
{
    uint32_t count;
    struct log *log = log_at(world, index);
    struct log_offsets offsets;
    log_get_offsets(log, &offsets);
    world->models[index].log_start = offsets.high_watermark; /* at most, when it fails half way */
    if (log_retain(log, world->clock.now_ms, &count) == E_OK) {
        log_manager_checkpoint_start_offsets(world->manager);
    }
}

static void delete_and_make(struct world *world, int index)
{
    struct model *model = &world->models[index];
    model->is_deleting = true;
    log_manager_delete(world->manager, model->entry);
    model->entry = NULL;
    struct log_directory_status status;
    log_manager_directory_status(world->manager, 0, &status);
    if (status.error != E_OK || status.free_bytes == 0) {
        return;
    }
    model->entry = log_manager_add(world->manager, name_of(index), NULL, UINT32_MAX);
    assert_non_null(model->entry);
    if (load(world, index) == E_OK) {
        model_clear(model);
        memset(world->sequences[index], 0, sizeof(world->sequences[index]));
    }
}

static void stop_and_start(struct world *world)
{
    log_manager_close_clean(world->manager);
    world_kill(world);
    if (world_start(world) == E_OK && !world->is_faulty) {
        world_verify(world, true);
    } else if (world->manager != NULL) {
        world_kill(world); /* reading may fail too: verified at the end */
    }
}

void world_step(struct world *world)
{
    const int index = (int)rng_below(world->rng, PARTITION_COUNT);
    const int kind = (int)rng_below(world->rng, STEP_KINDS);
    struct log *log = world->manager == NULL ? NULL : log_at(world, index);
    manual_clock_advance(&world->clock, 1);
    if (log == NULL || log_is_failed(log)) {
        return;
    }
    if (kind < 60) {
        append_one(world, index);
    } else if (kind < 72) {
        log_flush(log);
    } else if (kind < 80) {
        log_set_high_watermark(log, world->models[index].end);
    } else if (kind < 83) {
        enum error error = log_roll(log);
        (void)error; /* the disk has stopped: seen by the next append */
    } else if (kind < 87) {
        log_manager_checkpoint_recovery_points(world->manager);
    } else if (kind < 90) {
        raise_start(world, index);
    } else if (kind < 95) {
        retain(world, index);
    } else if (kind < 97) {
        delete_and_make(world, index);
    } else {
        stop_and_start(world);
    }
    note_offsets(world, index);
}

/* --- verification --- */

static const struct model_batch *find_batch(const struct model *model, int64_t base_offset)
{
    for (int i = 0; i < model->count; i++) {
        if (model->batches[i].base_offset == base_offset) {
            return &model->batches[i];
        }
    }
    return model->maybe.data != NULL && model->maybe.base_offset == base_offset ? &model->maybe
                                                                                : NULL;
}

/* Whole known batches, one behind the other; returns the offset behind the last. */
static int64_t compare_bytes(const struct model *model, const uint8_t *bytes, size_t size,
                             int64_t offset)
{
    size_t at = 0;
    while (at < size) {
        assert_true(size - at > BATCH_HEAD_SIZE);
        const int64_t base_offset = (int64_t)be64_load(bytes + at);
        const size_t batch_size = BATCH_HEAD_SIZE + be32_load(bytes + at + 8);
        const struct model_batch *batch = find_batch(model, base_offset);
        if (batch == NULL) {
            fail_msg("a batch at offset %lld that nobody wrote", (long long)base_offset);
            return -1;
        }
        assert_true(batch->base_offset <= offset); /* the first may begin below the log start */
        assert_true(batch->last_offset >= offset);
        assert_int_equal(batch_size, batch->size);
        assert_true(batch_size <= size - at);
        assert_memory_equal(bytes + at, batch->data, batch_size);
        offset = batch->last_offset + 1;
        at += batch_size;
    }
    return offset;
}

static void verify_bytes(const struct model *model, struct log *log,
                         const struct log_offsets *offsets)
{
    int64_t offset = offsets->log_start;
    while (offset < offsets->end) {
        struct log_read read = {.offset = offset,
                                .size_max = READ_SIZE_MAX,
                                .at_least_one_batch = true,
                                .limit = READ_TO_END};
        assert_int_equal(log_read(log, &read), E_OK);
        assert_true(read.size > 0);
        uint8_t *bytes = fixture_read_bytes(&read);
        const int64_t next = compare_bytes(model, bytes, read.size, offset);
        free(bytes);
        file_unref(read.file);
        assert_true(next > offset);
        offset = next;
    }
    assert_int_equal(offset, offsets->end);
}

/* The model is what is there now: lost batches are gone, one in flight may have come true. */
static void adopt(struct world *world, int index, const struct log_offsets *offsets)
{
    struct model *model = &world->models[index];
    if (model->maybe.data != NULL && model->maybe.last_offset + 1 == offsets->end &&
        model->maybe.base_offset == model->end) {
        model->batches[model->count++] = model->maybe;
        model->maybe = (struct model_batch){0};
    }
    batch_free(&model->maybe);
    while (model->count > 0 && model->batches[model->count - 1].last_offset >= offsets->end) {
        batch_free(&model->batches[--model->count]);
    }
    model->end = offsets->end;
    model->flushed = offsets->flushed;
    model->log_start = offsets->log_start;
    model->is_deleting = false;
}

static void verify_producers(struct world *world, int index, int64_t log_start)
{
    const struct model *model = &world->models[index];
    struct producer_info *infos = NULL;
    struct arena arena;
    size_t count = 0;
    int32_t last[PRODUCER_COUNT] = {-1, -1, -1};
    bool is_in_log[PRODUCER_COUNT] = {false};
    for (int i = 0; i < model->count; i++) {
        const struct model_batch *batch = &model->batches[i];
        if (batch->producer_id > 0) {
            last[batch->producer_id - 1] = batch->last_sequence;
            is_in_log[batch->producer_id - 1] = batch->last_offset >= log_start;
        }
    }
    arena_init(&arena, READ_SIZE_MAX);
    assert_int_equal(log_producers(log_at(world, index), &arena, &infos, &count), E_OK);
    for (int producer = 0; producer < PRODUCER_COUNT; producer++) {
        bool is_found = false;
        for (size_t i = 0; i < count; i++) {
            if (infos[i].producer_id == producer + 1) {
                assert_int_equal(infos[i].last_sequence, last[producer]);
                is_found = true;
            }
        }
        if (is_in_log[producer]) {
            assert_true(is_found);
        }
        world->sequences[index][producer] = is_found ? last[producer] + 1 : 0;
    }
    arena_done(&arena);
}

static void verify_one(struct world *world, int index, bool kept_page_cache)
{
    struct model *model = &world->models[index];
    struct log *log = log_at(world, index);
    struct log_offsets offsets;
    log_get_offsets(log, &offsets);
    assert_true(offsets.end >= (kept_page_cache ? model->end : model->flushed));
    assert_true(offsets.flushed <= offsets.end);
    assert_true(offsets.log_start >= model->log_start_kept);
    assert_true(offsets.log_start <= model->log_start);
    verify_bytes(model, log, &offsets);
    adopt(world, index, &offsets);
    verify_producers(world, index, offsets.log_start);
}

void world_verify(struct world *world, bool kept_page_cache)
{
    for (int i = 0; i < PARTITION_COUNT; i++) {
        verify_one(world, i, kept_page_cache);
    }
}
