/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that Apache Kafka 3.9.1 wrote are opened, after a clean and an unclean stop, with
 * every batch as batches.tsv has it; what recovery makes again, and what we write for the same
 * appends, are Kafka's bytes.
 */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/log_fixture.h"

#include <cmocka.h>

static char golden[] = "/tmp/ottla_golden.XXXXXX";

/* Every partition of the archives, and how Kafka's topic was configured. */
struct golden_partition {
    const char *name;
    int64_t segment_size_bytes_max;
    int64_t index_interval_bytes;
    int64_t index_size_bytes_max;
    int64_t log_start;
    int64_t recovery_point; /* in the checkpoint of the unclean copy */
    bool is_log_append_time;
    bool is_changed_later; /* compacted or trimmed: not what appends alone give */
};

static const struct golden_partition partitions[] = {
    {.name = "__consumer_offsets-0", .segment_size_bytes_max = 104857600},
    {.name = "__consumer_offsets-1", .segment_size_bytes_max = 104857600},
    {.name = "__transaction_state-0", .segment_size_bytes_max = 104857600},
    {.name = "__transaction_state-1", .segment_size_bytes_max = 104857600},
    {.name = "appendtime-0", .is_log_append_time = true},
    {.name = "codec-gzip-0"},
    {.name = "codec-lz4-0"},
    {.name = "codec-none-0"},
    {.name = "codec-snappy-0"},
    {.name = "codec-zstd-0"},
    {.name = "compacted-0", .recovery_point = 80, .is_changed_later = true},
    {.name = "recompress-0"},
    {.name = "roll-0",
     .segment_size_bytes_max = 4096,
     .index_interval_bytes = 512,
     .index_size_bytes_max = 1024,
     .recovery_point = 87},
    {.name = "roll-1",
     .segment_size_bytes_max = 4096,
     .index_interval_bytes = 512,
     .index_size_bytes_max = 1024,
     .recovery_point = 87},
    {.name = "trimmed-0", .log_start = 25, .recovery_point = 58, .is_changed_later = true},
    {.name = "txn-0", .segment_size_bytes_max = 1024, .recovery_point = 39},
};

enum { PARTITION_COUNT = sizeof(partitions) / sizeof(partitions[0]) };

static int unpack(void **state)
{
    char command[512];
    (void)state;
    if (mkdtemp(golden) == NULL) {
        return -1;
    }
    (void)snprintf(command, sizeof(command),
                   "mkdir %s/clean %s/unclean && tar xzf " GOLDEN_DISK
                   "/kafka-3.9.1-clean.tar.gz -C %s/clean && tar xzf " GOLDEN_DISK
                   "/kafka-3.9.1-unclean.tar.gz -C %s/unclean",
                   golden, golden, golden, golden);
    return system(command);
}

static int clean_up(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", golden);
    return system(command);
}

static void set_up_partition(struct log_fixture *fixture, const struct golden_partition *partition)
{
    fixture_init(fixture, NULL);
    if (partition->segment_size_bytes_max > 0) {
        fixture->config.segment_size_bytes_max = partition->segment_size_bytes_max;
    }
    if (partition->index_interval_bytes > 0) {
        fixture->config.index_interval_bytes = partition->index_interval_bytes;
        fixture->config.index_size_bytes_max = partition->index_size_bytes_max;
    }
    if (partition->is_log_append_time) {
        fixture->config.timestamp_policy = TIMESTAMP_LOG_APPEND_TIME;
    }
    fixture->hints.log_start_offset = partition->log_start > 0 ? partition->log_start : -1;
}

static void copy_partition(struct log_fixture *fixture, const char *kind, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s/%s", golden, kind, name);
    fixture_copy_from(fixture, path);
}

/* --- reading --- */

struct batch_row {
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
    int32_t attributes;
    uint32_t crc;
};

