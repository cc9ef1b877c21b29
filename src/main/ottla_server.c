/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ottla-server [FILE.properties] [--override name=value]...
 *
 * Stays in the foreground, writes its diagnostics to stderr, one line when it serves, and ends
 * cleanly on SIGTERM and SIGINT. Exit status: 0 clean, 1 it could not start or had to stop,
 * 2 wrong arguments.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/broker.h"
#include "config/diagnosis.h"
#include "io/vfs.h"

enum {
    CONFIG_FILE_SIZE_MAX = 1024 * 1024,
    ARENA_SIZE_MAX = 16 * 1024 * 1024,
    DESCRIPTOR_COUNT_WANTED = 100000, /* as Kafka's own advice for RLIMIT_NOFILE */
};

struct arguments {
    const char *file; /* NULL: none */
    const char **overrides;
    size_t override_count;
};

static const char usage[] =
    "usage: ottla-server [FILE.properties] [--override name=value]...\n"
    "\n"
    "  FILE.properties        settings, as Apache Kafka's server.properties; without it the "
    "broker\n"
    "                         listens on 127.0.0.1:9092 and keeps its data in ./data\n"
    "  --override name=value  a setting that wins over the file\n"
    "  --version, --help\n";

/* Broker that the signal handler stops. The one mutable global of the process, set before handlers.
 */
static struct broker *running_broker;

static void on_signal(int signal_number)
{
    (void)signal_number;
    broker_stop(running_broker);
}

static sigset_t stop_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

/* While the broker starts they wait: a half-started one is not to be torn down. Its threads inherit
 * the mask, so that the main thread takes them. */
static void hold_signals(void)
{
    const sigset_t signals = stop_signals();
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
}

static void handle_signals(struct broker *broker)
{
    const sigset_t signals = stop_signals();
    running_broker = broker;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

/* -1: go on; otherwise the exit status. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            (void)puts("ottla-server " OTTLA_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--override") == 0 && i + 1 < argc) {
            arguments->overrides[arguments->override_count++] = argv[++i];
        } else if (argv[i][0] != '-' && arguments->file == NULL) {
            arguments->file = argv[i];
        } else {
            (void)fprintf(stderr, "ottla-server: unexpected argument '%s'\n%s", argv[i], usage);
            return 2;
        }
    }
    return -1;
}

static void print_diagnoses(struct diag *diag, const struct diagnoses *diagnoses)
{
    for (const struct diagnosis *diagnosis = diagnoses->head; diagnosis != NULL;
         diagnosis = diagnosis->next) {
        diag_write(diag, diagnosis->severity == DIAGNOSIS_ERROR ? DIAG_ERROR : DIAG_WARN, "%s",
                   diagnosis->text);
    }
}

/* NULL: said why. */
static struct broker_settings *load_settings(const struct arguments *arguments, struct diag *diag)
{
    struct arena arena;
    struct broker_settings *settings = NULL;
    struct slice bytes = SLICE_NULL;
    arena_init(&arena, ARENA_SIZE_MAX);
    if (arguments->file != NULL) {
        const enum error error =
            vfs_read_file(vfs_system(), arguments->file, CONFIG_FILE_SIZE_MAX, &arena, &bytes);
        if (error != E_OK) {
            diag_error(diag,
                       "cannot read the settings file %s: %s; name a file that can be read, "
                       "or none",
                       arguments->file, error_text(error));
            arena_done(&arena);
            return NULL;
        }
    }
    struct diagnoses diagnoses;
    diagnoses_init(&diagnoses, &arena);
    const struct broker_config_input input = {
        .file_name = arguments->file,
        .file = bytes,
        .overrides = arguments->overrides,
        .override_count = arguments->override_count,
        .default_log_dir = "data",
    };
    const enum error error = broker_config_load(&input, &diagnoses, &settings);
    print_diagnoses(diag, &diagnoses);
    if (error == E_LOCAL_NO_MEMORY) {
        diag_error(diag, "no memory to read the settings");
    }
    arena_done(&arena);
    return settings;
}

/* Raises the soft limit of descriptors as far as the hard one allows. */
static int64_t raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? DESCRIPTOR_COUNT_WANTED : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

/* One line of a file with a number, as control groups have; INT64_MAX: none, or "max". */
static int64_t read_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    long long limit = INT64_MAX;
    if (file == NULL || fscanf(file, "%lld", &limit) != 1 || limit <= 0) {
        limit = INT64_MAX;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return limit;
}

/* The machine's memory, or what the control group (version 2, 1) of a container leaves of it. */
static int64_t memory_limit(void)
{
    const int64_t limits[] = {
        (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
        read_limit("/sys/fs/cgroup/memory.max"),
        read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    };
    int64_t smallest = INT64_MAX;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        smallest = limits[i] > 0 && limits[i] < smallest ? limits[i] : smallest;
    }
    return smallest;
}

static int serve(const struct broker_settings *settings, struct diag *diag)
{
    struct broker_options options = {
        .settings = settings,
        .diag = diag,
        .vfs = vfs_system(),
        .clock = clock_system(),
        .descriptor_count_max = raise_descriptor_limit(),
        .memory_max = memory_limit(),
    };
    struct start_failure failure = {.error = E_OK};
    struct broker *broker;
    hold_signals();
    if (getrandom(&options.seed, sizeof(options.seed), 0) != sizeof(options.seed)) {
        diag_error(diag, "the system gives no random numbers: %s", strerror(errno));
        return 1;
    }
    if (broker_new(&options, &broker, &failure) != E_OK) {
        diag_error(diag, "not started: %s",
                   failure.text[0] != '\0' ? failure.text : error_text(failure.error));
        return 1;
    }
    handle_signals(broker);
    broker_run(broker);
    diag_info(diag, "stopping: closing logs");
    broker_free(broker);
    diag_info(diag, "stopped cleanly");
    return 0;
}

int main(int argc, char **argv)
{
    struct diag diag = {.level_min = DIAG_INFO, .fd = STDERR_FILENO};
    struct arguments arguments = {.overrides = calloc((size_t)argc, sizeof(char *))};
    if (arguments.overrides == NULL) {
        return 1;
    }
    int status = parse_arguments(argc, argv, &arguments);
    if (status < 0) {
        struct broker_settings *settings = load_settings(&arguments, &diag);
        status = settings == NULL ? 1 : serve(settings, &diag);
        broker_settings_free(settings);
    }
    free(arguments.overrides);
    return status;
}
