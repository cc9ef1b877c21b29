/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens by the clock. One timer per kind of work, none per partition; a walk over the
 * loaded logs goes in steps with pauses. Without a loop (tests that drive by hand) nothing runs.
 */
#include "storage/log_manager_private.h"
#include "storage/log_private.h" /* its clock */

enum {
    PROBE_INTERVAL_MS = 5000,
    PRODUCER_CHECK_INTERVAL_MS = 600000, /* producer.id.expiration.check.interval.ms */
    PRODUCER_STEP_COUNT = 256,
    PRODUCER_PAUSE_MS = 20,
    /* Ours writes more often than Kafka's 60 s, so that little is scanned after a crash. */
    RECOVERY_POINT_INTERVAL_MAX_MS = 5000,
    NS_PER_MS = 1000000,
};

static int64_t deadline_after(const struct log_manager *manager, int64_t duration_ms)
{
    const int64_t now_ns = loop_now_ns(manager->env.loop);
    return duration_ms < (INT64_MAX - now_ns) / NS_PER_MS ? now_ns + duration_ms * NS_PER_MS
                                                          : INT64_MAX;
}

/* --- walks --- */

static void step(struct pass *pass)
{
    struct log_manager *manager = pass->manager;
    for (uint32_t i = 0; i < pass->step_count; i++) {
        if (pass->next == &manager->loaded) {
            pass->next = NULL;
            if (pass->on_end != NULL) {
                pass->on_end(manager);
            }
            return;
        }
        struct managed_entry *managed = container_of(pass->next, struct managed_entry, loaded_node);
        pass->next = pass->next->next;
        pass->visit(manager, managed); /* may drop this one, or all */
        if (pass->next == NULL) {
            return; /* a new walk is not begun from inside */
        }
    }
    timer_start(manager->env.loop, &pass->timer, deadline_after(manager, pass->pause_ms));
}

static void on_pass_timer(struct timer *timer)
{
    step(container_of(timer, struct pass, timer));
}

void manager_begin_pass(struct log_manager *manager, enum pass_kind kind, uint32_t step_count,
                        int64_t pause_ms)
{
    struct pass *pass = &manager->passes[kind];
    if (pass->next != NULL) {
        return; /* the last one is not done yet */
    }
    pass->next = manager->loaded.next;
    pass->step_count = step_count;
    pass->pause_ms = pause_ms;
    step(pass);
}

void manager_passes_skip(struct log_manager *manager, struct managed_entry *managed)
{
    for (int i = 0; i < PASS_COUNT; i++) {
        struct pass *pass = &manager->passes[i];
        if (pass->next == &managed->loaded_node) {
            pass->next = managed->loaded_node.next;
        }
    }
}

/* --- producers --- */

static enum error expire_producers(struct log *log)
{
    log_expire_producers(log, log_now_ms(log));
    return E_OK;
}

static void visit_producers(struct log_manager *manager, struct managed_entry *managed)
{
    (void)manager;
    manager_visit_log(managed, expire_producers);
}

static void tick_producers(struct log_manager *manager)
{
    manager_begin_pass(manager, PASS_PRODUCERS, PRODUCER_STEP_COUNT, PRODUCER_PAUSE_MS);
}

/* --- checkpoints --- */

static void tick_recovery_point(struct log_manager *manager)
{
    manager_write_checkpoints(manager, KIND_RECOVERY_POINT);
}

static void tick_high_watermark(struct log_manager *manager)
{
    manager_write_checkpoints(manager, KIND_HIGH_WATERMARK);
}

/* --- timers --- */

static void arm(struct periodic *periodic)
{
    struct log_manager *manager = periodic->manager;
    if (periodic->interval_ms > 0) {
        timer_start(manager->env.loop, &periodic->timer,
                    deadline_after(manager, periodic->interval_ms));
    }
}

static void on_periodic_timer(struct timer *timer)
{
    struct periodic *periodic = container_of(timer, struct periodic, timer);
    arm(periodic);
    periodic->tick(periodic->manager);
}

static void start_periodic(struct log_manager *manager, enum periodic_kind kind,
                           int64_t interval_ms, void (*tick)(struct log_manager *manager))
{
    struct periodic *periodic = &manager->periodics[kind];
    timer_init(&periodic->timer, on_periodic_timer);
    periodic->manager = manager;
    periodic->interval_ms = interval_ms;
    periodic->tick = tick;
    arm(periodic);
}

static void init_pass(struct log_manager *manager, enum pass_kind kind,
                      void (*visit)(struct log_manager *manager, struct managed_entry *managed),
                      void (*on_end)(struct log_manager *manager))
{
    struct pass *pass = &manager->passes[kind];
    timer_init(&pass->timer, on_pass_timer);
    pass->manager = manager;
    pass->visit = visit;
    pass->on_end = on_end;
}

void manager_start_background(struct log_manager *manager)
{
    const struct log_manager_options *options = &manager->options;
    int64_t recovery_point_ms = options->recovery_point_checkpoint_interval_ms;
    if (manager->env.loop == NULL) {
        return;
    }
    if (options->flush_background_interval_ms > 0 &&
        recovery_point_ms > RECOVERY_POINT_INTERVAL_MAX_MS) {
        recovery_point_ms = RECOVERY_POINT_INTERVAL_MAX_MS;
    }
    init_pass(manager, PASS_FLUSH, manager_visit_flush, NULL);
    init_pass(manager, PASS_RETENTION, manager_visit_retention, manager_end_retention);
    init_pass(manager, PASS_PRODUCERS, visit_producers, NULL);
    start_periodic(manager, PERIODIC_FLUSH, options->flush_background_interval_ms,
                   manager_tick_flush);
    start_periodic(manager, PERIODIC_RETENTION, options->retention_check_interval_ms,
                   manager_tick_retention);
    start_periodic(manager, PERIODIC_PRODUCERS, PRODUCER_CHECK_INTERVAL_MS, tick_producers);
    start_periodic(manager, PERIODIC_RECOVERY_POINT, recovery_point_ms, tick_recovery_point);
    start_periodic(manager, PERIODIC_HIGH_WATERMARK, options->high_watermark_checkpoint_interval_ms,
                   tick_high_watermark);
    start_periodic(manager, PERIODIC_LOG_START, options->start_offset_checkpoint_interval_ms,
                   log_manager_checkpoint_start_offsets);
    start_periodic(manager, PERIODIC_PROBE,
                   options->probe_interval_ms > 0 ? options->probe_interval_ms : PROBE_INTERVAL_MS,
                   manager_tick_probe);
}

void manager_stop_background(struct log_manager *manager)
{
    if (manager->env.loop == NULL || manager->periodics[0].manager == NULL) {
        return;
    }
    for (int i = 0; i < PERIODIC_COUNT; i++) {
        timer_stop(manager->env.loop, &manager->periodics[i].timer);
    }
    for (int i = 0; i < PASS_COUNT; i++) {
        timer_stop(manager->env.loop, &manager->passes[i].timer);
        manager->passes[i].next = NULL;
    }
    if (manager->trash_timer.on_expire != NULL) {
        timer_stop(manager->env.loop, &manager->trash_timer);
    }
}
