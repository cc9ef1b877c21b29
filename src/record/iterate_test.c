/* SPDX-License-Identifier: Apache-2.0 */

/* Proves that batches and records are read as Apache Kafka and librdkafka wrote them (a log
 * directory of Kafka 3.9.1 beside the table of what is in it; frames from the wire), and that
 * damaged ones end with an error. */

#include "record/iterate.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/rng.h"
#include "record/build.h"

#include <cmocka.h>

/* ---- The log files of the archive, in memory ---- */

struct log_file {
    char name[101]; /* "./roll-0/00000000000000000029.log" */
    struct slice bytes;
};

static struct log_file files[64];
static size_t file_count;

static int archive_open(void **state)
{
    (void)state;
    gzFile archive = gzopen(GOLDEN_DISK "/kafka-3.9.1-clean.tar.gz", "rb");
    uint8_t block[512];
    assert_non_null(archive);
    while (gzread(archive, block, sizeof(block)) == (int)sizeof(block) && block[0] != 0) {
        const size_t size = strtoul((const char *)block + 124, NULL, 8);
        const size_t padded = (size + 511) / 512 * 512;
        uint8_t *bytes = malloc(padded + 1);
        assert_int_equal(gzread(archive, bytes, (unsigned)padded), padded);
        struct log_file *file = &files[file_count];
        memcpy(file->name, block, 100);
        const size_t length = strlen(file->name);
        if (length < 4 || strcmp(file->name + length - 4, ".log") != 0) {
            free(bytes);
            continue;
        }
        file->bytes = slice_of(bytes, size);
        file_count++;
        assert_true(file_count < sizeof(files) / sizeof(files[0]));
    }
    gzclose(archive);
    assert_true(file_count > 20);
    return 0;
}

static int archive_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++) {
        free((void *)(uintptr_t)files[i].bytes.data);
    }
    return 0;
}

static bool is_of_partition(const struct log_file *file, const char *partition)
{
    const size_t length = strlen(partition);
    return strncmp(file->name + 2, partition, length) == 0 && file->name[2 + length] == '/';
}

static struct slice segment_bytes(const char *partition, int64_t base_offset)
{
    char name[101];
    (void)snprintf(name, sizeof(name), "./%s/%020" PRId64 ".log", partition, base_offset);
    for (size_t i = 0; i < file_count; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return files[i].bytes;
        }
    }
    fail_msg("%s is not in the archive", name);
    return SLICE_NULL;
}

/* ---- Tables ---- */

typedef void (*row_fn)(char **columns, void *context);

static size_t read_table(const char *path, size_t column_count, row_fn on_row, void *context)
{
    FILE *table = fopen(path, "r");
    char line[4096];
    size_t count = 0;
    assert_non_null(table);
    assert_non_null(fgets(line, sizeof(line), table)); /* the names of the columns */
    while (fgets(line, sizeof(line), table) != NULL) {
        char *columns[16];
        char *rest = line;
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < column_count; i++) {
            columns[i] = strsep(&rest, "\t");
            assert_non_null(columns[i]);
        }
        assert_null(rest);
        on_row(columns, context);
        count++;
    }
    (void)fclose(table);
    return count;
}

static int64_t number(const char *text)
{
    return strtoll(text, NULL, 10);
}

