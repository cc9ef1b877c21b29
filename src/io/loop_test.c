/* SPDX-License-Identifier: Apache-2.0 */
/* A loop calls what is registered with it in the order that its header promises, sleeps when there
 * is nothing to do, and is woken by messages and loop_stop of other threads. */
#include "io/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    NS_PER_MS = 1000000,
};

static char trace[64]; /* one letter for each call */

static void note(char letter)
{
    const size_t size = strlen(trace);
    assert_true(size + 1 < sizeof(trace));
    trace[size] = letter;
    trace[size + 1] = '\0';
}

static struct loop *new_loop(struct clock *clock)
{
    struct loop *loop;
    assert_int_equal(loop_new(clock, 3, &loop), E_OK);
    assert_int_equal(loop_index(loop), 3);
    trace[0] = '\0';
    return loop;
}

/* --- hooks --- */

struct hook {
    struct deferred deferred;
    struct loop *loop;
    char letter;
    struct hook *arms;
    enum loop_phase phase;
};

static void on_hook(struct deferred *deferred)
{
    struct hook *hook = container_of(deferred, struct hook, deferred);
    note(hook->letter);
    if (hook->arms != NULL) {
        loop_defer(hook->loop, &hook->arms->deferred, hook->phase);
        hook->arms = NULL;
    }
}

static void hook_init(struct hook *hook, struct loop *loop, char letter)
{
    *hook = (struct hook){.loop = loop, .letter = letter};
    deferred_init(&hook->deferred, on_hook);
}

static void test_phases(void **state)
{
    struct loop *loop = new_loop(clock_system());
    struct hook write;
    struct hook write_2;
    struct hook complete;
    struct hook send;
    (void)state;
    hook_init(&write, loop, 'w');
    hook_init(&write_2, loop, 'W');
    hook_init(&complete, loop, 'c');
    hook_init(&send, loop, 's');

    /* By phase, once, and the same phase may be armed from within. */
    write.arms = &write_2;
    write.phase = PHASE_WRITE;
    write_2.arms = &complete;
    write_2.phase = PHASE_COMPLETE;
    loop_defer(loop, &send.deferred, PHASE_SEND);
    loop_defer(loop, &write.deferred, PHASE_WRITE);
    loop_defer(loop, &write.deferred, PHASE_WRITE);
    loop_turn(loop, -1); /* does not wait */
    assert_string_equal(trace, "wWcs");

    /* An earlier phase waits for the next turn, which does not sleep. */
    trace[0] = '\0';
    send.arms = &write;
    send.phase = PHASE_WRITE;
    loop_defer(loop, &send.deferred, PHASE_SEND);
    loop_turn(loop, 0);
    assert_string_equal(trace, "s");
    loop_turn(loop, -1);
    assert_string_equal(trace, "sw");

    loop_defer(loop, &send.deferred, PHASE_SEND);
    deferred_cancel(&send.deferred);
    loop_turn(loop, 0);
    assert_string_equal(trace, "sw");
    loop_free(loop);
}

/* --- descriptors --- */

struct pipe_watch {
    struct watch watch;
    struct loop *loop;
    struct watch *removes;
    unsigned events;
    int count;
};

static void on_pipe(struct watch *watch, unsigned events)
{
    struct pipe_watch *pipe_watch = container_of(watch, struct pipe_watch, watch);
    pipe_watch->events = events;
    pipe_watch->count++;
    if (pipe_watch->removes != NULL) {
        watch_remove(pipe_watch->loop, pipe_watch->removes);
        pipe_watch->removes = NULL;
    }
}

/* Two descriptors are ready in one turn and the first callback removes the other watch: no call. */
static void test_removed_watch_is_not_called(void **state)
{
    struct loop *loop = new_loop(clock_system());
    int pipes[2][2];
    struct pipe_watch watches[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
        watches[i] = (struct pipe_watch){
            .watch = {.fd = pipes[i][0], .events = WATCH_READ, .on_event = on_pipe},
            .loop = loop,
        };
        assert_int_equal(watch_add(loop, &watches[i].watch), E_OK);
    }
    watches[0].removes = &watches[1].watch;
    watches[1].removes = &watches[0].watch;
    loop_turn(loop, 0);
    assert_int_equal(watches[0].count + watches[1].count, 0);
    assert_int_equal(write(pipes[0][1], "x", 1), 1);
    assert_int_equal(write(pipes[1][1], "x", 1), 1);
    loop_turn(loop, -1);
    assert_int_equal(watches[0].count + watches[1].count, 1);
    for (int i = 0; i < 2; i++) {
        if (watches[i].count == 1) {
            /* Level-triggered: reported again; not when not wanted; a hang-up always. */
            assert_int_equal(watches[i].events, WATCH_READ);
            loop_turn(loop, -1);
            assert_int_equal(watches[i].count, 2);
            assert_int_equal(watch_change(loop, &watches[i].watch, 0), E_OK);
            loop_turn(loop, 0);
            assert_int_equal(watches[i].count, 2);
            close(pipes[i][1]);
            pipes[i][1] = -1;
            loop_turn(loop, -1);
            assert_int_equal(watches[i].events, WATCH_HANGUP);
            watch_remove(loop, &watches[i].watch);
        }
    }
    for (int i = 0; i < 2; i++) {
        close(pipes[i][0]);
        if (pipes[i][1] >= 0) {
            close(pipes[i][1]);
        }
    }
    loop_free(loop);
}

