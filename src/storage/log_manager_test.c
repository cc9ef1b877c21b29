/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/log_manager.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/log_fixture.h"

#include <cmocka.h>

/* --- a manager on a temporary directory, with a loop and workers --- */

enum { TURN_MS = 20, TURNS_MAX = 500 };

struct home {
    char directory[64];
    char second[80];
    struct loop *loop;
    struct worker_pool *workers;
    struct log_manager *manager;
    struct start_failure failure;
    struct log_manager_options options;
    const char *directories[2];
    uint32_t change_count;
    enum error last_change;
};

static void on_change(void *context, uint32_t directory, enum error error)
{
    struct home *home = context;
    assert_int_equal(directory, 0);
    home->change_count++;
    home->last_change = error;
}

static void home_init(struct home *home)
{
    *home = (struct home){.directory = "/tmp/ottla-manager-XXXXXX"};
    assert_non_null(mkdtemp(home->directory));
    (void)snprintf(home->second, sizeof(home->second), "%s/second", home->directory);
    home->directories[0] = home->directory;
    home->directories[1] = home->second;
    home->options = (struct log_manager_options){
        .directories = home->directories,
        .directory_count = 1,
        .broker_id = -1,
        .flush_background_interval_ms = 10,
        .retention_check_interval_ms = 1000,
        .recovery_point_checkpoint_interval_ms = 10,
        .start_offset_checkpoint_interval_ms = 10,
        .high_watermark_checkpoint_interval_ms = 10,
        .open_files_max = 100,
        .probe_interval_ms = 10,
        .broker_epoch = -1,
    };
    assert_int_equal(loop_new(clock_system(), 0, &home->loop), E_OK);
    assert_int_equal(worker_pool_new(2, &home->workers), E_OK);
}

static enum error home_start(struct home *home)
{
    const struct log_env env = {
        .vfs = vfs_system(),
        .clock = clock_system(),
        .loop = home->loop,
        .workers = home->workers,
    };
    const enum error error =
        log_manager_open(&env, NULL, &home->options, &home->manager, &home->failure);
    if (error == E_OK) {
        log_manager_on_directory_change(home->manager, on_change, home);
    }
    return error;
}

/* As kill -9 for the files: nothing is closed. */
static void home_kill(struct home *home)
{
    log_manager_free(home->manager);
    home->manager = NULL;
}

static void home_stop(struct home *home)
{
    log_manager_close_clean(home->manager);
    home_kill(home);
}

static void home_done(struct home *home)
{
    char command[128];
    log_manager_free(home->manager);
    worker_pool_free(home->workers);
    loop_turn(home->loop, 0);
    loop_free(home->loop);
    (void)snprintf(command, sizeof(command), "rm -rf %s", home->directory);
    assert_int_equal(system(command), 0);
}

static const char *path_of(const struct home *home, const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", home->directory, name);
    return path;
}

static bool has(const struct home *home, const char *name)
{
    struct stat st;
    return stat(path_of(home, name), &st) == 0;
}

