/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/system_error.h"

enum {
    EVENT_COUNT_MAX = 256, /* per turn; the rest is reported in the next one */
    NS_PER_MS = 1000000,
    CLOCK_READ_WAIT_NS = 1000 * NS_PER_MS,
};

struct loop {
    struct clock *clock;
    unsigned index;
    int epoll_fd;
    int wake_fd;
    _Atomic pthread_t owner;
    atomic_bool is_stopped;
    atomic_bool is_asleep; /* a sender must write wake_fd */
    struct mailbox mailbox;

    int64_t now_ns;
    int64_t now_ms; /* of wall clock; -1: not read in this turn */
    struct timer_wheel timers;
    struct list deferred[PHASE_COUNT];

    int event_count; /* gathered in this turn */
    int event_next;
    struct epoll_event events[EVENT_COUNT_MAX];
};

static enum error open_descriptors(struct loop *loop)
{
    /* Edge-triggered, so that the counter need not be read: each write is one wake-up. */
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        return error_from_errno(errno);
    }
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0) {
        return error_from_errno(errno);
    }
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) != 0) {
        return error_from_errno(errno);
    }
    return E_OK;
}

enum error loop_new(struct clock *clock, unsigned index, struct loop **ret_loop)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    enum error error;
    if (loop == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    loop->clock = clock;
    loop->index = index;
    loop->epoll_fd = -1;
    loop->wake_fd = -1;
    atomic_init(&loop->owner, pthread_self());
    mailbox_init(&loop->mailbox);
    loop->now_ns = clock->monotonic_ns(clock);
    loop->now_ms = -1;
    timer_wheel_init(&loop->timers, loop->now_ns);
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        list_init(&loop->deferred[phase]);
    }
    error = open_descriptors(loop);
    if (error != E_OK) {
        loop_free(loop);
        return error;
    }
    *ret_loop = loop;
    return E_OK;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    if (loop->epoll_fd >= 0) {
        (void)close(loop->epoll_fd);
    }
    free(loop);
}

bool loop_is_current(const struct loop *loop)
{
    return atomic_load_explicit(&loop->owner, memory_order_relaxed) == pthread_self();
}

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

int64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

int64_t loop_now_ms(struct loop *loop)
{
    if (loop->now_ms < 0) {
        loop->now_ms = loop->clock->wall_ms(loop->clock);
    }
    return loop->now_ms;
}

/* --- waking --- */

static void wake(struct loop *loop)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full, and then the loop is awake. */
    const ssize_t written = write(loop->wake_fd, &one, sizeof(one));
    (void)written;
}

void loop_post(struct loop *loop, struct message *message)
{
    mailbox_push(&loop->mailbox, message);
    if (atomic_load(&loop->is_asleep) && atomic_exchange(&loop->is_asleep, false)) {
        wake(loop);
    }
}

bool loop_has_messages(struct loop *loop)
{
    return !mailbox_is_empty(&loop->mailbox);
}

void loop_stop(struct loop *loop)
{
    const int number = errno; /* a signal handler leaves it as it was */
    atomic_store(&loop->is_stopped, true);
    wake(loop);
    errno = number;
}

/* --- one turn --- */

static bool has_deferred(const struct loop *loop)
{
    static_assert(PHASE_COUNT == 3, "all of them");
    return !list_is_empty(&loop->deferred[PHASE_WRITE]) ||
           !list_is_empty(&loop->deferred[PHASE_COMPLETE]) ||
           !list_is_empty(&loop->deferred[PHASE_SEND]);
}

