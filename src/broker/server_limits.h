/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What clients may use together: connections and memory. Where the settings have Kafka's defaults,
 * which are infinite, the limits come from what the process has (docs/decisions/limits.md).
 */

#include "broker/broker.h"
#include "net/connection.h"

enum {
    /* Descriptors that are neither connections nor segments: sockets that listen, epoll, the store,
     * locks, and some for what a worker has open for a moment. */
    DESCRIPTOR_RESERVE = 64,
    CONNECTION_COUNT_MIN = 64, /* with less nobody would call it a broker */
};

/*
 * Errors: E_LOCAL_BAD_CONFIG with a text: too few descriptors.
 */
NODISCARD enum error server_limits_make(const struct broker_options *options,
                                        struct server_limits *ret_limits,
                                        struct start_failure *ret_failure);