static void compare_batch(char **columns, void *context)
{
    struct batch_header header;
    size_t *bytes_seen = context;
    const struct slice segment = segment_bytes(columns[0], number(columns[1]));
    const size_t position = (size_t)number(columns[2]);
    assert_true(position < segment.size);
    struct slice rest = slice_of(segment.data + position, segment.size - position);
    assert_int_equal(batch_header_decode(rest, &header), E_OK);
    assert_int_equal(header.size, number(columns[3]));
    assert_int_equal(header.base_offset, number(columns[4]));
    assert_int_equal(batch_header_last_offset(&header), number(columns[5]));
    assert_int_equal(header.count, number(columns[6]));
    assert_int_equal(header.partition_leader_epoch, number(columns[7]));
    assert_int_equal(header.attributes, number(columns[8]));
    assert_int_equal(batch_header_codec(&header), number(columns[9]));
    assert_int_equal(header.base_timestamp, number(columns[10]));
    assert_int_equal(header.max_timestamp, number(columns[11]));
    assert_int_equal(header.producer_id, number(columns[12]));
    assert_int_equal(header.producer_epoch, number(columns[13]));
    assert_int_equal(header.base_sequence, number(columns[14]));
    assert_int_equal(header.crc, strtoul(columns[15], NULL, 16));
    assert_true(batch_crc_matches(rest.data));

    uint8_t again[RECORD_BATCH_HEADER_SIZE];
    batch_header_encode(&header, again);
    assert_memory_equal(again, rest.data, sizeof(again));
    struct slice batch;
    assert_int_equal(batch_next(&rest, &batch), E_OK);
    assert_int_equal(batch.size, header.size);
    *bytes_seen += header.size;
}

static void test_every_batch_of_a_kafka_directory(void **state)
{
    (void)state;
    size_t bytes_seen = 0;
    size_t bytes = 0;
    assert_int_equal(read_table(GOLDEN_DISK "/batches.tsv", 16, compare_batch, &bytes_seen), 392);
    for (size_t i = 0; i < file_count; i++) {
        bytes += files[i].bytes.size;
    }
    assert_int_equal(bytes_seen, bytes); /* nothing in the files is not in the table */
}

/* ---- Records as the table writes them ---- */

static char *print_bytes(char *text, struct slice bytes)
{
    static const char null_text[] = "(null)";
    if (slice_is_null(bytes)) {
        memcpy(text, null_text, sizeof(null_text));
        return text + sizeof(null_text) - 1;
    }
    bool is_plain = true;
    for (size_t i = 0; i < bytes.size; i++) {
        is_plain = is_plain && bytes.data[i] >= 0x20 && bytes.data[i] < 0x7F;
    }
    if (is_plain) {
        memcpy(text, bytes.data, bytes.size);
        text[bytes.size] = '\0';
        return text + bytes.size;
    }
    memcpy(text, "hex:", 4);
    text += 4;
    for (size_t i = 0; i < bytes.size; i++) {
        *text++ = "0123456789abcdef"[bytes.data[i] >> 4];
        *text++ = "0123456789abcdef"[bytes.data[i] & 15];
    }
    *text = '\0';
    return text;
}

static void print_record(const struct record *record, char *key, char *value, char *headers)
{
    (void)print_bytes(key, record->key);
    (void)print_bytes(value, record->value);
    struct slice rest = record->headers;
    struct record_header header;
    int32_t count = 0;
    headers[0] = '\0';
    while (record_header_next(&rest, &header)) {
        if (count++ > 0) {
            *headers++ = ';';
        }
        headers = print_bytes(headers, header.key);
        *headers++ = '=';
        headers = print_bytes(headers, header.value);
    }
    assert_int_equal(count, record->header_count);
}

static bool compare_if_at(const struct record *record, char **columns, struct slice batch)
{
    static char key[4096];
    static char value[4096];
    static char headers[4096];
    if (record->offset != number(columns[1])) {
        return false;
    }
    print_record(record, key, value, headers);
    assert_int_equal(record->timestamp, number(columns[2]));
    assert_int_equal(batch_is_control(batch.data), number(columns[3]));
    assert_string_equal(key, columns[4]);
    assert_string_equal(value, columns[5]);
    assert_string_equal(headers, columns[6]);
    return true;
}

/* How often the record of a row is in the files of partition: has to be once. */
static size_t count_record(const char *partition, char **columns)
{
    struct inflate_scratch scratch = {0};
    size_t found = 0;
    for (size_t i = 0; i < file_count; i++) {
        struct slice bytes = files[i].bytes;
        struct slice batch;
        while (is_of_partition(&files[i], partition) && batch_next(&bytes, &batch) == E_OK) {
            struct record_iterator it;
            struct record record;
            const struct record_source source = {.batch = batch, .check_crc = true};
            assert_int_equal(record_iterator_open(&it, &scratch, &source), E_OK);
            while (record_iterator_next(&it, &record)) {
                found += compare_if_at(&record, columns, batch) ? 1 : 0;
            }
            assert_int_equal(record_iterator_close(&it), E_OK);
        }
    }
    inflate_scratch_done(&scratch);
    return found;
}

