/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeCluster (KIP-700; KIP-919 endpoint types: only brokers here). */

#include "protocol/messages/describe_cluster.h"

#include "broker/api/api_handlers.h"
#include "broker/endpoint.h"

enum {
    ENDPOINT_TYPE_BROKERS = 1,
    ENDPOINT_TYPE_CONTROLLERS = 2,
};

static bool fill_brokers(struct call *call, struct describe_cluster_response *response)
{
    const struct image *image = call_image(call);
    struct describe_cluster_response_describe_cluster_broker *brokers = MESSAGE_NEW_ARRAY(
        call_arena(call), describe_cluster_response_describe_cluster_broker, image->broker_count);
    if (brokers == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < image->broker_count; i++) {
        const struct endpoint endpoint = endpoint_for(&image->brokers[i], call->req->conn);
        brokers[i].broker_id = image->brokers[i].id;
        brokers[i].host = endpoint.host;
        brokers[i].port = endpoint.port;
        brokers[i].rack = image->brokers[i].rack;
    }
    response->brokers.items = brokers;
    response->brokers.count = image->broker_count;
    return true;
}

static void refuse(struct call *call, struct describe_cluster_response *response, int8_t type)
{
    const bool is_known = type == ENDPOINT_TYPE_CONTROLLERS;
    response->error_code =
        error_to_wire(is_known ? E_MISMATCHED_ENDPOINT_TYPE : E_UNSUPPORTED_ENDPOINT_TYPE);
    response->error_message = is_known ? SLICE("The request was sent to an endpoint of type "
                                               "BROKER, but we wanted an endpoint of type "
                                               "CONTROLLER")
                                       : SLICE("Unsupported endpoint type");
    call_respond(call, response);
}

void api_describe_cluster(struct call *call)
{
    const struct describe_cluster_request *request = call->body;
    struct describe_cluster_response *response =
        MESSAGE_NEW(call_arena(call), describe_cluster_response);
    if (response == NULL) {
        call_no_memory(call);
        return;
    }
    if (request->endpoint_type != ENDPOINT_TYPE_BROKERS) {
        refuse(call, response, request->endpoint_type);
        return;
    }
    if (!fill_brokers(call, response)) {
        call_no_memory(call);
        return;
    }
    response->cluster_id = call_image(call)->cluster_id;
    response->controller_id = call_image(call)->controller_id;
    if (request->include_cluster_authorized_operations) {
        response->cluster_authorized_operations = authorised_operations(
            call->broker->authoriser, &call->principal, ACL_CLUSTER, ACL_CLUSTER_NAME);
    }
    call_respond(call, response);
}
