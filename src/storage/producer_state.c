/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/producer_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    FREE_UNDO_COUNT_MAX = 4, /* kept for the next turn; more are rare */
    UNREPLICATED_CAPACITY_FIRST = 4,
    UNREPLICATED_CAPACITY_IDLE_MAX = 64,
};

struct producer_undo {
    struct list node;
    struct producer *producer;
    struct producer_values before;
    bool is_new; /* the producer did not exist */
};

static const struct producer_values values_none = {
    .last_timestamp = NO_TIMESTAMP,
    .current_txn_first_offset = -1,
    .coordinator_epoch = -1,
    .producer_epoch = NO_PRODUCER_EPOCH,
};

void producer_state_init(struct producer_state *state, uint64_t seed)
{
    *state = (struct producer_state){0};
    hash_table_init(&state->producers, seed);
    list_init(&state->ongoing);
    list_init(&state->undos);
    list_init(&state->free_undos);
}

static void free_undos(struct list *undos)
{
    struct list *node;
    while ((node = list_pop_front(undos)) != NULL) {
        free(container_of(node, struct producer_undo, node));
    }
}

void producer_state_clear(struct producer_state *state)
{
    struct hash_node *node = hash_table_next(&state->producers, NULL);
    while (node != NULL) {
        struct producer *producer = container_of(node, struct producer, node);
        node = hash_table_next(&state->producers, node);
        hash_table_remove(&state->producers, &producer->node);
        free(producer);
    }
    list_init(&state->ongoing);
    free_undos(&state->undos);
    state->unreplicated_count = 0;
    state->marker_count = 0;
}

void producer_state_done(struct producer_state *state)
{
    producer_state_clear(state);
    free_undos(&state->free_undos);
    hash_table_done(&state->producers);
    free(state->unreplicated);
}

struct producer *producer_state_find(const struct producer_state *state, int64_t producer_id)
{
    const uint64_t hash = hash_u64((uint64_t)producer_id, state->producers.seed);
    struct hash_node *node = hash_table_find(&state->producers, hash);
    while (node != NULL) {
        struct producer *producer = container_of(node, struct producer, node);
        if (producer->producer_id == producer_id) {
            return producer;
        }
        node = hash_node_next(node);
    }
    return NULL;
}

/* --- check --- */

static int32_t last_sequence(const struct producer_values *values)
{
    return values->batch_count == 0 ? NO_SEQUENCE
                                    : values->batches[values->batch_count - 1].last_sequence;
}

static const struct producer_batch *find_duplicate(const struct producer_values *values,
                                                   const struct batch_header *header)
{
    if (header->producer_epoch != values->producer_epoch || header->base_sequence < 0) {
        return NULL;
    }
    for (uint8_t i = 0; i < values->batch_count; i++) {
        const struct producer_batch *batch = &values->batches[i];
        if (batch->offset_delta == header->last_offset_delta &&
            batch->last_sequence == batch_header_last_sequence(header)) {
            return batch;
        }
    }
    return NULL;
}

