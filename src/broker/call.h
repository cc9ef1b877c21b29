/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One request on its way through a handler: what dispatch decoded and what the handler needs.
 * Lives in the request's arena; ends with exactly one of call_respond, call_respond_nothing,
 * call_close.
 *
 * Produce, Fetch and ApiVersions run on the loop of the connection; every other handler runs at
 * home, where it may use all of the broker: the request goes there as a message, and its end comes
 * back as one. There call->broker->loop is the loop of the handler. A handler at home must not set
 * req->on_disconnect, nor ask whether the connection is open.
 *
 * A handler (broker/api/NAME.c, entry api_NAME) reads from top to bottom: authorise, look up, act,
 * fill. Versions ended at the codec.
 */

#include "broker/broker_private.h"
#include "protocol/apis.h"
#include "protocol/codec.h"

enum call_end {
    CALL_RESPOND,
    CALL_RESPOND_NOTHING,
    CALL_CLOSE,
};

struct call {
    struct broker *broker;
    struct broker_loop *here; /* of the connection */
    struct request *req;
    const struct api *api;
    const void *body;    /* the decoded request message */
    struct image *image; /* taken on first use by call_image; dropped with the call */
    struct principal principal;
    /* While the handler runs at home and that is another loop. */
    bool is_away;
    void (*run)(struct call *call);
    struct message message;
    enum call_end end;
    const char *close_reason;
};

static inline struct arena *call_arena(struct call *call)
{
    return &call->req->arena;
}

/* Runs the handler at home. Thread: the connection's. */
void call_run_at_home(struct call *call, void (*run)(struct call *call));

/* The one image that this request reads from start to end. */
const struct image *call_image(struct call *call);

bool call_allows(struct call *call, enum acl_operation operation, enum acl_resource_type type,
                 struct slice name);

/* Encodes the header and the message (of api->response_schema) and sends it. Out of memory closes.
 */
void call_respond(struct call *call, const void *response);
/* The same in two steps, for handlers that own what the message points to: false: no memory, and
 * the call goes on; call_send after true. */
NODISCARD bool call_encode(struct call *call, const void *response);
void call_send(struct call *call);
void call_respond_nothing(struct call *call);
void call_close(struct call *call, const char *reason);
/* The broker or the request ran out of memory: the connection is closed, as no answer can be made.
 */
void call_no_memory(struct call *call);

/* The part of the frame at these bytes, writable: the log patches batches in place. */
uint8_t *call_writable(struct call *call, struct slice bytes);
