/* SPDX-License-Identifier: Apache-2.0 */
#include "record/validate.h"

#include "record/lz4_quirk_private.h"
#include "record/walk_private.h"

/* The walk over the records of one batch. Rules are turned into plain numbers once, so that each
 * record costs a few comparisons. */
struct walk {
    const struct record_rules *rules;
    struct record_report *report;
    /* Timestamp deltas that are in range. */
    int64_t delta_lowest;
    int64_t delta_highest;
    int64_t delta_max; /* largest so far, INT64_MIN before the first record */
    int32_t delta_max_index;
    int32_t index; /* next record, which is its offset delta too */
    int32_t count;
};

static int64_t subtract_saturating(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return difference;
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return sum;
}

static void walk_init(struct walk *walk, const struct record_rules *rules,
                      struct record_report *report)
{
    const struct batch_header *header = &report->header;
    *walk = (struct walk){
        .rules = rules,
        .report = report,
        .delta_lowest = INT64_MIN,
        .delta_highest = INT64_MAX,
        .delta_max = INT64_MIN,
        .count = header->count,
    };
    if (rules->log_append_time) {
        return;
    }
    if (rules->timestamp_before_max_ms != INT64_MAX) {
        const int64_t lowest = subtract_saturating(rules->now_ms, rules->timestamp_before_max_ms);
        walk->delta_lowest = subtract_saturating(lowest, header->base_timestamp);
    }
    if (rules->timestamp_after_max_ms != INT64_MAX) {
        const int64_t highest = add_saturating(rules->now_ms, rules->timestamp_after_max_ms);
        walk->delta_highest = subtract_saturating(highest, header->base_timestamp);
    }
}

__attribute__((cold)) static void walk_note_error(struct walk *walk, enum record_error_kind kind,
                                                  int64_t timestamp_ms)
{
    struct record_report *report = walk->report;
    if (report->error_count < RECORD_ERROR_COUNT_MAX) {
        report->errors[report->error_count] = (struct record_error){
            .batch_index = walk->index,
            .kind = kind,
            .timestamp_ms = timestamp_ms,
        };
    }
    report->error_count++;
}

/* The rules about what a record says, in Kafka's order: a record has one error at most. */
__attribute__((cold)) static void walk_judge(struct walk *walk, bool key_is_null, int64_t delta)
{
    const int64_t timestamp = add_saturating(walk->report->header.base_timestamp, delta);
    if (key_is_null && walk->rules->require_keys) {
        walk_note_error(walk, RECORD_ERROR_NULL_KEY, timestamp);
    } else if ((delta < walk->delta_lowest || delta > walk->delta_highest) &&
               timestamp != NO_TIMESTAMP) {
        walk_note_error(walk, RECORD_ERROR_TIMESTAMP, timestamp);
    }
}

/* One record of any kind from p to end; false: it breaks the format. */
static bool walk_record(struct walk *walk, const uint8_t *p, const uint8_t *end)
{
    uint64_t raw_delta;
    uint32_t raw_offset;
    uint32_t raw_header_count;
    bool key_is_null;
    bool value_is_null;
    if (UNLIKELY(p == end)) {
        return false;
    }
    p = raw64_read(p + 1, end, &raw_delta); /* behind the attributes */
    if (UNLIKELY(p == NULL)) {
        return false;
    }
    p = raw_read(p, end, &raw_offset);
    if (UNLIKELY(p == NULL || raw_offset != (uint32_t)walk->index << 1)) {
        return false;
    }
    p = nullable_skip(p, end, &key_is_null);
    if (UNLIKELY(p == NULL)) {
        return false;
    }
    p = nullable_skip(p, end, &value_is_null);
    if (UNLIKELY(p == NULL)) {
        return false;
    }
    p = raw_read(p, end, &raw_header_count);
    if (UNLIKELY(p == NULL || headers_skip(p, end, raw_header_count) != end)) {
        return false;
    }
    const int64_t delta = zigzag64_decode(raw_delta);
    if (delta > walk->delta_max) {
        walk->delta_max = delta;
        walk->delta_max_index = walk->index;
    }
    if (UNLIKELY(key_is_null || delta < walk->delta_lowest || delta > walk->delta_highest)) {
        walk_judge(walk, key_is_null, delta);
    }
    return true;
}

