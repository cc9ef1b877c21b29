/* SPDX-License-Identifier: Apache-2.0 */
#include "io/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/system_error.h"

enum {
    MAPPED_PREFIX_SIZE = 12, /* of ::ffff:0:0/96 */
    KEEPALIVE_IDLE_S = 120,
    KEEPALIVE_INTERVAL_S = 30,
    KEEPALIVE_COUNT = 4, /* so a dead peer is found after 4 minutes */
    SEND_FILE_SIZE_MAX = 1 << 30,
};

union any_address {
    struct sockaddr plain;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* --- addresses --- */

static const uint8_t *mapped_prefix(void)
{
    static const uint8_t prefix[MAPPED_PREFIX_SIZE] = {[10] = 0xff, [11] = 0xff};
    return prefix;
}

static bool is_mapped(const struct socket_address *address)
{
    return memcmp(address->ip, mapped_prefix(), MAPPED_PREFIX_SIZE) == 0;
}

bool socket_address_is_wildcard(const struct socket_address *address)
{
    static const uint8_t zero[sizeof(address->ip)];
    return memcmp(address->ip, zero, sizeof(zero)) == 0;
}

/* false: neither IPv4 nor IPv6. */
static bool address_from_system(const union any_address *any, struct socket_address *ret_address)
{
    struct socket_address address = {0};
    if (any->plain.sa_family == AF_INET) {
        memcpy(address.ip, mapped_prefix(), MAPPED_PREFIX_SIZE);
        memcpy(address.ip + MAPPED_PREFIX_SIZE, &any->v4.sin_addr, sizeof(any->v4.sin_addr));
        address.port = ntohs(any->v4.sin_port);
    } else if (any->plain.sa_family == AF_INET6) {
        memcpy(address.ip, &any->v6.sin6_addr, sizeof(address.ip));
        address.port = ntohs(any->v6.sin6_port);
        address.scope_id = any->v6.sin6_scope_id;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

static socklen_t address_to_system(const struct socket_address *address, union any_address *any)
{
    memset(any, 0, sizeof(*any));
    if (is_mapped(address)) {
        any->v4.sin_family = AF_INET;
        any->v4.sin_port = htons(address->port);
        memcpy(&any->v4.sin_addr, address->ip + MAPPED_PREFIX_SIZE, sizeof(any->v4.sin_addr));
        return sizeof(any->v4);
    }
    any->v6.sin6_family = AF_INET6;
    any->v6.sin6_port = htons(address->port);
    any->v6.sin6_scope_id = address->scope_id;
    memcpy(&any->v6.sin6_addr, address->ip, sizeof(address->ip));
    return sizeof(any->v6);
}

void socket_address_format_host(const struct socket_address *address, char *text)
{
    if (is_mapped(address)) {
        check(inet_ntop(AF_INET, address->ip + MAPPED_PREFIX_SIZE, text, SOCKET_HOST_TEXT_SIZE) !=
              NULL);
    } else {
        check(inet_ntop(AF_INET6, address->ip, text, SOCKET_HOST_TEXT_SIZE) != NULL);
    }
}

void socket_address_format(const struct socket_address *address, char *text)
{
    char host[SOCKET_HOST_TEXT_SIZE];
    socket_address_format_host(address, host);
    (void)snprintf(text, SOCKET_TEXT_SIZE, is_mapped(address) ? "%s:%u" : "[%s]:%u", host,
                   (unsigned)address->port);
}

static bool is_wildcard_name(const char *host)
{
    return host == NULL || host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 ||
           strcmp(host, "::") == 0;
}

enum error socket_resolve(const char *host, uint16_t port, struct socket_address *addresses,
                          size_t address_count_max, size_t *ret_count)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    size_t count = 0;
    check(address_count_max > 0);
    if (is_wildcard_name(host)) {
        addresses[0] = (struct socket_address){.port = port};
        *ret_count = 1;
        return E_OK;
    }
    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return E_LOCAL_NOT_FOUND;
    }
    for (const struct addrinfo *at = found; at != NULL && count < address_count_max;
         at = at->ai_next) {
        union any_address any = {0};
        if (at->ai_addrlen > sizeof(any)) {
            continue;
        }
        memcpy(&any, at->ai_addr, at->ai_addrlen);
        if (address_from_system(&any, &addresses[count])) {
            addresses[count].port = port;
            count++;
        }
    }
    freeaddrinfo(found);
    if (count == 0) {
        return E_LOCAL_NOT_FOUND;
    }
    *ret_count = count;
    return E_OK;
}

/* --- making sockets --- */

/* The options are hints, except reuse_port, whose failure shows in bind. */
static void set_option(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_options(int fd, const struct socket_options *options)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    if (options->receive_buffer_size > 0) {
        set_option(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer_size);
    }
    if (options->send_buffer_size > 0) {
        set_option(fd, SOL_SOCKET, SO_SNDBUF, options->send_buffer_size);
    }
}

static enum error open_socket(int family, int *ret_fd)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(errno);
    }
    *ret_fd = fd;
    return E_OK;
}

