/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/fetch_session.h"

#include <stdlib.h>

#include "base/check.h"

enum {
    EPOCH_FULL = 0,   /* a full request that wants a session */
    EPOCH_FINAL = -1, /* a full request that wants none and closes the one it names */
    VERSION_TOPIC_IDS = 13,
    /* As Kafka: a session unused for so long may be replaced by any; one that has lived for so long
     * may be replaced by a larger one. */
    EVICTION_MS = 120 * 1000,
    /* What the heap and the table of a session need for each partition, besides the struct. */
    PARTITION_OVERHEAD = 32,
};

struct fetch_session {
    struct hash_node by_id;
    struct list by_use; /* the one used longest ago is first */
    struct fetch_set set;
    struct hash_table partitions;
    int32_t id;
    int32_t epoch; /* that the next request must have */
    bool by_topic_id;
    int8_t isolation_level; /* of the request before */
    int64_t created_ms;
    int64_t used_ms;
    size_t memory;
};

struct fetch_sessions {
    struct fetch_session_limits limits;
    struct rng *rng;
    struct hash_table by_id;
    struct list by_use;
    uint64_t seed; /* of partition keys */
    size_t memory;
};

/* --- sets --- */

static void set_init(struct fetch_set *set, struct fetch_session *session)
{
    *set = (struct fetch_set){.session = session};
    list_init(&set->active);
    list_init(&set->clean);
}

static void activate(struct fetch_partition *part)
{
    if (!part->is_active) {
        list_remove(&part->node);
        list_push_back(&part->set->active, &part->node);
        part->is_active = true;
    }
}

static void on_partition_change(struct partition_watcher *watcher)
{
    struct fetch_partition *part = container_of(watcher, struct fetch_partition, watcher);
    struct fetch_plan *plan = part->set->plan;
    activate(part);
    if (plan == NULL) {
        partition_unwatch(watcher); /* F3 */
    } else if (plan->on_change != NULL) {
        plan->on_change(plan, part);
    }
}

static void watch(struct fetch_partition *part)
{
    if (part->part != NULL && list_is_empty(&part->watcher.node)) {
        partition_watch(part->part, &part->watcher);
    }
}

static void set_add(struct fetch_set *set, struct fetch_partition *part)
{
    part->set = set;
    part->is_active = true;
    part->told_high_watermark = -1;
    part->told_log_start = -1;
    part->watcher.on_change = on_partition_change;
    list_init(&part->watcher.node);
    list_push_back(&set->active, &part->node);
    set->count++;
}

/* The partition leaves the set; its memory is the caller's. */
static void set_remove(struct fetch_partition *part)
{
    check(part->set->count > 0);
    part->set->count--;
    list_remove(&part->node);
    partition_unwatch(&part->watcher);
    part->part = partition_unref(part->part);
}

void fetch_set_activate_all(struct fetch_set *set)
{
    LIST_FOREACH (node, &set->clean) {
        container_of(node, struct fetch_partition, node)->is_active = true;
    }
    list_splice_back(&set->active, &set->clean);
}

/* F1, F2. */
static void set_settle(struct fetch_set *set)
{
    struct list before;
    struct list had_data;
    struct list *node;
    list_init(&before);
    list_init(&had_data);
    list_splice_back(&before, &set->active);
    while ((node = list_pop_front(&before)) != NULL) {
        struct fetch_partition *part = container_of(node, struct fetch_partition, node);
        if (part->outcome == FETCH_AT_END) {
            part->is_active = false;
            watch(part);
            list_push_back(&set->clean, node);
            continue;
        }
        partition_unwatch(&part->watcher);
        list_push_back(part->outcome == FETCH_HAD_DATA ? &had_data : &set->active, node);
    }
    list_splice_back(&set->active, &had_data);
}

static void forget_items(struct fetch_set *set)
{
    LIST_FOREACH (node, &set->active) {
        container_of(node, struct fetch_partition, node)->item = NULL;
    }
}

/* Of one request: its partitions lie in the arena. */
static void set_done(struct fetch_set *set)
{
    struct list *node;
    fetch_set_activate_all(set);
    while ((node = list_pop_front(&set->active)) != NULL) {
        set_remove(container_of(node, struct fetch_partition, node));
    }
}

