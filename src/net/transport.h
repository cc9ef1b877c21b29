/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What lies between a connection and its socket: plain TCP now, TLS later. A table of functions
 * over a descriptor and the transport's own state.
 *
 * Errors: as in io/socket.h. E_LOCAL_WOULD_BLOCK: wait until the socket is ready.
 */

#include "io/socket.h"

struct transport {
    /* *ret_size 0: the peer sends no more. */
    enum error (*receive)(void *state, int fd, void *data, size_t size, size_t *ret_size);
    enum error (*send)(void *state, int fd, const struct iovec *pieces, size_t piece_count,
                       bool has_more, size_t *ret_size);
    enum error (*send_file)(void *state, int fd, int file_fd, int64_t position, size_t size,
                            size_t *ret_size);
    /* Frees the state and closes the descriptor. */
    void (*close)(void *state, int fd);
};

/* TCP as it is; its state is NULL. Static storage. */
const struct transport *transport_plain(void);
