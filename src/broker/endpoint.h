/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where clients of a listener find a broker. */

#include "metadata/image.h"
#include "net/connection.h"

struct endpoint {
    struct slice host; /* null: the broker does not listen under this name */
    int32_t port;      /* -1 then */
};

/* As the client on this connection is to be told: the advertised address of its listener, or the
 * address at which the connection arrived (design §1.5). */
struct endpoint endpoint_for(const struct image_broker *broker, const struct connection *conn);