/* Rows of batches.tsv for one partition, malloc'ed. */
static struct batch_row *load_rows(const char *name, size_t *ret_count)
{
    FILE *file = fopen(GOLDEN_DISK "/batches.tsv", "r");
    assert_non_null(file);
    struct batch_row *rows = calloc(1000, sizeof(*rows));
    char line[512];
    size_t count = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        char partition[64];
        struct batch_row row;
        const int fields = sscanf(line,
                                  "%63s %*d %*d %*d %" SCNd64 " %" SCNd64
                                  " %*d %*d %d %*d %*d %" SCNd64 " %*d %*d %*d %x",
                                  partition, &row.base_offset, &row.last_offset, &row.attributes,
                                  &row.max_timestamp, &row.crc);
        if (fields == 6 && strcmp(partition, name) == 0) {
            rows[count++] = row;
        }
    }
    (void)fclose(file);
    *ret_count = count;
    return rows;
}

static void check_batches(struct log_fixture *fixture, const struct golden_partition *partition,
                          size_t row_count_min)
{
    size_t count;
    struct batch_row *rows = load_rows(partition->name, &count);
    size_t row = 0;
    int64_t offset = partition->log_start;
    while (row < count && rows[row].last_offset < offset) {
        row++;
    }
    const int64_t end = fixture_offsets(fixture).end;
    while (offset < end) {
        struct log_read read = {.offset = offset, .size_max = 1 << 20};
        assert_int_equal(log_read(fixture->log, &read), E_OK);
        if (read.size == 0) {
            break;
        }
        uint8_t *bytes = fixture_read_bytes(&read);
        for (size_t at = 0; at < read.size; at += (size_t)batch_size(bytes + at), row++) {
            const uint8_t *batch = bytes + at;
            assert_true(row < count);
            assert_int_equal(batch_base_offset(batch), rows[row].base_offset);
            assert_int_equal(batch_last_offset(batch), rows[row].last_offset);
            assert_int_equal(batch_attributes(batch), rows[row].attributes);
            assert_int_equal(batch_max_timestamp(batch), rows[row].max_timestamp);
            assert_int_equal(batch_crc(batch), rows[row].crc);
            assert_true(batch_crc_matches(batch));
            offset = batch_last_offset(batch) + 1;
        }
        free(bytes);
        file_unref(read.file);
    }
    assert_true(row >= row_count_min);
    assert_true(row_count_min > 0 || row == count);
    free(rows);
}

static void test_open_clean(void **state)
{
    (void)state;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        struct log_fixture fixture;
        set_up_partition(&fixture, &partitions[i]);
        copy_partition(&fixture, "clean", partitions[i].name);
        assert_int_equal(fixture_open(&fixture), E_OK);
        check_batches(&fixture, &partitions[i], 0);
        assert_int_equal(fixture_offsets(&fixture).log_start, partitions[i].log_start);
        fixture_done(&fixture);
    }
}

/* --- the same bytes again --- */

static bool is_derived(const char *name)
{
    return strstr(name, "index") != NULL || strstr(name, ".snapshot") != NULL ||
           strcmp(name, "leader-epoch-checkpoint") == 0;
}

/* Every derived file that Kafka left is there with the same bytes. */
static void check_files(struct log_fixture *fixture, const char *name, bool with_logs)
{
    char directory[256];
    (void)snprintf(directory, sizeof(directory), "%s/clean/%s", golden, name);
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (!is_derived(entry->d_name) && !(with_logs && strstr(entry->d_name, ".log") != NULL)) {
            continue;
        }
        char path[600];
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        uint8_t expected[16384];
        const size_t expected_size = fread(expected, 1, sizeof(expected), file);
        (void)fclose(file);
        size_t size = 0;
        uint8_t *bytes = fixture_file(fixture, entry->d_name, &size);
        if (bytes == NULL || size != expected_size || memcmp(bytes, expected, size) != 0) {
            print_error("%s/%s differs: %zu bytes, Kafka has %zu\n", name, entry->d_name, size,
                        expected_size);
            fail();
        }
        free(bytes);
    }
    closedir(dir);
}