/* --- partitions of a session --- */

struct partition_key {
    struct slice topic;
    const struct uuid *topic_id;
    int32_t partition;
};

static uint64_t key_hash(const struct fetch_sessions *sessions, const struct partition_key *key)
{
    const uint64_t topic =
        hash_bytes(key->topic, sessions->seed) ^
        hash_bytes(slice_of(key->topic_id, sizeof(*key->topic_id)), sessions->seed + 1);
    return hash_u64(topic + (uint32_t)key->partition, sessions->seed);
}

static struct fetch_partition *session_find(const struct fetch_session *session,
                                            const struct partition_key *key, uint64_t hash)
{
    for (struct hash_node *node = hash_table_find(&session->partitions, hash); node != NULL;
         node = hash_node_next(node)) {
        struct fetch_partition *part = container_of(node, struct fetch_partition, by_key);
        if (part->partition == key->partition && slice_equal(part->topic, key->topic) &&
            uuid_equal(&part->topic_id, key->topic_id)) {
            return part;
        }
    }
    return NULL;
}

static size_t partition_memory(struct slice topic)
{
    return sizeof(struct fetch_partition) + topic.size + PARTITION_OVERHEAD;
}

static void session_charge(struct fetch_sessions *sessions, struct fetch_session *session,
                           size_t size)
{
    session->memory += size;
    sessions->memory += size;
}

static void session_drop_partition(struct fetch_sessions *sessions, struct fetch_session *session,
                                   struct fetch_partition *part)
{
    const size_t size = partition_memory(part->topic);
    session->memory -= size;
    sessions->memory -= size;
    hash_table_remove(&session->partitions, &part->by_key);
    set_remove(part);
    free(part);
}

/* NULL: over the limit, or no memory. */
static struct fetch_partition *session_add(struct fetch_sessions *sessions,
                                           struct fetch_session *session,
                                           const struct partition_key *key, uint64_t hash)
{
    const size_t size = partition_memory(key->topic);
    if (size > sessions->limits.memory_max - sessions->memory) {
        return NULL;
    }
    struct fetch_partition *part = calloc(1, sizeof(*part) + key->topic.size);
    if (part == NULL) {
        return NULL;
    }
    uint8_t *name = (uint8_t *)(part + 1);
    if (key->topic.size > 0) {
        memcpy(name, key->topic.data, key->topic.size);
    }
    part->topic = slice_of(name, key->topic.size);
    part->topic_id = *key->topic_id;
    part->partition = key->partition;
    part->by_key.hash = hash;
    if (!hash_table_insert(&session->partitions, &part->by_key)) {
        free(part);
        return NULL;
    }
    session_charge(sessions, session, size);
    set_add(&session->set, part);
    return part;
}

static void note_request(struct fetch_partition *part,
                         const struct fetch_request_fetch_partition *source)
{
    part->current_leader_epoch = source->current_leader_epoch;
    part->fetch_offset = source->fetch_offset;
    part->max_bytes = source->partition_max_bytes;
}

/* Adds what is new, updates what is known. false: over the limit, or no memory. */
static bool session_update(struct fetch_sessions *sessions, struct fetch_session *session,
                           const struct fetch_request *request)
{
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct fetch_request_fetch_topic *topic = &request->topics.items[i];
        for (uint32_t j = 0; j < topic->partitions.count; j++) {
            const struct partition_key key = {
                .topic = topic->topic,
                .topic_id = &topic->topic_id,
                .partition = topic->partitions.items[j].partition,
            };
            const uint64_t hash = key_hash(sessions, &key);
            struct fetch_partition *part = session_find(session, &key, hash);
            if (part == NULL) {
                part = session_add(sessions, session, &key, hash);
            }
            if (part == NULL) {
                return false;
            }
            activate(part);
            note_request(part, &topic->partitions.items[j]);
        }
    }
    return true;
}

static void session_forget(struct fetch_sessions *sessions, struct fetch_session *session,
                           const struct fetch_request *request)
{
    for (uint32_t i = 0; i < request->forgotten_topics_data.count; i++) {
        const struct fetch_request_forgotten_topic *topic =
            &request->forgotten_topics_data.items[i];
        for (uint32_t j = 0; j < topic->partitions.count; j++) {
            const struct partition_key key = {
                .topic = topic->topic,
                .topic_id = &topic->topic_id,
                .partition = topic->partitions.items[j],
            };
            struct fetch_partition *part = session_find(session, &key, key_hash(sessions, &key));
            if (part != NULL) {
                session_drop_partition(sessions, session, part);
            }
        }
    }
}