/* A length and its bytes, in one or two bytes and not negative but null; NULL: not so simple. Reads
 * up to two bytes at p. */
static inline const uint8_t *simple_skip(const uint8_t *p, const uint8_t *end, bool allow_null)
{
    uint32_t raw = *p++;
    if (raw >= 0x80) {
        if (UNLIKELY(*p >= 0x80)) {
            return NULL;
        }
        raw = (raw & 0x7F) | (uint32_t)*p++ << 7;
    }
    if ((raw & 1) != 0) {
        return allow_null && raw == RAW_NULL ? p : NULL;
    }
    return raw >> 1 <= (size_t)(end - p) ? p + (raw >> 1) : NULL;
}

enum {
    /* Room in a record for what is read before its bounds are known: attributes, timestamp delta,
     * offset delta and key length, of up to two bytes each. */
    SIMPLE_SIZE_MIN = 7,
    SIMPLE_INDEX_MAX = 0x1FFF, /* its zig-zag form fits two bytes */
};

/* Where the parts of a simple record are. */
struct simple_record {
    const uint8_t *offset_delta;
    const uint8_t *key;          /* behind its length */
    const uint8_t *value_length; /* with another byte behind it */
    const uint8_t *value;
    const uint8_t *end;
    int64_t timestamp_delta;
};

/* A record whose varints have up to two bytes, and that has no headers. false says nothing about
 * it: walk_record() judges. */
static inline bool simple_read(const uint8_t *p, const uint8_t *end, uint32_t raw_index,
                               bool allow_null_key, struct simple_record *ret)
{
    if (end - p < SIMPLE_SIZE_MIN + 2) {
        return false;
    }
    uint32_t raw_size = *p++;
    if (raw_size >= 0x80) {
        raw_size = (raw_size & 0x7F) | (uint32_t)*p << 7;
        if (*p++ >= 0x80) {
            return false;
        }
    }
    const size_t size = raw_size >> 1;
    if ((raw_size & 1) != 0 || size < SIMPLE_SIZE_MIN || size > (size_t)(end - p)) {
        return false;
    }
    ret->end = p + size;
    p++; /* attributes */
    uint32_t raw_delta = *p++;
    if (raw_delta >= 0x80) {
        raw_delta = (raw_delta & 0x7F) | (uint32_t)*p << 7;
        if (*p++ >= 0x80) {
            return false;
        }
    }
    ret->timestamp_delta = zigzag32_decode(raw_delta);
    ret->offset_delta = p;
    if (raw_index < 0x80) {
        if (*p++ != raw_index) {
            return false;
        }
    } else if (p[0] == ((raw_index & 0x7F) | 0x80) && p[1] == raw_index >> 7) {
        p += 2;
    } else {
        return false;
    }
    ret->value_length = simple_skip(p, ret->end, allow_null_key);
    if (ret->value_length == NULL || ret->end - ret->value_length < 2) {
        return false;
    }
    ret->key = p + (*p >= 0x80 ? 2 : 1);
    ret->value = ret->value_length + (*ret->value_length >= 0x80 ? 2 : 1);
    p = simple_skip(ret->value_length, ret->end, true);
    return p != NULL && p + 1 == ret->end && *p == 0;
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

static inline uint16_t load16(const uint8_t *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof(half));
    return half;
}

/*
 * Skips the records after the simple one at p that have the same bytes from length to key length
 * but the offset delta, which is one more, and the same value length: equal sizes in the same
 * millisecond, as bulk producers send them. Whatever was right about that one is right about them.
 * The bytes are compared as one little-endian word, in some 15 instructions per record.
 * Returns the last of them, p itself when there is none; moves *index with it.
 */