/* Rule 25. values has the same producer id. */
static enum error check_sequence(const struct producer_values *values,
                                 const struct batch_header *header)
{
    if (values->producer_epoch == NO_PRODUCER_EPOCH) {
        return E_OK;
    }
    if (header->producer_epoch != values->producer_epoch) {
        return header->base_sequence == 0 ? E_OK : E_OUT_OF_ORDER_SEQUENCE_NUMBER;
    }
    const int32_t last = last_sequence(values);
    const int32_t expected = last == NO_SEQUENCE ? 0 : sequence_add(last, 1);
    return header->base_sequence == expected ? E_OK : E_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

enum error producer_state_check(const struct producer_state *state,
                                const struct producer_append *append,
                                const struct producer_batch **ret_duplicate)
{
    const struct batch_header *header = append->header;
    const struct producer *producer = producer_state_find(state, header->producer_id);
    *ret_duplicate = NULL;
    if (append->origin == APPEND_FROM_LEADER || producer == NULL) {
        return E_OK;
    }
    const struct producer_values *values = &producer->values;
    if (append->origin == APPEND_FROM_CLIENT && append->marker == NULL) {
        *ret_duplicate = find_duplicate(values, header);
        if (*ret_duplicate != NULL) {
            return E_OK;
        }
    }
    if (header->producer_epoch < values->producer_epoch) {
        return E_INVALID_PRODUCER_EPOCH;
    }
    if (append->marker != NULL) {
        return append->marker->coordinator_epoch < values->coordinator_epoch
                   ? E_TRANSACTION_COORDINATOR_FENCED
                   : E_OK;
    }
    if (append->origin == APPEND_FROM_CLIENT) {
        const enum error error = check_sequence(values, header);
        if (error != E_OK) {
            return error;
        }
    }
    const bool is_transactional = (header->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
    return values->current_txn_first_offset >= 0 && !is_transactional ? E_INVALID_TXN_STATE : E_OK;
}

/* --- apply and undo --- */

static struct producer *add_producer(struct producer_state *state, int64_t producer_id)
{
    struct producer *producer = malloc(sizeof(*producer));
    if (producer == NULL) {
        return NULL;
    }
    *producer = (struct producer){
        .producer_id = producer_id, .values = values_none, .ongoing_first_offset = -1};
    producer->node.hash = hash_u64((uint64_t)producer_id, state->producers.seed);
    list_init(&producer->ongoing_node);
    if (!hash_table_insert(&state->producers, &producer->node)) {
        free(producer);
        return NULL;
    }
    return producer;
}

static void remove_producer(struct producer_state *state, struct producer *producer)
{
    hash_table_remove(&state->producers, &producer->node);
    list_remove(&producer->ongoing_node);
    free(producer);
}

static struct producer_undo *take_undo(struct producer_state *state)
{
    struct list *node = list_pop_front(&state->free_undos);
    if (node != NULL) {
        state->free_undo_count--;
        return container_of(node, struct producer_undo, node);
    }
    return malloc(sizeof(struct producer_undo));
}

static void give_undo(struct producer_state *state, struct producer_undo *undo)
{
    if (state->free_undo_count == FREE_UNDO_COUNT_MAX) {
        free(undo);
        return;
    }
    list_push_front(&state->free_undos, &undo->node);
    state->free_undo_count++;
}

/* The producer of a batch, made if it is new, with its undo copy. NULL: no memory. */
static struct producer *touch_producer(struct producer_state *state, int64_t producer_id)
{
    struct producer *producer = producer_state_find(state, producer_id);
    if (producer != NULL && producer->undo != NULL) {
        return producer;
    }
    struct producer_undo *undo = take_undo(state);
    if (undo == NULL) {
        return NULL;
    }
    undo->is_new = producer == NULL;
    if (producer == NULL) {
        producer = add_producer(state, producer_id);
        if (producer == NULL) {
            give_undo(state, undo);
            return NULL;
        }
    }
    undo->producer = producer;
    undo->before = producer->values;
    producer->undo = undo;
    list_push_back(&state->undos, &undo->node);
    return producer;
}

static bool reserve_unreplicated(struct producer_state *state)
{
    if (state->unreplicated_count + state->marker_count < state->unreplicated_capacity) {
        return true;
    }
    const uint32_t capacity = state->unreplicated_capacity == 0 ? UNREPLICATED_CAPACITY_FIRST
                                                                : state->unreplicated_capacity * 2;
    struct completed_transaction *items = realloc(state->unreplicated, capacity * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    state->unreplicated = items;
    state->unreplicated_capacity = capacity;
    return true;
}

static void set_epoch(struct producer_values *values, int16_t producer_epoch)
{
    if (values->producer_epoch != producer_epoch) {
        values->producer_epoch = producer_epoch;
        values->batch_count = 0;
    }
}

static void add_batch(struct producer_values *values, const struct batch_header *header)
{
    if (values->batch_count == PRODUCER_BATCH_COUNT_MAX) {
        memmove(values->batches, values->batches + 1,
                (PRODUCER_BATCH_COUNT_MAX - 1) * sizeof(values->batches[0]));
        values->batch_count--;
    }
    values->batches[values->batch_count++] = (struct producer_batch){
        .last_offset = batch_header_last_offset(header),
        .timestamp = header->max_timestamp,
        .last_sequence = batch_header_last_sequence(header),
        .offset_delta = header->last_offset_delta,
    };
}

enum error producer_state_apply(struct producer_state *state, const struct producer_append *append)
{
    const struct batch_header *header = append->header;
    check(header->producer_id >= 0);
    if (append->marker != NULL && !reserve_unreplicated(state)) {
        return E_LOCAL_NO_MEMORY;
    }
    struct producer *producer = touch_producer(state, header->producer_id);
    if (producer == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    struct producer_values *values = &producer->values;
    set_epoch(values, header->producer_epoch);
    values->last_timestamp = header->max_timestamp;
    values->last_write_ms = append->now_ms;
    if (append->marker != NULL) {
        values->coordinator_epoch = append->marker->coordinator_epoch;
        values->current_txn_first_offset = -1;
        state->marker_count++;
        return E_OK;
    }
    add_batch(values, header);
    const bool is_transactional = (header->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
    if (is_transactional && values->current_txn_first_offset < 0) {
        values->current_txn_first_offset = header->base_offset;
    }
    return E_OK;
}

void producer_state_seal(struct producer_state *state)
{
    struct list *node;
    while ((node = list_pop_front(&state->undos)) != NULL) {
        struct producer_undo *undo = container_of(node, struct producer_undo, node);
        undo->producer->undo = NULL;
        give_undo(state, undo);
    }
    state->marker_count = 0;
}

void producer_state_rollback(struct producer_state *state)
{
    struct list *node;
    while ((node = list_pop_front(&state->undos)) != NULL) {
        struct producer_undo *undo = container_of(node, struct producer_undo, node);
        struct producer *producer = undo->producer;
        producer->values = undo->before;
        producer->undo = NULL;
        if (undo->is_new) {
            check(producer->ongoing_first_offset < 0);
            remove_producer(state, producer);
        }
        give_undo(state, undo);
    }
    state->marker_count = 0;
}

/* --- commit: transactions --- */

static void open_transaction(struct producer_state *state, struct producer *producer,
                             int64_t first_offset)
{
    struct list *at = &state->ongoing; /* insert before: behind all that began earlier (P1) */
    while (at->prev != &state->ongoing) {
        const struct producer *before = container_of(at->prev, struct producer, ongoing_node);
        if (before->ongoing_first_offset <= first_offset) {
            break;
        }
        at = at->prev;
    }
    list_insert_before(at, &producer->ongoing_node);
    producer->ongoing_first_offset = first_offset;
}

bool producer_state_commit(struct producer_state *state, const struct producer_append *append,
                           struct completed_transaction *ret_completed)
{
    const struct batch_header *header = append->header;
    struct producer *producer = producer_state_find(state, header->producer_id);
    check(producer != NULL);
    if (append->marker == NULL) {
        const bool is_transactional = (header->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
        if (is_transactional && producer->ongoing_first_offset < 0) {
            open_transaction(state, producer, header->base_offset);
        }
        return false;
    }
    check(state->marker_count > 0);
    state->marker_count--;
    if (producer->ongoing_first_offset < 0) {
        return false; /* an empty transaction's marker changes nothing (rule 31) */
    }
    const struct completed_transaction completed = {
        .producer_id = producer->producer_id,
        .first_offset = producer->ongoing_first_offset,
        .last_offset = batch_header_last_offset(header),
        .is_aborted = !append->marker->is_commit,
    };
    list_remove(&producer->ongoing_node);
    producer->ongoing_first_offset = -1;
    check(state->unreplicated_count < state->unreplicated_capacity);
    state->unreplicated[state->unreplicated_count++] = completed;
    *ret_completed = completed;
    return true;
}

enum error producer_state_replay(struct producer_state *state, const struct producer_append *append,
                                 bool *ret_is_completed,
                                 struct completed_transaction *ret_completed)
{
    const enum error error = producer_state_apply(state, append);
    if (error != E_OK) {
        return error;
    }
    *ret_is_completed = producer_state_commit(state, append, ret_completed);
    producer_state_seal(state);
    return E_OK;
}

int64_t producer_state_first_ongoing(const struct producer_state *state)
{
    if (list_is_empty(&state->ongoing)) {
        return -1;
    }
    return container_of(state->ongoing.next, struct producer, ongoing_node)->ongoing_first_offset;
}

int64_t producer_state_first_unstable(const struct producer_state *state)
{
    int64_t first = producer_state_first_ongoing(state);
    for (uint32_t i = 0; i < state->unreplicated_count; i++) {
        const int64_t offset = state->unreplicated[i].first_offset;
        first = first < 0 || offset < first ? offset : first;
    }
    return first;
}

void producer_state_set_high_watermark(struct producer_state *state, int64_t high_watermark)
{
    uint32_t passed = 0;
    while (passed < state->unreplicated_count &&
           state->unreplicated[passed].last_offset < high_watermark) {
        passed++;
    }
    if (passed == 0) {
        return;
    }
    state->unreplicated_count -= passed;
    memmove(state->unreplicated, state->unreplicated + passed,
            state->unreplicated_count * sizeof(*state->unreplicated));
    if (state->unreplicated_count + state->marker_count == 0 &&
        state->unreplicated_capacity > UNREPLICATED_CAPACITY_IDLE_MAX) {
        free(state->unreplicated);
        state->unreplicated = NULL;
        state->unreplicated_capacity = 0;
    }
}

void producer_state_expire(struct producer_state *state, int64_t now_ms, int64_t expiration_ms)
{
    if (!list_is_empty(&state->undos)) {
        return;
    }
    struct hash_node *node = hash_table_next(&state->producers, NULL);
    while (node != NULL) {
        struct producer *producer = container_of(node, struct producer, node);
        node = hash_table_next(&state->producers, node);
        if (producer->values.current_txn_first_offset < 0 &&
            now_ms - producer->values.last_write_ms >= expiration_ms) {
            remove_producer(state, producer);
        }
    }
}

enum error producer_state_restore(struct producer_state *state, int64_t producer_id,
                                  const struct producer_values *values)
{
    if (producer_state_find(state, producer_id) != NULL) {
        return E_LOCAL_CORRUPT;
    }
    struct producer *producer = add_producer(state, producer_id);
    if (producer == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    producer->values = *values;
    if (values->current_txn_first_offset >= 0) {
        open_transaction(state, producer, values->current_txn_first_offset);
    }
    return E_OK;
}

/* --- markers --- */

bool transaction_marker_parse(const uint8_t *body, size_t body_size,
                              struct transaction_marker *ret_marker)
{
    enum { KEY_SIZE = 4, VALUE_SIZE = 6, TYPE_ABORT = 0, TYPE_COMMIT = 1 };
    if (body_size <= RECORD_BATCH_HEADER_SIZE + 1) {
        return false;
    }
    const uint8_t *p = body + RECORD_BATCH_HEADER_SIZE;
    const uint8_t *end = body + body_size;
    int32_t size;
    int64_t timestamp_delta;
    if ((p = varint_read(p, end, &size)) == NULL || p == end ||
        (p = varlong_read(p + 1, end, &timestamp_delta)) == NULL ||
        (p = varint_read(p, end, &size)) == NULL || /* offset delta */
        (p = varint_read(p, end, &size)) == NULL || size != KEY_SIZE || end - p < KEY_SIZE) {
        return false;
    }
    const uint16_t type = be16_load(p + 2);
    p += KEY_SIZE;
    if ((type != TYPE_ABORT && type != TYPE_COMMIT) || (p = varint_read(p, end, &size)) == NULL ||
        size < VALUE_SIZE || end - p < VALUE_SIZE) {
        return false;
    }
    ret_marker->is_commit = type == TYPE_COMMIT;
    ret_marker->coordinator_epoch = (int32_t)be32_load(p + 2);
    return true;
}