/* --- sessions --- */

/* F4. */
static void session_interrupt(struct fetch_session *session, enum error error)
{
    struct fetch_plan *plan = session->set.plan;
    if (plan == NULL) {
        return;
    }
    forget_items(&session->set);
    session->set.plan = NULL;
    plan->set = NULL;
    plan->error = error;
    plan->on_lost(plan);
}

static void session_remove(struct fetch_sessions *sessions, struct fetch_session *session)
{
    session_interrupt(session, E_FETCH_SESSION_ID_NOT_FOUND);
    fetch_set_activate_all(&session->set);
    while (!list_is_empty(&session->set.active)) {
        session_drop_partition(
            sessions, session,
            container_of(session->set.active.next, struct fetch_partition, node));
    }
    check(session->memory == sizeof(*session) && session->set.count == 0);
    sessions->memory -= sizeof(*session);
    hash_table_done(&session->partitions);
    hash_table_remove(&sessions->by_id, &session->by_id);
    list_remove(&session->by_use);
    free(session);
}

static struct fetch_session *find_session(struct fetch_sessions *sessions, int32_t id)
{
    const uint64_t hash = hash_u64((uint32_t)id, sessions->by_id.seed);
    for (struct hash_node *node = hash_table_find(&sessions->by_id, hash); node != NULL;
         node = hash_node_next(node)) {
        struct fetch_session *session = container_of(node, struct fetch_session, by_id);
        if (session->id == id) {
            return session;
        }
    }
    return NULL;
}

/* The smallest of those that may give way to a larger one; NULL: none. */
static struct fetch_session *find_smallest_evictable(struct fetch_sessions *sessions,
                                                     int64_t now_ms)
{
    struct fetch_session *smallest = NULL;
    LIST_FOREACH (node, &sessions->by_use) {
        struct fetch_session *session = container_of(node, struct fetch_session, by_use);
        if (session->set.plan == NULL && now_ms - session->created_ms > EVICTION_MS &&
            (smallest == NULL || session->set.count < smallest->set.count)) {
            smallest = session;
        }
    }
    return smallest;
}

/* As Kafka's tryEvict: one that is stale, else a smaller one that is not young. */
static bool evict(struct fetch_sessions *sessions, uint32_t partition_count, int64_t now_ms)
{
    if (list_is_empty(&sessions->by_use)) {
        return false;
    }
    struct fetch_session *oldest =
        container_of(sessions->by_use.next, struct fetch_session, by_use);
    if (oldest->set.plan == NULL && now_ms - oldest->used_ms > EVICTION_MS) {
        session_remove(sessions, oldest);
        return true;
    }
    struct fetch_session *smallest = find_smallest_evictable(sessions, now_ms);
    if (smallest == NULL || smallest->set.count >= partition_count) {
        return false;
    }
    session_remove(sessions, smallest);
    return true;
}

static uint32_t count_partitions(const struct fetch_request *request)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partitions.count;
    }
    return count;
}

static bool make_room(struct fetch_sessions *sessions, uint32_t partition_count, int64_t now_ms)
{
    const size_t size =
        sizeof(struct fetch_session) +
        (size_t)partition_count * (sizeof(struct fetch_partition) + PARTITION_OVERHEAD);
    if (size > sessions->limits.memory_max) {
        return false;
    }
    while (sessions->by_id.count >= sessions->limits.session_count_max ||
           size > sessions->limits.memory_max - sessions->memory) {
        if (!evict(sessions, partition_count, now_ms)) {
            return false;
        }
    }
    return true;
}

/* Not to be guessed by others, not 0, not in use. */
static int32_t make_id(struct fetch_sessions *sessions)
{
    for (;;) {
        const int32_t id = (int32_t)(1 + rng_below(sessions->rng, INT32_MAX));
        if (find_session(sessions, id) == NULL) {
            return id;
        }
    }
}

