/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * listeners, advertised.listeners, listener.security.protocol.map and inter.broker.listener.name
 * as one value: which names listen where, with which protocol, and what clients are told.
 */

#include "base/arena.h"
#include "base/error.h"
#include "config/settings.h"

/* Kafka's codes (UpdateMetadata, BrokerRegistration). */
enum security_protocol {
    SECURITY_PROTOCOL_PLAINTEXT = 0,
    SECURITY_PROTOCOL_SSL = 1,
    SECURITY_PROTOCOL_SASL_PLAINTEXT = 2,
    SECURITY_PROTOCOL_SASL_SSL = 3,
};

struct listener_address {
    const char *name; /* upper case, as Kafka's */
    const char *host; /* without brackets; "": all interfaces */
    uint16_t port;    /* 0: any free port */
    enum security_protocol protocol;
};

struct listeners {
    struct listener_address *items; /* those to open; controller listeners are left out */
    size_t count;
    /* What Metadata answers, by name. 0: the address and port at which the connection arrived. */
    struct listener_address *advertised;
    size_t advertised_count;
    size_t inter_broker; /* index into items */
};

const char *security_protocol_name(enum security_protocol protocol);
/* NULL: no such name. */
const struct listener_address *listeners_find(const struct listener_address *items, size_t count,
                                              const char *name);

/*
 * Reads the four settings (and controller.listener.names) of a set.
 *
 * Errors: E_INVALID_CONFIG  with each reason added to diagnoses: not NAME://host:port, bad port,
 *                           a name or port twice, a name without protocol, an advertised name that
 *                           does not listen, an advertised address of all interfaces or port 0,
 *                           another protocol than PLAINTEXT.
 *         E_LOCAL_NO_MEMORY
 */
NODISCARD enum error listeners_parse(const struct settings *settings, struct arena *arena,
                                     struct diagnoses *diagnoses, struct listeners *ret_listeners);