static void compare_record(char **columns, void *context)
{
    static const char *const same_values[] = {"codec-snappy-0", "codec-lz4-0", "codec-zstd-0"};
    (void)context;
    assert_int_equal(count_record(columns[0], columns), 1);
    for (size_t i = 0; i < 3 && strcmp(columns[0], "codec-none-0") == 0; i++) {
        assert_int_equal(count_record(same_values[i], columns), 1);
    }
}

static void test_every_record_of_a_kafka_directory(void **state)
{
    (void)state;
    assert_int_equal(read_table(GOLDEN_DISK "/records.tsv", 7, compare_record, NULL), 462);
}

/* ---- Frames of librdkafka 2.16 from the wire ---- */

static struct slice unhex(const char *hex)
{
    static uint8_t bytes[4096];
    const size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return slice_of(bytes, size);
}

static int32_t count_records(struct slice batch, enum error expected)
{
    struct inflate_scratch scratch = {0};
    struct record_iterator it;
    struct record record;
    int32_t count = 0;
    const struct record_source source = {.batch = batch, .check_crc = true};
    assert_int_equal(record_iterator_open(&it, &scratch, &source), E_OK);
    while (record_iterator_next(&it, &record)) {
        assert_int_equal(record.offset, count);
        assert_int_equal(memcmp(record.value.data, "value ", 6), 0);
        count++;
    }
    assert_int_equal(record_iterator_close(&it), expected);
    inflate_scratch_done(&scratch);
    return count;
}

static void test_frames_of_librdkafka(void **state)
{
    static const struct {
        enum codec codec;
        const char *hex;
    } frames[] = {
        {CODEC_GZIP, "0000000000000000000000690000000002"
                     "3821de54000100000003000001a2041e9d0e000001a2041e9d0effffffffffff"
                     "ffffffffffffffff000000041f8b08000000000000033362606060542b4bcc29"
                     "4d5540260d198c181898b0c918816458b0c9188364d8b0c99830000095a1a65b"
                     "68000000"},
        {CODEC_SNAPPY, "0000000000000000000000580000000002"
                       "e5c97809000200000002000001a2041e9d24000001a2041e9d24ffffffffffff"
                       "ffffffffffffffff000000034e2c32000000012676616c7565202e0600143000"
                       "320000024e1a000033011a00044e1a00043400"},
        {CODEC_LZ4, "0000000000000000000000790000000002"
                    "1ea65e17000300000004000001a2041e9d34000001a2041e9d34ffffffffffff"
                    "ffffffffffffffff0000000504224d1860408239000000c83200000001267661"
                    "6c75652006006f3000320000021a000110311a001f041a000110321a001f061a"
                    "000110331a001d081a0050756520340000000000"},
        {CODEC_ZSTD, "0000000000000000000000620000000002"
                     "e52b57da000400000003000001a2041e9d40000001a2041e9d40ffffffffffff"
                     "ffffffffffffffff0000000428b52ffd0058450100c032000000012676616c75"
                     "652030003200000231043206330006008004b007880156f4a44bb89204"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        const struct slice batch = unhex(frames[i].hex);
        assert_int_equal(batch_codec(batch.data), frames[i].codec);
        assert_int_equal(count_records(batch, E_OK), batch_count(batch.data));
    }
}

/* ---- Made here ---- */

static struct slice random_bytes(struct rng *rng, uint8_t *bytes, size_t size_max)
{
    const size_t size = rng_below(rng, size_max + 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(rng_next(rng) & 0x1F); /* compresses a little */
    }
    return rng_below(rng, 5) == 0 ? SLICE_NULL : slice_of(bytes, size);
}

enum { ROUND_TRIP_RECORDS = 40 };

struct model {
    struct record records[ROUND_TRIP_RECORDS];
    uint8_t bytes[ROUND_TRIP_RECORDS][3][3000];
    int32_t count;
};

static void make_model(struct model *model, struct rng *rng, int64_t base_offset)
{
    int64_t offset = base_offset;
    model->count = 1 + (int32_t)rng_below(rng, ROUND_TRIP_RECORDS);
    for (int32_t i = 0; i < model->count; i++) {
        struct record *record = &model->records[i];
        *record = (struct record){
            .offset = offset,
            .timestamp = (int64_t)rng_below(rng, 2000000000000) - 1,
            .key = random_bytes(rng, model->bytes[i][0], 80),
            .value = random_bytes(rng, model->bytes[i][1], i == 7 ? 3000 : 200),
        };
        uint8_t *p = model->bytes[i][2];
        while (rng_below(rng, 3) == 0 && record->header_count < 10) {
            const struct record_header header = {SLICE("name"), record->key};
            p = record_header_write(p, &header);
            record->header_count++;
        }
        record->headers = slice_of(model->bytes[i][2], (size_t)(p - model->bytes[i][2]));
        offset += 1 + (int64_t)rng_below(rng, 3); /* gaps, as compaction leaves them */
    }
}

static void assert_same_record(const struct record *a, const struct record *b)
{
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->timestamp, b->timestamp);
    assert_int_equal(slice_is_null(a->key), slice_is_null(b->key));
    assert_int_equal(slice_is_null(a->value), slice_is_null(b->value));
    assert_true(slice_equal(a->key, b->key));
    assert_true(slice_equal(a->value, b->value));
    assert_true(slice_equal(a->headers, b->headers));
    assert_int_equal(a->header_count, b->header_count);
}