/* NULL: no room. */
static struct fetch_session *session_new(struct fetch_sessions *sessions,
                                         const struct fetch_request *request, bool by_topic_id,
                                         int64_t now_ms)
{
    if (!make_room(sessions, count_partitions(request), now_ms)) {
        return NULL;
    }
    struct fetch_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return NULL;
    }
    session->id = make_id(sessions);
    session->epoch = 1;
    session->by_topic_id = by_topic_id;
    session->isolation_level = request->isolation_level;
    session->created_ms = now_ms;
    session->used_ms = now_ms;
    session->by_id.hash = hash_u64((uint32_t)session->id, sessions->by_id.seed);
    hash_table_init(&session->partitions, sessions->seed);
    set_init(&session->set, session);
    if (!hash_table_insert(&sessions->by_id, &session->by_id)) {
        free(session);
        return NULL;
    }
    list_push_back(&sessions->by_use, &session->by_use);
    session_charge(sessions, session, sizeof(*session));
    if (!session_update(sessions, session, request)) {
        session_remove(sessions, session);
        return NULL;
    }
    return session;
}

static void session_touch(struct fetch_sessions *sessions, struct fetch_session *session,
                          int64_t now_ms)
{
    session->used_ms = now_ms;
    list_remove(&session->by_use);
    list_push_back(&sessions->by_use, &session->by_use);
}

struct fetch_sessions *fetch_sessions_new(const struct fetch_session_limits *limits,
                                          struct rng *rng)
{
    struct fetch_sessions *sessions = calloc(1, sizeof(*sessions));
    if (sessions == NULL) {
        return NULL;
    }
    sessions->limits = *limits;
    sessions->rng = rng;
    sessions->seed = rng_next(rng);
    hash_table_init(&sessions->by_id, rng_next(rng));
    list_init(&sessions->by_use);
    return sessions;
}

void fetch_sessions_free(struct fetch_sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    while (!list_is_empty(&sessions->by_use)) {
        session_remove(sessions, container_of(sessions->by_use.next, struct fetch_session, by_use));
    }
    check(sessions->memory == 0);
    hash_table_done(&sessions->by_id);
    free(sessions);
}

uint32_t fetch_sessions_count(const struct fetch_sessions *sessions)
{
    return (uint32_t)sessions->by_id.count;
}

size_t fetch_sessions_memory(const struct fetch_sessions *sessions)
{
    return sessions->memory;
}

int32_t fetch_session_epoch_after(int32_t epoch)
{
    return epoch == INT32_MAX ? 1 : epoch + 1;
}

/* --- plans --- */

static enum error open_without_session(struct fetch_plan *plan, const struct fetch_request *request,
                                       struct arena *arena)
{
    struct fetch_partition *parts =
        ARENA_NEW_ARRAY(arena, struct fetch_partition, count_partitions(request));
    if (parts == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    set_init(&plan->own, NULL);
    plan->set = &plan->own;
    plan->own.plan = plan;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct fetch_request_fetch_topic *topic = &request->topics.items[i];
        for (uint32_t j = 0; j < topic->partitions.count; j++) {
            struct fetch_partition *part = parts++;
            part->topic = topic->topic;
            part->topic_id = topic->topic_id;
            part->partition = topic->partitions.items[j].partition;
            note_request(part, &topic->partitions.items[j]);
            set_add(&plan->own, part);
        }
    }
    return E_OK;
}

static void open_in_session(struct fetch_plan *plan, struct fetch_session *session)
{
    session_interrupt(session, E_INVALID_FETCH_SESSION_EPOCH); /* F4 */
    plan->set = &session->set;
    plan->session_id = session->id;
    session->set.plan = plan;
}

static enum error open_full(struct fetch_plan *plan, const struct fetch_request *request,
                            bool by_topic_id, struct arena *arena, int64_t now_ms)
{
    struct fetch_session *session = find_session(plan->sessions, request->session_id);
    if (session != NULL) {
        session_remove(plan->sessions, session);
    }
    session = request->session_epoch == EPOCH_FINAL
                  ? NULL
                  : session_new(plan->sessions, request, by_topic_id, now_ms);
    if (session == NULL) {
        return open_without_session(plan, request, arena);
    }
    plan->is_new = true;
    open_in_session(plan, session);
    return E_OK;
}

