/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How many connections each peer address has. Shared by the loops; touched when a connection opens
 * and closes, never per request. Locks: its own, a leaf.
 */

#include <pthread.h>

#include "base/error.h"
#include "base/hash.h"
#include "io/socket.h"

struct address_counts {
    pthread_mutex_t lock;
    struct hash_table table; /* under lock */
};

void address_counts_init(struct address_counts *counts, uint64_t seed);
void address_counts_done(struct address_counts *counts);
/* Errors: E_LOCAL_LIMIT the address has count_max already, E_LOCAL_NO_MEMORY. */
NODISCARD enum error address_counts_add(struct address_counts *counts,
                                        const struct socket_address *address, uint32_t count_max);
/* Takes one back that was added. */
void address_counts_remove(struct address_counts *counts, const struct socket_address *address);