static enum error listen_on(const union any_address *any, socklen_t any_size,
                            const struct socket_options *options, int *ret_fd)
{
    int fd = -1;
    enum error error = open_socket(any->plain.sa_family, &fd);
    if (error != E_OK) {
        return error;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options->reuse_port) {
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (any->plain.sa_family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    set_options(fd, options);
    if (bind(fd, &any->plain, any_size) != 0 || listen(fd, options->backlog) != 0) {
        error = error_from_errno(errno);
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    return E_OK;
}

enum error socket_listen(const struct socket_address *address, const struct socket_options *options,
                         int *ret_fd)
{
    union any_address any;
    const socklen_t size = address_to_system(address, &any);
    const enum error error = listen_on(&any, size, options, ret_fd);
    if (socket_address_is_wildcard(address) &&
        (error == E_LOCAL_IO || error == E_LOCAL_NOT_FOUND)) { /* a kernel without IPv6 */
        const union any_address v4 = {
            .v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)},
        };
        return listen_on(&v4, sizeof(v4.v4), options, ret_fd);
    }
    return error;
}

enum error socket_accept(int fd, int *ret_fd, struct socket_address *ret_peer)
{
    union any_address any;
    socklen_t size = sizeof(any);
    int accepted;
    do {
        accepted = accept4(fd, &any.plain, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (accepted < 0 && errno == EINTR);
    if (accepted < 0) {
        return error_from_errno(errno);
    }
    if (!address_from_system(&any, ret_peer)) {
        (void)close(accepted);
        return E_LOCAL_IO;
    }
    *ret_fd = accepted;
    return E_OK;
}

enum error socket_connect(const struct socket_address *address,
                          const struct socket_options *options, int *ret_fd)
{
    union any_address any;
    const socklen_t size = address_to_system(address, &any);
    int fd = -1;
    enum error error = open_socket(any.plain.sa_family, &fd);
    if (error != E_OK) {
        return error;
    }
    set_options(fd, options);
    if (connect(fd, &any.plain, size) != 0 && errno != EINPROGRESS && errno != EINTR) {
        error = error_from_errno(errno);
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    return E_LOCAL_WOULD_BLOCK;
}

enum error socket_take_error(int fd)
{
    int number = 0;
    socklen_t size = sizeof(number);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) {
        return error_from_errno(errno);
    }
    return number == 0 ? E_OK : error_from_errno(number);
}

enum error socket_local_address(int fd, struct socket_address *ret_address)
{
    union any_address any;
    socklen_t size = sizeof(any);
    if (getsockname(fd, &any.plain, &size) != 0) {
        return error_from_errno(errno);
    }
    return address_from_system(&any, ret_address) ? E_OK : E_LOCAL_IO;
}

/* --- bytes --- */

enum error socket_receive(int fd, void *data, size_t size, size_t *ret_size)
{
    ssize_t count;
    do {
        count = recv(fd, data, size, 0);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return error_from_errno(errno);
    }
    *ret_size = (size_t)count;
    return E_OK;
}

enum error socket_send(int fd, const struct iovec *pieces, size_t piece_count, bool has_more,
                       size_t *ret_size)
{
    /* sendmsg's struct has no const; nothing is written through it. */
    const struct msghdr message = {
        .msg_iov = (struct iovec *)(uintptr_t)pieces,
        .msg_iovlen = piece_count,
    };
    const int flags = MSG_NOSIGNAL | (has_more ? MSG_MORE : 0);
    ssize_t count;
    do {
        count = piece_count == 1 ? send(fd, pieces->iov_base, pieces->iov_len, flags)
                                 : sendmsg(fd, &message, flags);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return error_from_errno(errno);
    }
    *ret_size = (size_t)count;
    return E_OK;
}

enum error socket_send_file(int fd, int file_fd, int64_t position, size_t size, size_t *ret_size)
{
    off_t at = position;
    ssize_t count;
    do {
        count = sendfile(fd, file_fd, &at, size < SEND_FILE_SIZE_MAX ? size : SEND_FILE_SIZE_MAX);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return error_from_errno(errno);
    }
    *ret_size = (size_t)count;
    return E_OK;
}

void socket_set_receive_low_mark(int fd, size_t size)
{
    set_option(fd, SOL_SOCKET, SO_RCVLOWAT, size > INT_MAX ? INT_MAX : (int)size);
}

void socket_shutdown_write(int fd)
{
    (void)shutdown(fd, SHUT_WR);
}

void socket_close(int fd)
{
    (void)close(fd);
}