static enum error check_session(const struct fetch_session *session,
                                const struct fetch_request *request, bool by_topic_id)
{
    if (session == NULL) {
        return E_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->epoch != request->session_epoch) {
        return E_INVALID_FETCH_SESSION_EPOCH;
    }
    return session->by_topic_id == by_topic_id ? E_OK : E_FETCH_SESSION_TOPIC_ID_ERROR;
}

static enum error open_incremental(struct fetch_plan *plan, const struct fetch_request *request,
                                   bool by_topic_id, struct arena *arena, int64_t now_ms)
{
    struct fetch_session *session = find_session(plan->sessions, request->session_id);
    plan->error = check_session(session, request, by_topic_id);
    if (plan->error != E_OK) {
        return E_OK;
    }
    open_in_session(plan, session);
    if (!session_update(plan->sessions, session, request)) {
        /* The session cannot hold what the client believes it to hold: it has to start anew. */
        plan->set = NULL;
        plan->session_id = 0;
        plan->error = E_FETCH_SESSION_ID_NOT_FOUND;
        session->set.plan = NULL;
        session_remove(plan->sessions, session);
        return E_OK;
    }
    session_forget(plan->sessions, session, request);
    if (session->set.count == 0) {
        session->set.plan = NULL;
        session_remove(plan->sessions, session);
        plan->session_id = 0;
        return open_without_session(plan, request, arena);
    }
    if (session->isolation_level != request->isolation_level) {
        session->isolation_level = request->isolation_level;
        fetch_set_activate_all(&session->set);
    }
    plan->is_incremental = true;
    session->epoch = fetch_session_epoch_after(session->epoch);
    session_touch(plan->sessions, session, now_ms);
    return E_OK;
}

enum error fetch_plan_open(struct fetch_plan *plan, struct fetch_sessions *sessions,
                           const struct fetch_request *request, int16_t version,
                           struct arena *arena, int64_t now_ms)
{
    const bool by_topic_id = version >= VERSION_TOPIC_IDS;
    *plan = (struct fetch_plan){.sessions = sessions, .error = E_OK};
    return request->session_epoch == EPOCH_FULL || request->session_epoch == EPOCH_FINAL
               ? open_full(plan, request, by_topic_id, arena, now_ms)
               : open_incremental(plan, request, by_topic_id, arena, now_ms);
}

void fetch_plan_watch(struct fetch_plan *plan)
{
    LIST_FOREACH (node, &plan->set->active) {
        watch(container_of(node, struct fetch_partition, node));
    }
}

void fetch_plan_answered(struct fetch_plan *plan)
{
    if (plan->set == NULL) {
        return;
    }
    plan->set->plan = NULL;
    if (plan->set == &plan->own) {
        set_done(&plan->own);
    } else {
        forget_items(plan->set);
        set_settle(plan->set);
    }
    plan->set = NULL;
}

void fetch_plan_abandon(struct fetch_plan *plan)
{
    if (plan->set == NULL) {
        return;
    }
    plan->set->plan = NULL;
    if (plan->set == &plan->own) {
        set_done(&plan->own);
    } else if (plan->is_new) {
        session_remove(plan->sessions, plan->set->session);
    } else {
        forget_items(plan->set);
        LIST_FOREACH (node, &plan->set->active) {
            partition_unwatch(&container_of(node, struct fetch_partition, node)->watcher);
        }
    }
    plan->set = NULL;
}

/* --- answers --- */

bool fetch_partition_answer(struct fetch_partition *part, const struct fetch_answer *answer)
{
    const bool is_changed = part->told_high_watermark != answer->high_watermark ||
                            part->told_log_start != answer->log_start_offset;
    /* With an error -1 is noted, so that the partition is told again once the error is gone. */
    part->told_high_watermark = answer->has_error ? -1 : answer->high_watermark;
    part->told_log_start = answer->log_start_offset;
    if (answer->has_data) {
        part->outcome = FETCH_HAD_DATA;
    } else if (answer->is_at_end && !answer->has_error) {
        part->outcome = FETCH_AT_END;
    } else {
        part->outcome = FETCH_UNREAD;
    }
    const bool lists_all = part->set->plan == NULL || !part->set->plan->is_incremental;
    return lists_all || is_changed || answer->has_data || answer->has_error;
}
