/* SPDX-License-Identifier: Apache-2.0 */

/* InitProducerId of idempotent producers (KIP-98). Transactional ones need the transaction
 * coordinator, which is not served yet: COORDINATOR_NOT_AVAILABLE would have clients retry for
 * ever, so they are refused for good. */

#include "protocol/messages/init_producer_id.h"

#include "broker/api/api_handlers.h"

struct init_call {
    struct call *call;
    struct init_producer_id_response *response;
    struct producer_id_waiter waiter;
};

static void on_producer_id(struct producer_id_waiter *waiter)
{
    struct init_call *init = container_of(waiter, struct init_call, waiter);
    init->response->error_code = error_to_wire(waiter->error);
    init->response->producer_id = waiter->producer_id;
    init->response->producer_epoch = waiter->error == E_OK ? 0 : -1;
    call_respond(init->call, init->response);
}

static enum error check_request(struct call *call, const struct init_producer_id_request *request)
{
    if (!slice_is_null(request->transactional_id)) {
        if (request->transactional_id.size == 0) {
            return E_INVALID_REQUEST;
        }
        if (!call_allows(call, ACL_WRITE, ACL_TRANSACTIONAL_ID, request->transactional_id)) {
            return E_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        }
        return E_UNSUPPORTED_VERSION;
    }
    if (!call_allows(call, ACL_IDEMPOTENT_WRITE, ACL_CLUSTER, ACL_CLUSTER_NAME)) {
        return E_CLUSTER_AUTHORIZATION_FAILED;
    }
    return E_OK;
}

void api_init_producer_id(struct call *call)
{
    struct init_call *init = ARENA_NEW(call_arena(call), struct init_call);
    struct init_producer_id_response *response =
        MESSAGE_NEW(call_arena(call), init_producer_id_response);
    if (init == NULL || response == NULL) {
        call_no_memory(call);
        return;
    }
    const enum error error = check_request(call, call->body);
    if (error != E_OK) {
        response->error_code = error_to_wire(error);
        response->producer_id = -1;
        response->producer_epoch = -1;
        call_respond(call, response);
        return;
    }
    init->call = call;
    init->response = response;
    init->waiter.on_done = on_producer_id;
    producer_ids_take(&call->broker->producer_ids, &init->waiter);
}