static inline const uint8_t *skip_alike(const uint8_t *p, const uint8_t *end, int32_t count,
                                        const struct simple_record *first, int32_t *index)
{
    const size_t size = (size_t)(first->end - p);
    const size_t head_size = (size_t)(first->key - p);
    if (head_size > sizeof(uint64_t)) {
        return p;
    }
    const size_t value_length_at = (size_t)(first->value_length - p);
    const uint64_t head_mask = UINT64_MAX >> (8 * (sizeof(uint64_t) - head_size));
    const uint32_t value_length_mask = first->value - first->value_length == 1 ? 0xFF : 0xFFFF;
    const uint32_t value_length = load16(first->value_length) & value_length_mask;
    const unsigned offset_shift = 8 * (unsigned)(first->offset_delta - p);
    const uint64_t step = UINT64_C(2) << offset_shift; /* one, in zig-zag form */
    uint64_t head = load64(p) & head_mask;
    /* The lower seven bits of the delta may rise until they would carry. */
    int32_t left = (int32_t)((0x7E - (head >> offset_shift & 0x7F)) / 2);
    if (left > count - 1 - *index) {
        left = count - 1 - *index;
    }
    const size_t whole = (size_t)(end - p) / size; /* with the first one: at least 1 */
    if (left > (int64_t)whole - 1) {
        left = (int32_t)whole - 1;
    }
    const int32_t left_before = left;
    for (; left > 0; left--) {
        const uint8_t *next = p + size;
        head += step;
        if ((load64(next) & head_mask) != head ||
            (load16(next + value_length_at) & value_length_mask) != value_length ||
            next[size - 1] != 0) {
            break;
        }
        p = next;
    }
    *index += left_before - left;
    return p;
}

/*
 * The records from p on as long as they are simple and nothing is to be said about them. Returns
 * where the first other one begins, which walk_record() judges: so this loop may give up whenever
 * it likes.
 */
__attribute__((noinline)) static const uint8_t *walk_simple(struct walk *walk, const uint8_t *p,
                                                            const uint8_t *end)
{
    const bool allow_null_key = !walk->rules->require_keys;
    const int32_t count = walk->count <= SIMPLE_INDEX_MAX ? walk->count : SIMPLE_INDEX_MAX;
    while (walk->index < count) {
        struct simple_record record;
        if (!simple_read(p, end, (uint32_t)walk->index << 1, allow_null_key, &record) ||
            record.timestamp_delta < walk->delta_lowest ||
            record.timestamp_delta > walk->delta_highest) {
            break;
        }
        if (record.timestamp_delta > walk->delta_max) {
            walk->delta_max = record.timestamp_delta;
            walk->delta_max_index = walk->index;
        }
        const size_t size = (size_t)(record.end - p);
        /* Only if the next one begins with the same length: else it is not worth the setting up. */
        if (walk->index + 1 < count && record.end < end && *record.end == *p) {
            p = skip_alike(p, end, count, &record, &walk->index);
        }
        p += size;
        walk->index++;
    }
    return p;
}

/* All records that are whole in the window; moves it. *ret_needed: bytes that the next record
 * needs, 0 when all are done. */
static enum error walk_window(struct walk *walk, struct inflate_stream *stream, size_t *ret_needed)
{
    const uint8_t *p = stream->next;
    const uint8_t *end = stream->end;
    *ret_needed = 0;
    for (;;) {
        uint32_t raw_size;
        p = walk_simple(walk, p, end);
        if (walk->index == walk->count) {
            break;
        }
        const uint8_t *body = raw_read(p, end, &raw_size);
        if (UNLIKELY(body == NULL)) {
            *ret_needed = UVARINT32_SIZE_MAX;
            break;
        }
        const size_t size = raw_size >> 1;
        if (UNLIKELY((raw_size & 1) != 0)) {
            return E_INVALID_RECORD;
        }
        if (UNLIKELY(size > (size_t)(end - body))) {
            *ret_needed = (size_t)(body - p) + size;
            break;
        }
        p = body + size;
        if (UNLIKELY(!walk_record(walk, body, p))) {
            return E_INVALID_RECORD;
        }
        walk->index++;
    }
    stream->next = p;
    return E_OK;
}

