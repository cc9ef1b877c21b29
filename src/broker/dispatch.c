/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/dispatch.h"

#include "base/bytes.h"
#include "base/check.h"
#include "broker/api/api_handlers.h"
#include "protocol/header.h"

static struct broker_loop *loop_of(struct server_handler *handler)
{
    return container_of(handler, struct broker_loop, handler);
}

/* What handles its partitions wherever they are owned, and needs nothing else of home. */
static bool runs_on_any_loop(int16_t api_key)
{
    return api_key == API_PRODUCE || api_key == API_FETCH || api_key == API_API_VERSIONS;
}

static bool on_open(struct server_handler *handler, struct connection *conn)
{
    (void)handler;
    (void)conn;
    return true;
}

static void on_close(struct server_handler *handler, struct connection *conn)
{
    (void)handler;
    (void)conn;
}

static bool is_pipelinable(struct server_handler *handler, struct slice frame)
{
    (void)handler;
    return frame.size >= 2 && (int16_t)be16_load(frame.data) == API_PRODUCE;
}

static void refuse(struct request *req, const char *reason)
{
    connection_close(req->conn, reason);
    request_respond_nothing(req);
}

static bool version_is_served(const struct api *api, int16_t version)
{
    return version >= api->embedded.min && version <= api->embedded.max;
}

static void on_request(struct server_handler *handler, struct request *req)
{
    struct request_header header;
    size_t header_size;
    if (request_header_decode(req->frame, &header, &header_size) != E_OK) {
        refuse(req, "a request header that cannot be decoded");
        return;
    }
    const api_handler_fn run = header.api == NULL ? NULL : api_handler(header.api_key);
    if (run == NULL || !header.api->served) {
        refuse(req, "an API that is not served here");
        return;
    }
    req->api_key = header.api_key;
    req->api_version = header.api_version;
    req->correlation_id = header.correlation_id;
    req->client_id = header.client_id;

    struct call *call = ARENA_NEW(&req->arena, struct call);
    void *body = arena_alloc(&req->arena, header.api->request->type->size, _Alignof(max_align_t));
    if (call == NULL || body == NULL) {
        refuse(req, "no memory for a request");
        return;
    }
    call->here = loop_of(handler);
    call->broker = call->here->broker;
    call->req = req;
    call->api = header.api;
    call->principal = PRINCIPAL_ANONYMOUS(slice_from_string(connection_peer_host(req->conn)));
    if (!version_is_served(header.api, header.api_version)) {
        if (header.api_key == API_API_VERSIONS) {
            api_versions_refuse_version(call);
        } else {
            refuse(req, "a version of an API that is not served here");
        }
        return;
    }
    const struct slice bytes =
        slice_of(req->frame.data + header_size, req->frame.size - header_size);
    size_t consumed;
    if (codec_decode(header.api->request, header.api_version, bytes, &req->arena, NULL, body,
                     &consumed) != E_OK) {
        refuse(req, "a request that cannot be decoded");
        return;
    }
    call->body = body;
    if (call->here->loop == call->broker->loop || runs_on_any_loop(header.api_key)) {
        run(call);
    } else {
        call_run_at_home(call, run);
    }
}

void dispatch_init(struct broker *broker)
{
    for (unsigned i = 0; i < broker->loop_set.count; i++) {
        broker->loops[i].handler = (struct server_handler){
            .on_open = on_open,
            .is_pipelinable = is_pipelinable,
            .on_request = on_request,
            .on_close = on_close,
        };
    }
}
