/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/endpoint.h"

struct endpoint endpoint_for(const struct image_broker *broker, const struct connection *conn)
{
    const struct slice listener = slice_from_string(connection_listener_name(conn));
    for (uint32_t i = 0; i < broker->endpoint_count; i++) {
        const struct image_endpoint *endpoint = &broker->endpoints[i];
        if (!slice_equal(endpoint->listener, listener)) {
            continue;
        }
        if (slice_is_null(endpoint->host)) {
            return (struct endpoint){.host = slice_from_string(connection_local_host(conn)),
                                     .port = connection_local_port(conn)};
        }
        return (struct endpoint){.host = endpoint->host, .port = endpoint->port};
    }
    return (struct endpoint){.host = SLICE_NULL, .port = -1};
}