/* More of the stream, at least size bytes or all that is left. Progress or E_INVALID_RECORD. */
static enum error walk_more(struct inflate_stream *stream, size_t size)
{
    const size_t before = inflate_available(stream);
    enum error error = inflate_fill(stream, size);
    if (error == E_CORRUPT_MESSAGE || error == E_MESSAGE_TOO_LARGE) {
        return E_INVALID_RECORD;
    }
    if (error == E_OK && inflate_available(stream) == before) {
        return E_INVALID_RECORD; /* the records end before their count */
    }
    return error;
}

static enum error walk_stream(struct walk *walk, struct inflate_stream *stream)
{
    for (;;) {
        size_t needed;
        enum error error = walk_window(walk, stream, &needed);
        if (error != E_OK || needed == 0) {
            return error;
        }
        error = walk_more(stream, needed);
        if (error != E_OK) {
            return error;
        }
    }
}

/* Nothing may follow the last record; also makes the codec check its end mark and checksum. */
static enum error walk_end(struct inflate_stream *stream)
{
    const enum error error = inflate_fill(stream, 1);
    if (error == E_CORRUPT_MESSAGE || error == E_MESSAGE_TOO_LARGE) {
        return E_INVALID_RECORD;
    }
    if (error == E_OK && inflate_available(stream) != 0) {
        return E_INVALID_RECORD;
    }
    return error;
}

static enum error validate_records(struct slice records, const struct record_rules *rules,
                                   struct inflate_scratch *scratch, struct record_report *report)
{
    const struct inflate_source source = {
        .codec = batch_header_codec(&report->header),
        .magic = 2,
        .bytes = slice_of(records.data + RECORD_BATCH_HEADER_SIZE,
                          records.size - RECORD_BATCH_HEADER_SIZE),
        .size_max = inflate_size_max((size_t)rules->size_max),
    };
    struct walk walk;
    struct inflate_stream stream;
    walk_init(&walk, rules, report);
    report->text = "The records break their format.";
    enum error error = inflate_open(&stream, scratch, &source);
    if (error != E_OK) {
        return error == E_CORRUPT_MESSAGE ? E_INVALID_RECORD : error;
    }
    error = walk_stream(&walk, &stream);
    if (error == E_OK) {
        error = walk_end(&stream);
    }
    inflate_close(&stream);
    if (error != E_OK) {
        report->error_count = 0;
        return error;
    }
    report->text = NULL;
    if (report->error_count > 0) {
        return report->errors[0].kind == RECORD_ERROR_TIMESTAMP ? E_INVALID_TIMESTAMP
                                                                : E_INVALID_RECORD;
    }
    report->max_timestamp = add_saturating(report->header.base_timestamp, walk.delta_max);
    report->max_timestamp_delta = walk.delta_max_index;
    return E_OK;
}

/* Compressed records that are not looked at: what the header says must do. */
static enum error validate_unseen(const struct record_rules *rules, struct record_report *report)
{
    struct walk walk;
    const struct batch_header *header = &report->header;
    walk_init(&walk, rules, report);
    walk_judge(&walk, false, subtract_saturating(header->max_timestamp, header->base_timestamp));
    if (report->error_count > 0) {
        return E_INVALID_TIMESTAMP;
    }
    report->max_timestamp = header->max_timestamp;
    report->max_timestamp_delta = header->last_offset_delta;
    return E_OK;
}