static void round_trip(struct batch_builder *builder, struct inflate_scratch *scratch,
                       const struct model *model, uint16_t attributes)
{
    struct batch_header header = BATCH_HEADER_NONE;
    struct slice batch;
    header.base_offset = model->records[0].offset;
    header.attributes = attributes;
    header.base_timestamp = 123456789; /* the delete horizon */
    batch_builder_start(builder, &header, CODEC_LEVEL_DEFAULT);
    for (int32_t i = 0; i < model->count; i++) {
        assert_int_equal(batch_builder_append(builder, &model->records[i]), E_OK);
    }
    assert_int_equal(batch_builder_finish(builder, &batch), E_OK);

    struct record_iterator it;
    struct record record;
    int32_t count = 0;
    const struct record_source source = {.batch = batch, .check_crc = true};
    assert_int_equal(record_iterator_open(&it, scratch, &source), E_OK);
    while (record_iterator_next(&it, &record)) {
        assert_same_record(&record, &model->records[count]);
        count++;
    }
    assert_int_equal(record_iterator_close(&it), E_OK);
    assert_int_equal(count, model->count);
    assert_int_equal(batch_last_offset(batch.data), model->records[count - 1].offset);
}

static void test_build_and_iterate_round_trip(void **state)
{
    struct batch_builder builder = {0};
    struct inflate_scratch scratch = {0};
    struct model *model = malloc(sizeof(*model));
    struct rng rng;
    (void)state;
    rng_init(&rng, 7);
    for (int round = 0; round < 200; round++) {
        make_model(model, &rng, (int64_t)rng_below(&rng, 1000000));
        const unsigned horizon = round % 2 == 0 ? BATCH_ATTRIBUTE_DELETE_HORIZON : 0U;
        round_trip(&builder, &scratch, model, (uint16_t)((unsigned)round % CODEC_COUNT | horizon));
    }
    free(model);
    batch_builder_done(&builder);
    inflate_scratch_done(&scratch);
}