/* How long epoll may wait: milliseconds rounded up, -1 for ever. */
static int wait_ms(struct loop *loop, int limit_ms)
{
    const int64_t next_ns = timer_wheel_next_ns(&loop->timers);
    int64_t wait;
    if (limit_ms == 0 || has_deferred(loop)) {
        return 0;
    }
    if (next_ns == INT64_MAX) {
        return limit_ms;
    }
    wait = next_ns - loop->now_ns;
    if (wait < CLOCK_READ_WAIT_NS) { /* else what this turn has taken does not matter */
        wait = next_ns - loop->clock->monotonic_ns(loop->clock);
    }
    if (wait <= 0) {
        return 0;
    }
    wait = (wait - 1) / NS_PER_MS + 1;
    if (limit_ms >= 0 && wait > limit_ms) {
        return limit_ms;
    }
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

static void turn_wait(struct loop *loop, int limit_ms)
{
    int timeout_ms = wait_ms(loop, limit_ms);
    if (timeout_ms != 0) {
        /* Announced before the last look, so that a sender either is seen here or sees this. */
        atomic_store(&loop->is_asleep, true);
        if (!mailbox_is_empty(&loop->mailbox) || atomic_load(&loop->is_stopped)) {
            timeout_ms = 0;
        }
    }
    loop->event_next = 0;
    loop->event_count = epoll_wait(loop->epoll_fd, loop->events, EVENT_COUNT_MAX, timeout_ms);
    if (loop->event_count < 0) {
        check_cmp(errno, ==, EINTR);
        loop->event_count = 0;
    }
    atomic_store_explicit(&loop->is_asleep, false, memory_order_relaxed);
    loop->now_ns = loop->clock->monotonic_ns(loop->clock);
    loop->now_ms = -1;
}

static_assert((int)WATCH_READ == (int)EPOLLIN, "epoll's bits");
static_assert((int)WATCH_WRITE == (int)EPOLLOUT, "epoll's bits");
static_assert((int)WATCH_HANGUP == (int)EPOLLHUP, "epoll's bits");

/* An error is a hang-up too: the next call on the descriptor says which. */
static unsigned watch_events_of(uint32_t epoll_events)
{
    const unsigned hangup = (epoll_events & EPOLLERR) != 0 ? WATCH_HANGUP : 0U;
    return (epoll_events & (WATCH_READ | WATCH_WRITE | WATCH_HANGUP)) | hangup;
}

static void turn_events(struct loop *loop)
{
    while (loop->event_next < loop->event_count) {
        const struct epoll_event *event = &loop->events[loop->event_next++];
        struct watch *watch = event->data.ptr;
        if (watch != NULL) { /* NULL: woken, or removed meanwhile */
            watch->on_event(watch, watch_events_of(event->events));
        }
    }
}

static void turn_messages(struct loop *loop)
{
    struct message *message = mailbox_take_all(&loop->mailbox);
    while (message != NULL) {
        struct message *next = message->next;
        message->on_receive(message);
        message = next;
    }
}

static void turn_deferred(struct loop *loop)
{
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        struct list *node;
        while ((node = list_pop_front(&loop->deferred[phase])) != NULL) {
            struct deferred *deferred = container_of(node, struct deferred, node);
            deferred->run(deferred);
        }
    }
}

void loop_turn(struct loop *loop, int timeout_ms)
{
    atomic_store_explicit(&loop->owner, pthread_self(), memory_order_relaxed);
    turn_wait(loop, timeout_ms);
    turn_events(loop);
    turn_messages(loop);
    timer_wheel_expire(&loop->timers, loop->now_ns);
    turn_deferred(loop);
}

void loop_run(struct loop *loop)
{
    atomic_store_explicit(&loop->owner, pthread_self(), memory_order_relaxed);
    while (!atomic_load_explicit(&loop->is_stopped, memory_order_relaxed)) {
        loop_turn(loop, -1);
    }
    atomic_store(&loop->is_stopped, false);
}

/* --- descriptors --- */

static uint32_t epoll_events_of(unsigned events)
{
    return events & (WATCH_READ | WATCH_WRITE);
}

enum error watch_add(struct loop *loop, struct watch *watch)
{
    struct epoll_event event = {.events = epoll_events_of(watch->events), .data.ptr = watch};
    check(loop_is_current(loop));
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) != 0) {
        return error_from_errno(errno);
    }
    return E_OK;
}

enum error watch_change(struct loop *loop, struct watch *watch, unsigned events)
{
    struct epoll_event event = {.events = epoll_events_of(events), .data.ptr = watch};
    check(loop_is_current(loop));
    if (events == watch->events) {
        return E_OK;
    }
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) != 0) {
        return error_from_errno(errno);
    }
    watch->events = events;
    return E_OK;
}

void watch_remove(struct loop *loop, struct watch *watch)
{
    check(loop_is_current(loop));
    check(epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL) == 0);
    for (int i = loop->event_next; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == watch) {
            loop->events[i].data.ptr = NULL;
        }
    }
}

/* --- timers --- */

void timer_start(struct loop *loop, struct timer *timer, int64_t deadline_ns)
{
    check(loop_is_current(loop));
    timer_wheel_stop(&loop->timers, timer);
    timer_wheel_start(&loop->timers, timer, deadline_ns);
}

void timer_stop(struct loop *loop, struct timer *timer)
{
    check(loop_is_current(loop));
    timer_wheel_stop(&loop->timers, timer);
}

/* --- end-of-turn hooks --- */

void deferred_init(struct deferred *deferred, void (*run)(struct deferred *deferred))
{
    list_init(&deferred->node);
    deferred->run = run;
}

void loop_defer(struct loop *loop, struct deferred *deferred, enum loop_phase phase)
{
    check_slow(loop_is_current(loop));
    if (list_is_empty(&deferred->node)) {
        list_push_back(&loop->deferred[phase], &deferred->node);
    }
}

void deferred_cancel(struct deferred *deferred)
{
    list_remove(&deferred->node);
}
