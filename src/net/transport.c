/* SPDX-License-Identifier: Apache-2.0 */
#include "net/transport.h"

static enum error plain_receive(void *state, int fd, void *data, size_t size, size_t *ret_size)
{
    (void)state;
    return socket_receive(fd, data, size, ret_size);
}

static enum error plain_send(void *state, int fd, const struct iovec *pieces, size_t piece_count,
                             bool has_more, size_t *ret_size)
{
    (void)state;
    return socket_send(fd, pieces, piece_count, has_more, ret_size);
}

static enum error plain_send_file(void *state, int fd, int file_fd, int64_t position, size_t size,
                                  size_t *ret_size)
{
    (void)state;
    return socket_send_file(fd, file_fd, position, size, ret_size);
}

static void plain_close(void *state, int fd)
{
    (void)state;
    socket_close(fd);
}

const struct transport *transport_plain(void)
{
    static const struct transport plain = {
        .receive = plain_receive,
        .send = plain_send,
        .send_file = plain_send_file,
        .close = plain_close,
    };
    return &plain;
}