static struct slice build_three(struct batch_builder *builder, uint16_t attributes)
{
    struct batch_header header = BATCH_HEADER_NONE;
    struct slice batch;
    header.base_offset = 100;
    header.attributes = attributes;
    header.last_offset_delta = 9; /* the last ones were compacted away */
    header.max_timestamp = 77;
    batch_builder_start(builder, &header, CODEC_LEVEL_DEFAULT);
    static const int64_t timestamps[] = {1000, 3000, 3000};
    for (int64_t i = 0; i < 3; i++) {
        const struct record record = {.offset = 100 + 2 * i, .timestamp = timestamps[i]};
        assert_int_equal(batch_builder_append(builder, &record), E_OK);
    }
    assert_int_equal(batch_builder_finish(builder, &batch), E_OK);
    return batch;
}

static void test_lookup_by_timestamp(void **state)
{
    struct batch_builder builder = {0};
    struct inflate_scratch scratch = {0};
    struct record_time found;
    (void)state;
    struct record_source source = {.batch = build_three(&builder, CODEC_LZ4)};
    static const struct {
        struct record_time query;
        int64_t offset;
    } cases[] = {{{0, 0}, 100},      {{1000, 0}, 100}, {{1001, 0}, 102},
                 {{3000, 103}, 104}, {{3001, 0}, -1},  {{0, 105}, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(batch_find_timestamp(&scratch, &source, &cases[i].query, &found), E_OK);
        assert_int_equal(found.offset, cases[i].offset);
    }
    assert_int_equal(batch_find_max_timestamp(&scratch, &source, &found), E_OK);
    assert_int_equal(found.offset, 102);
    assert_int_equal(found.timestamp, 3000);

    source.batch = build_three(&builder, BATCH_ATTRIBUTE_LOG_APPEND_TIME);
    assert_int_equal(batch_find_max_timestamp(&scratch, &source, &found), E_OK);
    assert_int_equal(found.offset, 100);
    assert_int_equal(found.timestamp, 77); /* the broker's clock, for every record */
    batch_builder_done(&builder);
    inflate_scratch_done(&scratch);
}

static void test_empty_batch_of_compaction(void **state)
{
    struct batch_builder builder = {0};
    struct inflate_scratch scratch = {0};
    struct record_iterator it;
    struct record record;
    struct slice batch;
    (void)state;
    for (uint16_t codec = 0; codec < CODEC_COUNT; codec++) {
        struct batch_header header = BATCH_HEADER_NONE;
        header.attributes = codec;
        header.last_offset_delta = 4;
        header.max_timestamp = 55;
        batch_builder_start(&builder, &header, CODEC_LEVEL_DEFAULT);
        assert_int_equal(batch_builder_finish(&builder, &batch), E_OK);
        assert_int_equal(batch.size, RECORD_BATCH_HEADER_SIZE);
        assert_int_equal(batch_max_timestamp(batch.data), 55);
        const struct record_source source = {.batch = batch, .check_crc = true};
        assert_int_equal(record_iterator_open(&it, &scratch, &source), E_OK);
        assert_false(record_iterator_next(&it, &record));
        assert_int_equal(record_iterator_close(&it), E_OK);
    }
    batch_builder_done(&builder);
    inflate_scratch_done(&scratch);
}

static void test_range_of_batches(void **state)
{
    struct batch_builder builder = {0};
    struct slice batch;
    uint8_t bytes[300];
    (void)state;
    batch = build_three(&builder, 0);
    memcpy(bytes, batch.data, batch.size);
    memcpy(bytes + batch.size, batch.data, batch.size);
    struct slice range = slice_of(bytes, 2 * batch.size - 1);
    assert_int_equal(batch_next(&range, &batch), E_OK);
    assert_int_equal(batch_next(&range, &batch), E_LOCAL_TRUNCATED);
    range = slice_of(bytes, batch.size);
    assert_int_equal(batch_next(&range, &batch), E_OK);
    assert_int_equal(batch_next(&range, &batch), E_LOCAL_NOT_FOUND);
    range = slice_of(bytes, 16);
    assert_int_equal(batch_next(&range, &batch), E_LOCAL_TRUNCATED);
    range = slice_of(bytes, sizeof(bytes));
    bytes[BATCH_MAGIC] = 9;
    assert_int_equal(batch_next(&range, &batch), E_CORRUPT_MESSAGE);
    bytes[BATCH_MAGIC] = 2;
    be32_store(bytes + BATCH_LENGTH, 5);
    assert_int_equal(batch_next(&range, &batch), E_CORRUPT_MESSAGE);
    batch_builder_done(&builder);
}

static enum error read_all(struct slice batch, bool check_crc)
{
    struct inflate_scratch scratch = {0};
    struct record_iterator it;
    struct record record;
    const struct record_source source = {.batch = batch, .check_crc = check_crc};
    enum error error = record_iterator_open(&it, &scratch, &source);
    if (error == E_OK) {
        while (record_iterator_next(&it, &record)) {
            assert_true(record.offset >= 0);
        }
        error = record_iterator_close(&it);
    }
    inflate_scratch_done(&scratch);
    return error;
}

static void test_damage_is_an_error(void **state)
{
    struct batch_builder builder = {0};
    uint8_t bytes[300];
    (void)state;
    const struct slice good = build_three(&builder, 0);
    const struct slice copy = slice_of(bytes, good.size);
    memcpy(bytes, good.data, good.size);
    assert_int_equal(read_all(copy, true), E_OK);
    bytes[good.size - 1] ^= 1;
    assert_int_equal(read_all(copy, true), E_CORRUPT_MESSAGE);  /* CRC */
    assert_int_equal(read_all(copy, false), E_CORRUPT_MESSAGE); /* a header that is not there */
    memcpy(bytes, good.data, good.size);
    be32_store(bytes + BATCH_COUNT, 2);
    assert_int_equal(read_all(copy, false), E_CORRUPT_MESSAGE);
    be32_store(bytes + BATCH_COUNT, 4);
    assert_int_equal(read_all(copy, false), E_CORRUPT_MESSAGE);
    memcpy(bytes, good.data, good.size);
    be32_store(bytes + BATCH_LAST_OFFSET_DELTA, 3); /* the last record is at 4 */
    assert_int_equal(read_all(copy, false), E_CORRUPT_MESSAGE);
    memcpy(bytes, good.data, good.size);
    bytes[RECORD_BATCH_HEADER_SIZE + 3] = 8; /* offsets 4, 2, 4 */
    assert_int_equal(read_all(copy, false), E_CORRUPT_MESSAGE);
    assert_int_equal(read_all(slice_of(bytes, 10), false), E_LOCAL_TRUNCATED);
    batch_builder_done(&builder);
}

static void test_random_damage_never_crashes(void **state)
{
    struct rng rng;
    (void)state;
    rng_init(&rng, 11);
    for (size_t i = 0; i < file_count; i++) {
        struct slice bytes = files[i].bytes;
        struct slice batch;
        while (batch_next(&bytes, &batch) == E_OK) {
            uint8_t *copy = malloc(batch.size); /* of exact size, for the sanitizer */
            for (int round = 0; round < 10; round++) {
                memcpy(copy, batch.data, batch.size);
                copy[21 + rng_below(&rng, batch.size - 21)] = (uint8_t)rng_next(&rng);
                copy[21 + rng_below(&rng, batch.size - 21)] ^= (uint8_t)(1U << rng_below(&rng, 8));
                (void)read_all(slice_of(copy, batch.size), false); /* any answer will do */
            }
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_batch_of_a_kafka_directory),
        cmocka_unit_test(test_every_record_of_a_kafka_directory),
        cmocka_unit_test(test_frames_of_librdkafka),
        cmocka_unit_test(test_build_and_iterate_round_trip),
        cmocka_unit_test(test_lookup_by_timestamp),
        cmocka_unit_test(test_empty_batch_of_compaction),
        cmocka_unit_test(test_range_of_batches),
        cmocka_unit_test(test_damage_is_an_error),
        cmocka_unit_test(test_random_damage_never_crashes),
    };
    return cmocka_run_group_tests(tests, archive_open, archive_close);
}
