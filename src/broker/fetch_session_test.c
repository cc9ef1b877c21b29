/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch sessions as a state machine: no broker, no partitions, a clock that the test turns. */

#include "broker/fetch_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    V12 = 12,
    V13 = 13,
    PARTITION_COUNT_MAX = 64,
    EVICTION_MS = 120 * 1000,
};

struct fixture {
    struct rng rng;
    struct fetch_sessions *sessions;
    struct arena arena;
    struct fetch_plan plan;
    int64_t now_ms;
};

static void start(struct fixture *f, uint32_t session_count_max, size_t memory_max)
{
    *f = (struct fixture){.now_ms = 1000};
    const struct fetch_session_limits limits = {.session_count_max = session_count_max,
                                                .memory_max = memory_max};
    rng_init(&f->rng, 7);
    f->sessions = fetch_sessions_new(&limits, &f->rng);
    assert_non_null(f->sessions);
    arena_init(&f->arena, 1024 * 1024);
}

static void end(struct fixture *f)
{
    fetch_sessions_free(f->sessions);
    arena_done(&f->arena);
}

/* A request for partitions 0 … count - 1 of topic "t" at `offset`, and one without. */
struct asked {
    struct fetch_request request;
    struct fetch_request_fetch_topic topic;
    struct fetch_request_fetch_partition partitions[PARTITION_COUNT_MAX];
    struct fetch_request_forgotten_topic forgotten_topic;
    int32_t forgotten[PARTITION_COUNT_MAX];
};

static void ask(struct asked *asked, int32_t session_id, int32_t epoch, uint32_t count,
                int64_t offset)
{
    *asked = (struct asked){.topic = {.topic = SLICE("t")}};
    asked->request.session_id = session_id;
    asked->request.session_epoch = epoch;
    for (uint32_t i = 0; i < count; i++) {
        asked->partitions[i] = (struct fetch_request_fetch_partition){
            .partition = (int32_t)i, .fetch_offset = offset, .current_leader_epoch = -1};
    }
    asked->topic.partitions.items = asked->partitions;
    asked->topic.partitions.count = count;
    asked->request.topics.items = &asked->topic;
    asked->request.topics.count = count == 0 ? 0 : 1;
}

static void forget(struct asked *asked, uint32_t count)
{
    asked->forgotten_topic.topic = SLICE("t");
    for (uint32_t i = 0; i < count; i++) {
        asked->forgotten[i] = (int32_t)i;
    }
    asked->forgotten_topic.partitions.items = asked->forgotten;
    asked->forgotten_topic.partitions.count = count;
    asked->request.forgotten_topics_data.items = &asked->forgotten_topic;
    asked->request.forgotten_topics_data.count = 1;
}

static enum error open_plan(struct fixture *f, const struct asked *asked, int16_t version)
{
    assert_int_equal(
        fetch_plan_open(&f->plan, f->sessions, &asked->request, version, &f->arena, f->now_ms),
        E_OK);
    return f->plan.error;
}

static struct fetch_partition *first(const struct list *list)
{
    return container_of(list->next, struct fetch_partition, node);
}

static uint32_t count_active(const struct fixture *f)
{
    uint32_t count = 0;
    LIST_FOREACH (node, &f->plan.set->active) {
        count++;
    }
    return count;
}

static const struct fetch_answer AT_END = {
    .is_at_end = true, .high_watermark = 10, .log_start_offset = 0};
static const struct fetch_answer DATA = {
    .has_data = true, .is_at_end = false, .high_watermark = 10, .log_start_offset = 0};
static const struct fetch_answer FAILED = {
    .has_error = true, .high_watermark = -1, .log_start_offset = -1};

/* Answers all active partitions alike; how many the response lists. */
static uint32_t answer_all(struct fixture *f, const struct fetch_answer *answer)
{
    uint32_t listed = 0;
    LIST_FOREACH (node, &f->plan.set->active) {
        listed += fetch_partition_answer(container_of(node, struct fetch_partition, node), answer);
    }
    fetch_plan_answered(&f->plan);
    return listed;
}

/* A new session of `count` partitions at offset 10, all at their end. Its id. */
static int32_t make_session(struct fixture *f, uint32_t count)
{
    struct asked asked;
    ask(&asked, 0, 0, count, 10);
    assert_int_equal(open_plan(f, &asked, V12), E_OK);
    const int32_t id = f->plan.session_id;
    assert_int_equal(answer_all(f, &AT_END), count);
    return id;
}

/* Epoch -1, and every request below v7, has no session: it leaves nothing behind. */
static void without_session(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    ask(&asked, 0, -1, 3, 10);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(f.plan.session_id, 0);
    assert_int_equal(f.plan.set->count, 3);
    assert_int_equal(answer_all(&f, &AT_END), 3);
    assert_int_equal(fetch_sessions_count(f.sessions), 0);
    end(&f);
}

/* Epochs go 1, 2, 3; unchanged partitions are neither looked at nor answered; a wrong epoch is
 * refused and does not move the session. */