/* --- timers --- */

static void on_timer(struct timer *timer)
{
    (void)timer;
    note('t');
}

static void test_timers_with_a_manual_clock(void **state)
{
    struct manual_clock manual;
    struct loop *loop;
    struct timer timer;
    (void)state;
    manual_clock_init(&manual, 1000);
    loop = new_loop(&manual.clock);
    assert_int_equal(loop_now_ms(loop), 1000);
    timer_init(&timer, on_timer);
    timer_start(loop, &timer, 9 * NS_PER_MS);
    timer_start(loop, &timer, 5 * NS_PER_MS); /* re-armed, fires once */
    manual_clock_advance(&manual, 4);
    loop_turn(loop, 0);
    assert_string_equal(trace, "");
    manual_clock_advance(&manual, 1);
    manual.now_ns -= 1; /* a nanosecond early */
    loop_turn(loop, 0);
    assert_string_equal(trace, "");
    manual.now_ns += 1 + (1 << TIMER_TICK_SHIFT);
    loop_turn(loop, 0);
    assert_string_equal(trace, "t");
    assert_int_equal(loop_now_ms(loop), 1005);
    assert_int_equal(loop_now_ns(loop), manual.now_ns);
    manual_clock_advance(&manual, 10);
    loop_turn(loop, 0);
    assert_string_equal(trace, "t");
    timer_start(loop, &timer, 20 * NS_PER_MS);
    timer_stop(loop, &timer);
    timer_stop(loop, &timer);
    manual_clock_advance(&manual, 100);
    loop_turn(loop, 0);
    assert_string_equal(trace, "t");
    loop_free(loop);
}

/* The system's clock: one turn sleeps as long as the timer, not less, hardly more. */
static void test_timer_wakes_the_loop(void **state)
{
    struct clock *clock = clock_system();
    struct loop *loop = new_loop(clock);
    struct timer timer;
    int64_t deadline_ns;
    (void)state;
    timer_init(&timer, on_timer);
    deadline_ns = clock->monotonic_ns(clock) + 20 * NS_PER_MS;
    timer_start(loop, &timer, deadline_ns);
    for (int turns = 0; trace[0] == '\0'; turns++) {
        assert_true(turns < TIMER_LEVEL_COUNT);
        loop_turn(loop, -1);
    }
    assert_true(loop_now_ns(loop) >= deadline_ns);
    loop_free(loop);
}

/* --- other threads --- */

struct counted {
    struct message message;
    struct loop *loop;
    int *count;
    int stop_at;
};

static void on_counted(struct message *message)
{
    struct counted *counted = container_of(message, struct counted, message);
    assert_true(loop_is_current(counted->loop));
    if (++*counted->count == counted->stop_at) {
        loop_stop(counted->loop);
    }
}

enum {
    POST_COUNT = 20000,
};

struct poster {
    struct counted messages[POST_COUNT];
};

static void *post_all(void *argument)
{
    struct poster *poster = argument;
    for (int i = 0; i < POST_COUNT; i++) {
        assert_false(loop_is_current(poster->messages[i].loop));
        loop_post(poster->messages[i].loop, &poster->messages[i].message);
    }
    return NULL;
}

/* No message is lost between "going to sleep" and "woken", whatever the interleaving. */
static void test_posts_wake_a_sleeping_loop(void **state)
{
    static struct poster posters[2];
    struct loop *loop = new_loop(clock_system());
    pthread_t threads[2];
    int count = 0;
    (void)state;
    for (int p = 0; p < 2; p++) {
        for (int i = 0; i < POST_COUNT; i++) {
            posters[p].messages[i] = (struct counted){
                .message.on_receive = on_counted,
                .loop = loop,
                .count = &count,
                .stop_at = 2 * POST_COUNT,
            };
        }
        assert_int_equal(pthread_create(&threads[p], NULL, post_all, &posters[p]), 0);
    }
    loop_run(loop);
    assert_int_equal(count, 2 * POST_COUNT);
    for (int p = 0; p < 2; p++) {
        assert_int_equal(pthread_join(threads[p], NULL), 0);
    }
    loop_free(loop);
}

static void *stop_it(void *argument)
{
    loop_stop(argument);
    return NULL;
}

static void test_stop(void **state)
{
    struct loop *loop = new_loop(clock_system());
    pthread_t thread;
    (void)state;
    loop_stop(loop);
    loop_run(loop); /* returns at once */
    assert_int_equal(pthread_create(&thread, NULL, stop_it, loop), 0);
    loop_run(loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loop_free(loop);
    loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_removed_watch_is_not_called),
        cmocka_unit_test(test_timers_with_a_manual_clock),
        cmocka_unit_test(test_timer_wakes_the_loop),
        cmocka_unit_test(test_posts_wake_a_sleeping_loop),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
