/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/call.h"

#include "base/check.h"
#include "protocol/header.h"

const struct image *call_image(struct call *call)
{
    if (call->image == NULL) {
        call->image = image_source_take(call->broker->images);
    }
    return call->image;
}

bool call_allows(struct call *call, enum acl_operation operation, enum acl_resource_type type,
                 struct slice name)
{
    return authorise(call->broker->authoriser, &call->principal, operation, type, name);
}

/* --- at home and back --- */

static void end_here(struct call *call)
{
    switch (call->end) {
    case CALL_RESPOND:
        request_respond(call->req);
        return;
    case CALL_RESPOND_NOTHING:
        request_respond_nothing(call->req);
        return;
    case CALL_CLOSE:
        request_close(call->req, call->close_reason);
        return;
    }
}

static void on_back(struct message *message)
{
    end_here(container_of(message, struct call, message));
}

static void on_arrived(struct message *message)
{
    struct call *call = container_of(message, struct call, message);
    call->run(call);
}

void call_run_at_home(struct call *call, void (*run)(struct call *call))
{
    call->is_away = true;
    call->run = run;
    call->message.on_receive = on_arrived;
    loop_post(call->broker->loop, &call->message);
}

static void end(struct call *call, enum call_end how)
{
    call->image = image_unref(call->image);
    call->end = how;
    if (call->is_away) {
        call->message.on_receive = on_back;
        loop_post(call->here->loop, &call->message);
    } else {
        end_here(call);
    }
}

/* --- the end --- */

bool call_encode(struct call *call, const void *response)
{
    struct request *req = call->req;
    const enum error error =
        response_encode(call->api, req->api_version, req->correlation_id, response, &req->response);
    if (error != E_OK) {
        /* A member that this version cannot carry would be our own mistake. */
        check(error == E_LOCAL_NO_MEMORY || error == E_LOCAL_LIMIT);
        return false;
    }
    return true;
}

void call_send(struct call *call)
{
    end(call, CALL_RESPOND);
}

void call_respond(struct call *call, const void *response)
{
    if (call_encode(call, response)) {
        call_send(call);
    } else {
        call_no_memory(call);
    }
}

void call_respond_nothing(struct call *call)
{
    end(call, CALL_RESPOND_NOTHING);
}

void call_close(struct call *call, const char *reason)
{
    call->close_reason = reason;
    end(call, CALL_CLOSE);
}

void call_no_memory(struct call *call)
{
    call_close(call, "no memory for the answer to a request");
}

uint8_t *call_writable(struct call *call, struct slice bytes)
{
    const struct slice frame = call->req->frame;
    check(bytes.data >= frame.data && bytes.data + bytes.size <= frame.data + frame.size);
    return (uint8_t *)(uintptr_t)bytes.data; /* net lends the frame for this */
}