static void epochs(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    const int32_t id = make_session(&f, 3);
    assert_true(id > 0);
    for (int32_t epoch = 1; epoch <= 3; epoch++) {
        ask(&asked, id, epoch, 0, 0);
        assert_int_equal(open_plan(&f, &asked, V12), E_OK);
        assert_int_equal(f.plan.session_id, id);
        assert_int_equal(count_active(&f), 0);
        assert_int_equal(f.plan.set->count, 3);
        fetch_plan_answered(&f.plan);
    }
    ask(&asked, id, 9, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_INVALID_FETCH_SESSION_EPOCH);
    assert_null(f.plan.set);
    assert_int_equal(f.plan.session_id, 0);
    ask(&asked, id, 4, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    fetch_plan_answered(&f.plan);
    assert_int_equal(fetch_session_epoch_after(INT32_MAX), 1);
    ask(&asked, id + 1, 1, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_FETCH_SESSION_ID_NOT_FOUND);
    end(&f);
}

/* A session made with names refuses topic ids, and the other way round. */
static void names_and_ids(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    const int32_t id = make_session(&f, 1);
    ask(&asked, id, 1, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V13), E_FETCH_SESSION_TOPIC_ID_ERROR);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    fetch_plan_answered(&f.plan);
    end(&f);
}

/* New offsets, new partitions and forgotten ones; all forgotten ends the session. */
static void update_and_forget(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    const int32_t id = make_session(&f, 2);
    ask(&asked, id, 1, 3, 12); /* 0 and 1 move on, 2 is new */
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(f.plan.set->count, 3);
    assert_int_equal(count_active(&f), 3);
    assert_int_equal(first(&f.plan.set->active)->fetch_offset, 12);
    assert_int_equal(answer_all(&f, &AT_END), 1); /* only the new one has something to be told */
    ask(&asked, id, 2, 0, 0);
    forget(&asked, 2);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(f.plan.set->count, 1);
    fetch_plan_answered(&f.plan);
    ask(&asked, id, 3, 0, 0);
    forget(&asked, 3);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(f.plan.session_id, 0);
    assert_int_equal(f.plan.set->count, 0);
    fetch_plan_answered(&f.plan);
    assert_int_equal(fetch_sessions_count(f.sessions), 0);
    assert_int_equal(fetch_sessions_memory(f.sessions), 0);
    end(&f);
}

/* What an incremental answer lists: data, errors, a moved high watermark or log start; after an
 * error the partition is told again when it is well. */
