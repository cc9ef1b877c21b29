/* SPDX-License-Identifier: Apache-2.0 */
#include "io/system_error.h"

#include <errno.h>

enum error error_from_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return E_LOCAL_NOT_FOUND;
    case EEXIST:
        return E_LOCAL_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return E_LOCAL_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return E_LOCAL_PERMISSION;
    case EMFILE:
    case ENFILE:
        return E_LOCAL_TOO_MANY_FILES;
    case ENOTEMPTY:
        return E_LOCAL_NOT_EMPTY;
    case ENOMEM:
    case ENOBUFS:
        return E_LOCAL_NO_MEMORY;
    case EAGAIN:
    case EINPROGRESS:
        return E_LOCAL_WOULD_BLOCK;
    case ECONNRESET:
    case ECONNREFUSED:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return E_LOCAL_CLOSED;
    case EADDRINUSE:
        return E_LOCAL_ADDRESS_IN_USE;
    case EADDRNOTAVAIL:
        return E_LOCAL_NOT_FOUND;
    default:
        return E_LOCAL_IO;
    }
}
