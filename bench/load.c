/* SPDX-License-Identifier: Apache-2.0 */

/* The load generator: one case against one broker, one line of JSON. See bench/README.md. */

#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RUN_SECONDS_MAX = 600 }; /* whatever the options say */

void load_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) != 0) {
        load_fail("clock: %s", strerror(errno));
    }
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t load_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* The process's own clock has no tick: it counts nanoseconds, of threads that ended as well. */
int64_t load_cpu_ns(pid_t pid)
{
    clockid_t clock;
    if (pid == 0) {
        return 0;
    }
    if (clock_getcpuclockid(pid, &clock) != 0) {
        load_fail("no process %d", (int)pid);
    }
    return clock_ns(clock);
}

int64_t load_rss_bytes(pid_t pid)
{
    char path[64];
    long long size = 0;
    long long resident = 0;
    if (pid == 0) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%lld %lld", &size, &resident) != 2) {
        load_fail("%s: %s", path, strerror(errno));
    }
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

void mark_begin(struct mark *m, pid_t pid)
{
    m->broker_cpu_ns = load_cpu_ns(pid);
    m->own_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    m->begin_ns = load_now_ns();
}

void mark_end(struct mark *m, pid_t pid)
{
    m->elapsed_ns = load_now_ns() - m->begin_ns;
    m->broker_cpu_ns = load_cpu_ns(pid) - m->broker_cpu_ns;
    m->own_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - m->own_cpu_ns;
}

void json_begin(const struct load_options *o)
{
    printf("{\"case\": \"%s\"", o->name);
}

void json_int(const char *name, int64_t value)
{
    printf(", \"%s\": %lld", name, (long long)value);
}

void json_real(const char *name, double value)
{
    printf(", \"%s\": %.9g", name, value);
}

void json_mark(const struct mark *m)
{
    json_real("elapsed_s", (double)m->elapsed_ns / 1e9);
    json_real("broker_cpu_s", (double)m->broker_cpu_ns / 1e9);
    json_real("load_cpu_s", (double)m->own_cpu_ns / 1e9);
}

void json_latency(const char *name, const struct histogram *h)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        printf(", \"%s_%s_ms\": %.6f", name, quantiles[i].name,
               (double)histogram_quantile(h, quantiles[i].share) / 1e6);
    }
    printf(", \"%s_max_ms\": %.6f", name, (double)h->max_ns / 1e6);
}

void json_end(void)
{
    puts("}");
    fflush(stdout);
}

static const struct {
    const char *name;
    void (*run)(const struct load_options *o);
} load_cases[] = {
    {"produce", case_stream},   {"small", case_stream},          {"fetch", case_stream},
    {"both", case_stream},      {"latency", case_latency},       {"idle", case_idle},
    {"connections", case_idle}, {"partitions", case_partitions}, {"ready", case_ready},
};

enum load_option {
    OPTION_BROKER = 256,
    OPTION_PID,
    OPTION_TOPIC,
    OPTION_KEEP,
    OPTION_PARTITIONS,
    OPTION_CONNECTIONS,
    OPTION_CONSUMERS,
    OPTION_IN_FLIGHT,
    OPTION_ACKS,
    OPTION_TOUCH,
    OPTION_PARKED,
    OPTION_RECORD_SIZE,
    OPTION_BATCH_SIZE,
    OPTION_RATE,
    OPTION_FETCH_RATE,
    OPTION_SECONDS,
    OPTION_WARMUP,
    OPTION_BYTES,
    OPTION_REQUESTS,
    OPTION_FILL,
    OPTION_PARTITION_BYTES,
};

static const struct option load_option_names[] = {
    {"broker", required_argument, NULL, OPTION_BROKER},
    {"pid", required_argument, NULL, OPTION_PID},
    {"topic", required_argument, NULL, OPTION_TOPIC},
    {"keep", no_argument, NULL, OPTION_KEEP},
    {"partitions", required_argument, NULL, OPTION_PARTITIONS},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"consumers", required_argument, NULL, OPTION_CONSUMERS},
    {"in-flight", required_argument, NULL, OPTION_IN_FLIGHT},
    {"acks", required_argument, NULL, OPTION_ACKS},
    {"touch", required_argument, NULL, OPTION_TOUCH},
    {"parked", no_argument, NULL, OPTION_PARKED},
    {"record-size", required_argument, NULL, OPTION_RECORD_SIZE},
    {"batch-size", required_argument, NULL, OPTION_BATCH_SIZE},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"fetch-rate", required_argument, NULL, OPTION_FETCH_RATE},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"bytes", required_argument, NULL, OPTION_BYTES},
    {"requests", required_argument, NULL, OPTION_REQUESTS},
    {"fill", required_argument, NULL, OPTION_FILL},
    {"partition-bytes", required_argument, NULL, OPTION_PARTITION_BYTES},
    {NULL, 0, NULL, 0},
};