/* What is wrong with the header of a batch whose CRC matches; NULL when nothing is. */
static const char *header_fault(const struct batch_header *header, const struct record_rules *rules)
{
    const uint16_t attributes = header->attributes;
    const bool is_control = (attributes & BATCH_ATTRIBUTE_CONTROL) != 0;
    const bool is_transactional = (attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
    if (header->base_offset != 0) {
        return "The base offset of the record batch must be 0.";
    }
    if (header->count == 0 || header->count - 1 != header->last_offset_delta) {
        return "The record count and the last offset of the record batch contradict.";
    }
    if (is_control && !rules->allow_control) {
        return "Clients are not allowed to write control records.";
    }
    if ((attributes & BATCH_ATTRIBUTE_DELETE_HORIZON) != 0) {
        return "The record batch has a delete horizon.";
    }
    if (header->producer_id >= 0 && !is_control &&
        (header->base_sequence < 0 || header->producer_epoch < 0)) {
        return "The record batch has a producer id without sequence or epoch.";
    }
    if (header->producer_id < 0 && is_transactional) {
        return "The record batch is transactional without a producer id.";
    }
    return NULL;
}

/* Exactly one batch of magic 2 that fills the field, in Kafka's order of checks. */
static enum error validate_field(struct slice records, const struct record_rules *rules,
                                 struct record_report *report)
{
    if (UNLIKELY(records.size < BATCH_PREFIX_AND_MAGIC_SIZE)) {
        report->text = "Exactly one record batch is needed per partition.";
        return E_INVALID_RECORD;
    }
    const int8_t magic = batch_magic(records.data);
    if (UNLIKELY(magic == 0 || magic == 1)) {
        report->text = "Only record batches of magic 2 are allowed.";
        return E_INVALID_RECORD;
    }
    const int64_t size = batch_size(records.data);
    if (UNLIKELY(magic != 2 || size < RECORD_BATCH_HEADER_SIZE)) {
        report->text = "The record batch has an unknown magic or no header.";
        return E_CORRUPT_MESSAGE;
    }
    if (UNLIKELY((uint64_t)size != records.size)) {
        report->text = "Exactly one record batch is needed per partition.";
        return E_INVALID_RECORD;
    }
    if (UNLIKELY(batch_codec(records.data) == CODEC_ZSTD && !rules->allow_zstd)) {
        report->text = "Produce requests below version 7 are not allowed to use ZStandard.";
        return E_UNSUPPORTED_COMPRESSION_TYPE;
    }
    if (UNLIKELY(size > rules->size_max)) {
        report->text = "The record batch is larger than max.message.bytes.";
        return E_MESSAGE_TOO_LARGE;
    }
    if (UNLIKELY(!batch_crc_matches(records.data))) {
        report->text = "The CRC of the record batch does not match.";
        return E_CORRUPT_MESSAGE;
    }
    return E_OK;
}

enum error record_validate(struct slice records, const struct record_rules *rules,
                           struct inflate_scratch *scratch, struct record_report *ret_report)
{
    struct record_report *report = ret_report;
    report->error_count = 0;
    report->text = NULL;
    enum error error = validate_field(records, rules, report);
    if (UNLIKELY(error != E_OK)) {
        return error;
    }
    if (UNLIKELY(batch_header_decode(records, &report->header) != E_OK)) {
        /* The CRC matches, so a producer means it: not damage. */
        report->text = "The header of the record batch contradicts itself.";
        return (batch_attributes(records.data) & BATCH_ATTRIBUTE_CODEC) > CODEC_ZSTD
                   ? E_UNSUPPORTED_COMPRESSION_TYPE
                   : E_INVALID_RECORD;
    }
    report->text = header_fault(&report->header, rules);
    if (UNLIKELY(report->text != NULL)) {
        return E_INVALID_RECORD;
    }
    if (UNLIKELY((report->header.attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0)) {
        report->text = "Producers may not set the timestamp type LogAppendTime.";
        return E_INVALID_TIMESTAMP;
    }
    const enum codec codec = batch_header_codec(&report->header);
    if (codec == CODEC_LZ4 && records.size > RECORD_BATCH_HEADER_SIZE &&
        !lz4_frame_is_independent(slice_of(records.data + RECORD_BATCH_HEADER_SIZE,
                                           records.size - RECORD_BATCH_HEADER_SIZE))) {
        report->text = "The LZ4 frame has dependent blocks, which Java consumers cannot read.";
        return E_INVALID_RECORD;
    }
    if (codec != CODEC_NONE && !rules->inflate && !rules->require_keys) {
        return validate_unseen(rules, report);
    }
    return validate_records(records, rules, scratch, report);
}
