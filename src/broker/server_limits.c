/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/server_limits.h"

#include <stdio.h>

enum {
    WRITE_STALL_MAX_MS = 30 * 1000,
    MEMORY_FRACTION = 8,
    FRAMES_MIN = 2, /* new frames are read up to half of the memory: the largest must fit */
};

static const int64_t memory_most = INT64_C(1) << 30;
static const int64_t memory_unknown = INT64_C(512) << 20;

static int64_t setting(const struct broker_options *options, enum setting_id id)
{
    return settings_integer(options->settings->settings, id);
}

/* Of received frames; as much again for the arenas of requests. */
static int64_t request_memory_max(const struct broker_options *options)
{
    const int64_t wanted = setting(options, SETTING_QUEUED_MAX_REQUEST_BYTES);
    const int64_t least = FRAMES_MIN * setting(options, SETTING_SOCKET_REQUEST_MAX_BYTES);
    if (wanted > 0) {
        return wanted;
    }
    int64_t memory =
        options->memory_max > 0 ? options->memory_max / MEMORY_FRACTION : memory_unknown;
    memory = memory < memory_most ? memory : memory_most;
    return memory > least ? memory : least;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum error server_limits_make(const struct broker_options *options,
                              struct server_limits *ret_limits, struct start_failure *ret_failure)
{
    /* One half is for connections, the other for files. */
    const int64_t possible = options->descriptor_count_max / 2 - DESCRIPTOR_RESERVE;
    const int64_t count = smaller(setting(options, SETTING_MAX_CONNECTIONS), possible);
    const int64_t memory = request_memory_max(options);
    if (possible < CONNECTION_COUNT_MIN) {
        *ret_failure = (struct start_failure){.error = E_LOCAL_BAD_CONFIG};
        (void)snprintf(ret_failure->text, sizeof(ret_failure->text),
                       "only %lld file descriptors are allowed (RLIMIT_NOFILE), at least %d are "
                       "needed: raise the limit (ulimit -n, LimitNOFILE)",
                       (long long)options->descriptor_count_max,
                       2 * (CONNECTION_COUNT_MIN + DESCRIPTOR_RESERVE));
        return E_LOCAL_BAD_CONFIG;
    }
    *ret_limits = (struct server_limits){
        .frame_size_max = (uint32_t)setting(options, SETTING_SOCKET_REQUEST_MAX_BYTES),
        .connection_count_max = (uint32_t)count,
        /* One address alone cannot shut out all others. */
        .connection_per_address_max = (uint32_t)smaller(
            setting(options, SETTING_MAX_CONNECTIONS_PER_IP), possible - possible / 8),
        .idle_max_ms = setting(options, SETTING_CONNECTIONS_MAX_IDLE_MS),
        .write_stall_max_ms = WRITE_STALL_MAX_MS,
        .request_memory_max = (size_t)memory,
        .arena_memory_max = (size_t)memory,
        .receive_buffer_size = (int)setting(options, SETTING_SOCKET_RECEIVE_BUFFER_BYTES),
        .send_buffer_size = (int)setting(options, SETTING_SOCKET_SEND_BUFFER_BYTES),
        .backlog = (int)setting(options, SETTING_SOCKET_LISTEN_BACKLOG_SIZE),
    };
    return E_OK;
}