static void what_is_listed(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    const int32_t id = make_session(&f, 1);
    const struct {
        struct fetch_answer answer;
        uint32_t listed;
    } rows[] = {
        {AT_END, 0},
        {DATA, 1},
        {DATA, 1}, /* as long as the client does not move on */
        {AT_END, 0},
        {FAILED, 1},
        {FAILED, 1},
        {AT_END, 1},
        {{.is_at_end = true, .high_watermark = 11, .log_start_offset = 0}, 1},
        {{.is_at_end = true, .high_watermark = 11, .log_start_offset = 5}, 1},
        {{.is_at_end = false, .high_watermark = 11, .log_start_offset = 5}, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(&asked, id, (int32_t)i + 1, 1, 10);
        assert_int_equal(open_plan(&f, &asked, V12), E_OK);
        assert_int_equal(answer_all(&f, &rows[i].answer), rows[i].listed);
    }
    /* The last one has more to read than it was given: it stays active. */
    ask(&asked, id, (int32_t)(sizeof(rows) / sizeof(rows[0])) + 1, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(count_active(&f), 1);
    fetch_plan_answered(&f.plan);
    end(&f);
}

/* F2: of three partitions with data, of which one fits into each answer, each gets its turn. */
static void turns(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    ask(&asked, 0, 0, 3, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    const int32_t id = f.plan.session_id;
    const struct fetch_answer unread = {.high_watermark = 10};
    for (int32_t epoch = 1; epoch <= 6; epoch++) {
        bool is_first = true;
        assert_int_equal(first(&f.plan.set->active)->partition, (epoch - 1) % 3);
        LIST_FOREACH (node, &f.plan.set->active) {
            (void)fetch_partition_answer(container_of(node, struct fetch_partition, node),
                                         is_first ? &DATA : &unread);
            is_first = false;
        }
        fetch_plan_answered(&f.plan);
        ask(&asked, id, epoch, 0, 0);
        assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    }
    fetch_plan_answered(&f.plan);
    end(&f);
}

/* A full request closes the session that it names; one with epoch 0 makes another. */
static void full_request_closes(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    int32_t id = make_session(&f, 2);
    ask(&asked, id, 0, 2, 10);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_not_equal(f.plan.session_id, id);
    id = f.plan.session_id;
    assert_int_equal(answer_all(&f, &AT_END), 2);
    assert_int_equal(fetch_sessions_count(f.sessions), 1);
    ask(&asked, id, -1, 2, 10);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(f.plan.session_id, 0);
    assert_int_equal(answer_all(&f, &AT_END), 2);
    assert_int_equal(fetch_sessions_count(f.sessions), 0);
    end(&f);
}

/* A full cache makes no session; a stale one gives way to any, an old one to a larger one. */
static void eviction(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, 2, 1 << 20);
    const int32_t small = make_session(&f, 2);
    const int32_t large = make_session(&f, 5);
    assert_int_equal(make_session(&f, 60), 0); /* both are young and in use */
    struct asked asked;
    for (int32_t epoch = 1; epoch <= 2; epoch++) { /* both stay in use until they are old */
        f.now_ms += EVICTION_MS;
        ask(&asked, small, epoch, 0, 0);
        assert_int_equal(open_plan(&f, &asked, V12), E_OK);
        fetch_plan_answered(&f.plan);
        ask(&asked, large, epoch, 0, 0);
        assert_int_equal(open_plan(&f, &asked, V12), E_OK);
        fetch_plan_answered(&f.plan);
    }
    assert_int_equal(make_session(&f, 2), 0); /* not larger */
    const int32_t third = make_session(&f, 3);
    assert_int_not_equal(third, 0);
    ask(&asked, small, 3, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_FETCH_SESSION_ID_NOT_FOUND);
    f.now_ms += EVICTION_MS + 1; /* both stale: the one used longest ago goes */
    assert_int_not_equal(make_session(&f, 1), 0);
    ask(&asked, large, 3, 0, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_FETCH_SESSION_ID_NOT_FOUND);
    assert_int_equal(fetch_sessions_count(f.sessions), 2);
    end(&f);
}

/* No slots: no sessions. Over the memory limit: none for a full request, and an incremental one
 * that would grow over it loses its session. */
static void limits(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 0, 1 << 20);
    assert_int_equal(make_session(&f, 1), 0);
    end(&f);
    start(&f, 10, 8 * 1024);
    assert_int_equal(make_session(&f, 60), 0);
    assert_int_equal(fetch_sessions_memory(f.sessions), 0);
    const int32_t id = make_session(&f, 3);
    assert_int_not_equal(id, 0);
    assert_true(fetch_sessions_memory(f.sessions) <= 8 * 1024);
    ask(&asked, id, 1, 60, 0);
    assert_int_equal(open_plan(&f, &asked, V12), E_FETCH_SESSION_ID_NOT_FOUND);
    assert_int_equal(f.plan.session_id, 0);
    assert_int_equal(fetch_sessions_memory(f.sessions), 0);
    end(&f);
}

static void on_lost(struct fetch_plan *plan)
{
    assert_null(plan->set);
}

/* F4: a second request with the next epoch takes the session over; a full one ends it. */
static void taken_over(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    const int32_t id = make_session(&f, 1);
    struct fetch_plan waiting[2];
    for (int i = 0; i < 2; i++) {
        ask(&asked, id, 1 + i, 0, 0);
        assert_int_equal(
            fetch_plan_open(&waiting[i], f.sessions, &asked.request, V12, &f.arena, f.now_ms),
            E_OK);
        waiting[i].on_lost = on_lost;
    }
    assert_int_equal(waiting[0].error, E_INVALID_FETCH_SESSION_EPOCH);
    assert_int_equal(waiting[1].error, E_OK);
    ask(&asked, id, -1, 1, 10);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(waiting[1].error, E_FETCH_SESSION_ID_NOT_FOUND);
    fetch_plan_answered(&waiting[0]); /* harmless */
    fetch_plan_abandon(&waiting[1]);
    fetch_plan_answered(&f.plan);
    assert_int_equal(fetch_sessions_count(f.sessions), 0);
    end(&f);
}

/* A session that the client never heard of goes with its request. */
static void abandoned(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    ask(&asked, 0, 0, 4, 10);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    fetch_plan_abandon(&f.plan);
    assert_int_equal(fetch_sessions_count(f.sessions), 0);
    const int32_t id = make_session(&f, 4);
    ask(&asked, id, 1, 2, 20);
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    fetch_plan_abandon(&f.plan);
    assert_int_equal(fetch_sessions_count(f.sessions), 1);
    ask(&asked, id, 2, 0, 0); /* what was not answered is looked at again */
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(count_active(&f), 2);
    fetch_plan_answered(&f.plan);
    end(&f);
}

/* Another isolation level reads to another end, so every partition is looked at. */
static void isolation_changes(void **state)
{
    struct fixture f;
    struct asked asked;
    (void)state;
    start(&f, 10, 1 << 20);
    const int32_t id = make_session(&f, 3);
    ask(&asked, id, 1, 0, 0);
    asked.request.isolation_level = 1;
    assert_int_equal(open_plan(&f, &asked, V12), E_OK);
    assert_int_equal(count_active(&f), 3);
    assert_int_equal(answer_all(&f, &AT_END), 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_session),
        cmocka_unit_test(epochs),
        cmocka_unit_test(names_and_ids),
        cmocka_unit_test(update_and_forget),
        cmocka_unit_test(what_is_listed),
        cmocka_unit_test(turns),
        cmocka_unit_test(full_request_closes),
        cmocka_unit_test(eviction),
        cmocka_unit_test(limits),
        cmocka_unit_test(taken_over),
        cmocka_unit_test(abandoned),
        cmocka_unit_test(isolation_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