/* All is checked and derived again from the batches; a clean close leaves Kafka's bytes. */
static void test_recovery_gives_kafka_files(void **state)
{
    (void)state;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        struct log_fixture fixture;
        set_up_partition(&fixture, &partitions[i]);
        copy_partition(&fixture, "clean", partitions[i].name);
        fixture.hints.was_clean = false;
        assert_int_equal(fixture_open(&fixture), E_OK);
        check_batches(&fixture, &partitions[i], 0);
        fixture_close(&fixture);
        if (!partitions[i].is_changed_later) {
            check_files(&fixture, partitions[i].name, true);
        }
        fixture_done(&fixture);
    }
}

/* The copy of a running broker: recovered from its recovery point, as after a power cut of
 * Kafka. The clean copy was made later, with more batches. */
static void test_open_unclean(void **state)
{
    (void)state;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        struct log_fixture fixture;
        set_up_partition(&fixture, &partitions[i]);
        copy_partition(&fixture, "unclean", partitions[i].name);
        fixture.hints.was_clean = false;
        fixture.hints.recovery_point = partitions[i].recovery_point;
        assert_int_equal(fixture_open(&fixture), E_OK);
        check_batches(&fixture, &partitions[i],
                      strcmp(partitions[i].name, "__consumer_offsets-1") == 0 ? 0 : 1);
        if (strcmp(partitions[i].name, "txn-0") == 0) {
            log_set_high_watermark(fixture.log, INT64_MAX);
            assert_int_equal(fixture_offsets(&fixture).last_stable, 48); /* tx-open began there */
        }
        fixture_done(&fixture);
    }
}

static void append_golden(struct log_fixture *fixture, const uint8_t *batch)
{
    const size_t size = (size_t)batch_size(batch);
    uint8_t *data = malloc(size);
    memcpy(data, batch, size);
    const int64_t expected = batch_base_offset(batch);
    const bool is_control = batch_is_control(batch);
    fixture->clock.now_ms = batch_max_timestamp(batch);
    if (fixture->config.timestamp_policy == TIMESTAMP_LOG_APPEND_TIME) {
        batch_set_max_timestamp(data, false, batch_base_timestamp(data));
    }
    batch_set_base_offset(data, 0);
    batch_set_partition_leader_epoch(data, -1);
    struct fixture_append item;
    fixture_queue(fixture, &item, data, size,
                  is_control ? APPEND_FROM_COORDINATOR : APPEND_FROM_CLIENT,
                  batch_partition_leader_epoch(batch));
    log_writer_flush(fixture->env.writer);
    assert_int_equal(item.append.error, E_OK);
    assert_int_equal(item.append.base_offset, expected);
    free(data);
}

/* Kafka's batches, appended one by one, give Kafka's directory. */
static void test_appends_give_kafka_files(void **state)
{
    (void)state;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        if (partitions[i].is_changed_later) {
            continue;
        }
        struct log_fixture source;
        struct log_fixture fixture;
        set_up_partition(&source, &partitions[i]);
        copy_partition(&source, "clean", partitions[i].name);
        assert_int_equal(fixture_open(&source), E_OK);
        set_up_partition(&fixture, &partitions[i]);
        assert_int_equal(fixture_open(&fixture), E_OK);
        int64_t offset = 0;
        while (offset < fixture_offsets(&source).end) {
            struct log_read read = {.offset = offset, .size_max = 1, .at_least_one_batch = true};
            assert_int_equal(log_read(source.log, &read), E_OK);
            uint8_t *bytes = fixture_read_bytes(&read);
            append_golden(&fixture, bytes);
            offset = batch_last_offset(bytes) + 1;
            free(bytes);
            file_unref(read.file);
        }
        const int32_t epoch = log_latest_epoch(source.log);
        assert_int_equal(epoch < 0 ? E_OK : log_start_epoch(fixture.log, epoch), E_OK);
        fixture_close(&fixture);
        check_files(&fixture, partitions[i].name, true);
        fixture_done(&fixture);
        fixture_done(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_clean),
        cmocka_unit_test(test_recovery_gives_kafka_files),
        cmocka_unit_test(test_open_unclean),
        cmocka_unit_test(test_appends_give_kafka_files),
    };
    return cmocka_run_group_tests(tests, unpack, clean_up);
}