static void write_text(const struct home *home, const char *name, const char *text)
{
    FILE *file = fopen(path_of(home, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_text(const struct home *home, const char *name)
{
    static char text[4096];
    FILE *file = fopen(path_of(home, name), "r");
    text[0] = '\0';
    if (file != NULL) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        (void)fclose(file);
    }
    return text;
}

static struct topic_partition tp(const char *topic, int32_t partition)
{
    return (struct topic_partition){.topic = slice_from_string(topic), .partition = partition};
}

struct waiting_load {
    struct log_load load;
    enum error error;
    bool is_done;
};

static void on_loaded(struct log_load *load)
{
    struct waiting_load *waiting = (struct waiting_load *)(void *)load;
    assert_false(waiting->is_done);
    waiting->is_done = true;
    waiting->error = load->error;
}

static void begin_load(struct home *home, struct log_entry *entry, struct waiting_load *waiting)
{
    *waiting = (struct waiting_load){
        .load = {.entry = entry, .config = fixture_config(), .on_done = on_loaded}};
    waiting->load.config.file_delete_delay_ms = 0;
    log_manager_load(home->manager, &waiting->load);
}

static void turn_until(struct home *home, const bool *is_done)
{
    for (int i = 0; i < TURNS_MAX && !*is_done; i++) {
        loop_turn(home->loop, TURN_MS);
    }
    assert_true(*is_done);
}

static enum error load(struct home *home, struct log_entry *entry)
{
    struct waiting_load waiting;
    begin_load(home, entry, &waiting);
    turn_until(home, &waiting.is_done);
    return waiting.error;
}

static struct log_entry *add(struct home *home, const char *topic, int32_t partition)
{
    struct log_entry *entry =
        log_manager_add(home->manager, tp(topic, partition), NULL, UINT32_MAX);
    assert_non_null(entry);
    return entry;
}

static void on_appended(struct append *append)
{
    assert_int_equal(append->error, E_OK);
    free(append);
}

static void append_one(struct home *home, struct log *log)
{
    struct log_fixture fixture;
    size_t size;
    fixture_init(&fixture, NULL);
    uint8_t *data = fixture_batch(&fixture, &(struct batch_spec){.count = 3}, &size);
    struct append *append = calloc(1, sizeof(*append));
    assert_non_null(append);
    append->data = data;
    append->size = size;
    append->origin = APPEND_FROM_CLIENT;
    append->on_done = on_appended;
    append->scratch = fixture.scratch;
    log_append(log, append);
    loop_turn(home->loop, 0);
    free(data);
    fixture_done(&fixture);
}

static int64_t end_of(const struct log_entry *entry)
{
    struct log_offsets offsets;
    log_get_offsets(entry->log, &offsets);
    return offsets.end;
}

/* --- tests --- */

/* A clean stop leaves checkpoints and the marker; the next start takes the marker away, trusts
 * them and finds the data. */
static void test_clean_stop_and_start(void **state)
{
    struct home home;
    (void)state;
    home_init(&home);
    assert_int_equal(home_start(&home), E_OK);
    struct log_entry *entry = add(&home, "orders", 3);
    assert_int_equal(load(&home, entry), E_OK);
    append_one(&home, entry->log);
    log_set_high_watermark(entry->log, 2);
    home_stop(&home);
    assert_true(has(&home, ".kafka_cleanshutdown"));
    assert_string_equal(read_text(&home, ".kafka_cleanshutdown"),
                        "{\"version\":0,\"brokerEpoch\":-1}");
    assert_string_equal(read_text(&home, "recovery-point-offset-checkpoint"), "0\n1\norders 3 3\n");
    assert_string_equal(read_text(&home, "replication-offset-checkpoint"), "0\n1\norders 3 2\n");

    assert_int_equal(home_start(&home), E_OK);
    assert_false(has(&home, ".kafka_cleanshutdown"));
    entry = log_manager_find(home.manager, tp("orders", 3));
    assert_non_null(entry);
    assert_null(entry->log);
    assert_true(entry->hints.was_clean);
    assert_int_equal(entry->hints.recovery_point, 3);
    assert_int_equal(entry->hints.high_watermark, 2);
    assert_int_equal(load(&home, entry), E_OK);
    assert_int_equal(end_of(entry), 3);

    /* Killed: no marker, but what is in the page cache is found, on the same boot. */
    append_one(&home, entry->log);
    home_kill(&home);
    assert_int_equal(home_start(&home), E_OK);
    entry = log_manager_find(home.manager, tp("orders", 3));
    assert_false(entry->hints.was_clean);
    assert_false(entry->hints.machine_restarted);
    /* Not loaded, so not recovered: a clean stop must not say that it is. */
    home_stop(&home);
    assert_false(has(&home, ".kafka_cleanshutdown"));
    assert_int_equal(home_start(&home), E_OK);
    entry = log_manager_find(home.manager, tp("orders", 3));
    assert_int_equal(load(&home, entry), E_OK);
    assert_int_equal(end_of(entry), 6);
    home_stop(&home);
    assert_true(has(&home, ".kafka_cleanshutdown"));
    home_done(&home);
}

/* Ids that differ, a lock that is held and a partition in two places refuse with one line. */
static void test_refuses_to_start(void **state)
{
    struct home home;
    struct home other;
    (void)state;
    home_init(&home);
    home.options.cluster_id = SLICE("a-cluster");
    write_text(&home, "meta.properties", "version=0\nbroker.id=7\ncluster.id=b-cluster\n");
    assert_int_equal(home_start(&home), E_INCONSISTENT_CLUSTER_ID);
    assert_non_null(strstr(home.failure.text, "a-cluster"));
    assert_non_null(strstr(home.failure.text, "b-cluster"));
    home.options.cluster_id = SLICE_NULL;
    home.options.broker_id = 8;
    assert_int_equal(home_start(&home), E_LOCAL_BAD_CONFIG);
    home.options.broker_id = -1;
    assert_int_equal(home_start(&home), E_OK);
    assert_int_equal(log_manager_broker_id(home.manager), 7);

    home_init(&other);
    other.directories[0] = home.directory;
    assert_int_equal(home_start(&other), E_LOCAL_BUSY);
    home_done(&other);

    home_kill(&home);
    home.options.directory_count = 2;
    assert_int_equal(mkdir(path_of(&home, "t-0"), 0755), 0);
    assert_int_equal(mkdir(path_of(&home, "second"), 0755), 0);
    assert_int_equal(mkdir(path_of(&home, "second/t-0"), 0755), 0);
    assert_int_equal(home_start(&home), E_LOCAL_CORRUPT);
    assert_non_null(strstr(home.failure.text, "t-0"));
    home_done(&home);
}

/* A deleted partition is renamed at once and unlinked after its delay; its namesake begins empty,
 * also while the old one is still being loaded, and no checkpoint tells it the old offsets. */
static void test_delete_and_make_again(void **state)
{
    struct home home;
    struct waiting_load first;
    struct waiting_load second;
    (void)state;
    home_init(&home);
    assert_int_equal(home_start(&home), E_OK);
    struct log_entry *entry = add(&home, "t", 0);
    assert_int_equal(load(&home, entry), E_OK);
    append_one(&home, entry->log);
    home_stop(&home);
    assert_string_equal(read_text(&home, "recovery-point-offset-checkpoint"), "0\n1\nt 0 3\n");

    assert_int_equal(home_start(&home), E_OK);
    entry = log_manager_find(home.manager, tp("t", 0));
    begin_load(&home, entry, &first);
    log_manager_delete(home.manager, entry);
    assert_null(log_manager_find(home.manager, tp("t", 0)));
    entry = add(&home, "t", 0);
    begin_load(&home, entry, &second);
    turn_until(&home, &second.is_done);
    assert_true(first.is_done);
    assert_int_equal(first.error, E_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(second.error, E_OK);
    assert_int_equal(end_of(entry), 0);
    assert_null(strstr(read_text(&home, "recovery-point-offset-checkpoint"), "t 0 3"));
    home_kill(&home);

    /* Never loaded: nothing is on disk, nothing is renamed. What an earlier run left goes. */
    assert_int_equal(mkdir(path_of(&home, "u-0.0123456789abcdef0123456789abcdef-delete"), 0755), 0);
    write_text(&home, "u-0.0123456789abcdef0123456789abcdef-delete/00000000000000000000.log", "x");
    assert_int_equal(home_start(&home), E_OK);
    log_manager_delete(home.manager, add(&home, "v", 1));
    assert_null(log_manager_find(home.manager, tp("v", 1)));
    for (int i = 0; i < TURNS_MAX && has(&home, "u-0.0123456789abcdef0123456789abcdef-delete");
         i++) {
        loop_turn(home.loop, TURN_MS);
    }
    assert_false(has(&home, "u-0.0123456789abcdef0123456789abcdef-delete"));
    home_done(&home);
}

/* A directory that fails is told once, loses its logs, is not written any more and gets no marker;
 * one that was only full comes back and its logs load again with what was flushed. */
static void test_offline_and_back(void **state)
{
    struct home home;
    (void)state;
    home_init(&home);
    assert_int_equal(home_start(&home), E_OK);
    struct log_entry *entry = add(&home, "t", 0);
    assert_int_equal(load(&home, entry), E_OK);
    append_one(&home, entry->log);
    log_manager_fail_directory(home.manager, 0, E_LOCAL_NO_SPACE);
    log_manager_fail_directory(home.manager, 0, E_LOCAL_IO);
    assert_int_equal(home.change_count, 1);
    assert_null(entry->log);
    assert_int_equal(load(&home, entry), E_LOCAL_OFFLINE);
    struct log_directory_status status;
    log_manager_directory_status(home.manager, 0, &status);
    assert_int_equal(status.error, E_LOCAL_NO_SPACE);
    for (int i = 0; i < TURNS_MAX && home.change_count < 2; i++) {
        loop_turn(home.loop, TURN_MS);
    }
    assert_int_equal(home.last_change, E_OK);
    assert_int_equal(load(&home, entry), E_OK);
    assert_int_equal(end_of(entry), 3);

    log_manager_fail_directory(home.manager, 0, E_LOCAL_IO);
    home_stop(&home);
    assert_false(has(&home, ".kafka_cleanshutdown"));
    home_done(&home);
}

/* The flusher moves the recovery point, and the checkpoint follows, without anybody asking. */
static void test_flushes_by_itself(void **state)
{
    struct home home;
    (void)state;
    home_init(&home);
    assert_int_equal(home_start(&home), E_OK);
    struct log_entry *entry = add(&home, "t", 0);
    assert_int_equal(load(&home, entry), E_OK);
    append_one(&home, entry->log);
    for (int i = 0; i < TURNS_MAX; i++) {
        loop_turn(home.loop, TURN_MS);
        if (strcmp(read_text(&home, "recovery-point-offset-checkpoint"), "0\n1\nt 0 3\n") == 0) {
            break;
        }
    }
    assert_string_equal(read_text(&home, "recovery-point-offset-checkpoint"), "0\n1\nt 0 3\n");
    home_done(&home);
}

/* Damaged checkpoints, foreign names and a marker that does not fit make more recovery, no error.
 */
static void test_trusts_little(void **state)
{
    struct home home;
    (void)state;
    home_init(&home);
    assert_int_equal(home_start(&home), E_OK);
    struct log_entry *entry = add(&home, "t", 0);
    assert_int_equal(load(&home, entry), E_OK);
    append_one(&home, entry->log);
    home_stop(&home);
    write_text(&home, "recovery-point-offset-checkpoint", "0\n2\nt 0 3\n");
    write_text(&home, "replication-offset-checkpoint", "");
    assert_int_equal(mkdir(path_of(&home, "lost+found"), 0755), 0);
    assert_int_equal(mkdir(path_of(&home, "__cluster_metadata-0"), 0755), 0);
    assert_int_equal(mkdir(path_of(&home, "t-01"), 0755), 0);
    assert_int_equal(mkdir(path_of(&home, "-1"), 0755), 0);
    assert_int_equal(home_start(&home), E_OK);
    entry = log_manager_next(home.manager, NULL);
    assert_non_null(entry);
    assert_null(log_manager_next(home.manager, entry));
    assert_int_equal(entry->hints.recovery_point, 0);
    assert_int_equal(load(&home, entry), E_OK);
    assert_int_equal(end_of(entry), 3);
    home_done(&home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_stop_and_start),  cmocka_unit_test(test_refuses_to_start),
        cmocka_unit_test(test_delete_and_make_again), cmocka_unit_test(test_offline_and_back),
        cmocka_unit_test(test_flushes_by_itself),     cmocka_unit_test(test_trusts_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