static int64_t number(const char *text, int64_t low, int64_t high)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || value < low || value > high) {
        load_fail("%s: not a number from %lld to %lld", text, (long long)low, (long long)high);
    }
    return value;
}

static double real_number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || end == text || !(value >= 0 && value <= RUN_SECONDS_MAX)) {
        load_fail("%s: not a number of seconds up to %d", text, RUN_SECONDS_MAX);
    }
    return value;
}

static void option_broker(struct load_options *o, char *text)
{
    char *colon = strrchr(text, ':');
    if (colon == NULL) {
        load_fail("%s: not HOST:PORT", text);
    }
    *colon = '\0';
    o->host = strcmp(text, "localhost") == 0 ? "127.0.0.1" : text;
    o->port = (int)number(colon + 1, 1, 65535);
}

static void option_set(struct load_options *o, enum load_option option, char *text)
{
    switch (option) {
    case OPTION_BROKER:
        option_broker(o, text);
        break;
    case OPTION_PID:
        o->pid = (pid_t)number(text, 1, INT32_MAX);
        break;
    case OPTION_TOPIC:
        if (strlen(text) > TOPIC_NAME_SIZE_MAX) {
            load_fail("--topic: longer than %d", TOPIC_NAME_SIZE_MAX);
        }
        strcpy(o->topic, text);
        break;
    case OPTION_KEEP:
        o->keep = true;
        break;
    case OPTION_PARTITIONS:
        /* ready may wait for Metadata alone */
        o->partitions = (int)number(text, strcmp(o->name, "ready") != 0, PARTITIONS_MAX);
        break;
    case OPTION_CONNECTIONS:
        o->connections = (int)number(text, 1, 60000);
        break;
    case OPTION_CONSUMERS:
        o->consumers = (int)number(text, 1, 1000);
        break;
    case OPTION_IN_FLIGHT:
        o->in_flight = (int)number(text, 1, 4096);
        break;
    case OPTION_ACKS:
        o->acks = (int)number(strcmp(text, "all") == 0 ? "-1" : text, -1, 1);
        break;
    case OPTION_TOUCH:
        o->touch = (int)number(text, 0, PARTITIONS_MAX);
        break;
    case OPTION_PARKED:
        o->parked = true;
        break;
    case OPTION_RECORD_SIZE:
        o->record_size = (size_t)number(text, 0, 1 << 20);
        break;
    case OPTION_BATCH_SIZE:
        o->batch_size = (size_t)number(text, 0, 1 << 20);
        break;
    case OPTION_RATE:
        o->rate = number(text, 0, 100000000);
        break;
    case OPTION_FETCH_RATE:
        o->fetch_rate = number(text, 0, 100000000);
        break;
    case OPTION_SECONDS:
        o->seconds = real_number(text);
        break;
    case OPTION_WARMUP:
        o->warmup = real_number(text);
        break;
    case OPTION_BYTES:
        o->bytes_max = number(text, 0, INT64_MAX);
        break;
    case OPTION_REQUESTS:
        o->requests_max = number(text, 0, INT64_MAX);
        break;
    case OPTION_FILL:
        o->fill_bytes = (size_t)number(text, 0, INT64_MAX);
        break;
    case OPTION_PARTITION_BYTES:
        o->partition_bytes = (size_t)number(text, 1, INT32_MAX);
        break;
    default:
        load_fail("unknown option");
    }
}

static void options_parse(struct load_options *o, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", load_option_names, NULL)) != -1) {
        if (option == '?') {
            exit(2);
        }
        option_set(o, (enum load_option)option, optarg);
    }
    if (o->host == NULL || optind != argc) {
        load_fail("usage: load CASE --broker HOST:PORT [--pid PID] [options]; see bench/README.md");
    }
    if (strcmp(o->name, "small") == 0) {
        o->batch_size = 0;
    }
}

int main(int argc, char **argv)
{
    struct load_options o = {
        .name = argc > 1 ? argv[1] : "",
        .partitions = 1,
        .connections = 1,
        .consumers = 1,
        .in_flight = 5,
        .acks = 1,
        .record_size = 100,
        .batch_size = 16384,
        .seconds = 3,
        .bytes_max = 8LL << 30,
        .fill_bytes = 256U << 20,
        .partition_bytes = 1 << 20,
    };
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    snprintf(o.topic, sizeof(o.topic), "bench-%.20s-%d-%lld", o.name, (int)getpid(),
             (long long)(load_now_ns() / 1000000));
    for (size_t i = 0; i < sizeof(load_cases) / sizeof(load_cases[0]); i++) {
        if (strcmp(o.name, load_cases[i].name) == 0) {
            options_parse(&o, argc - 1, argv + 1);
            alarm((unsigned)(2 * RUN_SECONDS_MAX)); /* the last resort: ends a run that hangs */
            load_cases[i].run(&o);
            return 0;
        }
    }
    load_fail("no case %s", o.name);
}
