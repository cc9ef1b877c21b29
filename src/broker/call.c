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

static void end(struct call *call)
{
    call->image = image_unref(call->image);
}

void call_respond(struct call *call, const void *response)
{
    struct request *req = call->req;
    const enum error error =
        response_encode(call->api, req->api_version, req->correlation_id, response, &req->response);
    if (error != E_OK) {
        /* A member that this version cannot carry would be our own mistake. */
        check(error == E_LOCAL_NO_MEMORY || error == E_LOCAL_LIMIT);
        call_no_memory(call);
        return;
    }
    end(call);
    request_respond(req);
}

void call_respond_nothing(struct call *call)
{
    end(call);
    request_respond_nothing(call->req);
}

void call_close(struct call *call, const char *reason)
{
    end(call);
    request_close(call->req, reason);
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
