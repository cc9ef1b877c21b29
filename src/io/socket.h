/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TCP sockets, all non-blocking and close-on-exec.
 *
 * Errors, all functions: E_LOCAL_WOULD_BLOCK nothing to read, no room to write, connect under way ·
 * E_LOCAL_CLOSED the peer is gone · E_LOCAL_TOO_MANY_FILES · E_LOCAL_NO_MEMORY ·
 * E_LOCAL_PERMISSION · E_LOCAL_IO everything else. EINTR is retried inside.
 * Thread: any; one socket is used by one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

/* IPv4 addresses are kept in their IPv6-mapped form, ::ffff:a.b.c.d. */
struct socket_address {
    uint8_t ip[16];
    uint32_t scope_id; /* of link-local IPv6 addresses */
    uint16_t port;
};

enum {
    SOCKET_HOST_TEXT_SIZE = 46, /* with NUL; INET6_ADDRSTRLEN */
    SOCKET_TEXT_SIZE = 56,      /* "[host]:port" with NUL */
    SOCKET_SEND_PIECES_MAX = 1024,
};

bool socket_address_is_wildcard(const struct socket_address *address);
/* "127.0.0.1", "::1"; text has room for SOCKET_HOST_TEXT_SIZE. */
void socket_address_format_host(const struct socket_address *address, char *text);
/* "127.0.0.1:9092", "[::1]:9092"; text has room for SOCKET_TEXT_SIZE. */
void socket_address_format(const struct socket_address *address, char *text);

/*
 * The addresses of a host name or address; NULL, "", "0.0.0.0" and "::" give the wildcard.
 * Blocks when host must be looked up: worker threads or start-up only.
 * Errors: E_LOCAL_NOT_FOUND no such host.
 */
NODISCARD enum error socket_resolve(const char *host, uint16_t port,
                                    struct socket_address *addresses, size_t address_count_max,
                                    size_t *ret_count);

struct socket_options {
    bool reuse_port;         /* several listeners on one port, one per loop */
    int receive_buffer_size; /* SO_RCVBUF; -1: the system's */
    int send_buffer_size;    /* SO_SNDBUF; -1: the system's */
    int backlog;
};

/*
 * Accepted sockets inherit TCP_NODELAY, keepalive and the buffer sizes from this one. The wildcard
 * listens on IPv6 and IPv4, or on IPv4 alone where there is no IPv6.
 * Errors: E_LOCAL_ADDRESS_IN_USE; E_LOCAL_NOT_FOUND not an address of this machine.
 */
NODISCARD enum error socket_listen(const struct socket_address *address,
                                   const struct socket_options *options, int *ret_fd);
NODISCARD enum error socket_accept(int fd, int *ret_fd, struct socket_address *ret_peer);
/* Starts to connect: E_OK or E_LOCAL_WOULD_BLOCK, and *ret_fd is set in both cases; then writable
 * means done, and socket_take_error says how. */
NODISCARD enum error socket_connect(const struct socket_address *address,
                                    const struct socket_options *options, int *ret_fd);
NODISCARD enum error socket_take_error(int fd);
NODISCARD enum error socket_local_address(int fd, struct socket_address *ret_address);

/* *ret_size 0: the peer sends no more. */
NODISCARD enum error socket_receive(int fd, void *data, size_t size, size_t *ret_size);
/* As much as fits, *ret_size > 0. has_more: more follows at once, do not send a part of a packet.
 */
NODISCARD enum error socket_send(int fd, const struct iovec *pieces, size_t piece_count,
                                 bool has_more, size_t *ret_size);
/* A range of a file, as much as fits. *ret_size 0: the file ends before the range. */
NODISCARD enum error socket_send_file(int fd, int file_fd, int64_t position, size_t size,
                                      size_t *ret_size);
/* Readable only when size bytes are there (1: any; the kernel caps it at half the receive buffer),
 * or the end. A hint. */
void socket_set_receive_low_mark(int fd, size_t size);
void socket_shutdown_write(int fd);
void socket_close(int fd);
