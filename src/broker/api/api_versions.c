/* SPDX-License-Identifier: Apache-2.0 */

/* ApiVersions (KIP-35, KIP-511): what this broker serves. Allowed before authentication. */

#include "protocol/messages/api_versions.h"

#include "base/check.h"
#include "broker/api/api_handlers.h"

/* Letters, digits, '-' and '.', with a letter or digit at both ends (KIP-511). */
static bool is_software_text(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        const bool is_inner = (c == '-' || c == '.') && i > 0 && i + 1 < text.size;
        if (!is_plain && !is_inner) {
            return false;
        }
    }
    return text.size > 0;
}

static uint32_t fill_keys(struct api_versions_response_api_version *items)
{
    uint32_t count = 0;
    for (int16_t key = 0; key < API_KEY_LIMIT; key++) {
        const struct api *api = api_find(key);
        if (api != NULL && api->served && api->embedded.max >= api->embedded.min) {
            items[count].api_key = key;
            items[count].min_version = api->embedded.min;
            items[count].max_version = api->embedded.max;
            count++;
        }
    }
    return count;
}

static bool fill_features(struct call *call, struct api_versions_response *response)
{
    const struct image *image = call_image(call);
    struct api_versions_response_finalized_feature_key *finalized = MESSAGE_NEW_ARRAY(
        call_arena(call), api_versions_response_finalized_feature_key, image->feature_count);
    if (finalized == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < image->feature_count; i++) {
        finalized[i].name = image->features[i].name;
        finalized[i].max_version_level = image->features[i].level;
        finalized[i].min_version_level = image->features[i].level;
    }
    response->finalized_features.items = finalized;
    response->finalized_features.count = image->feature_count;
    response->finalized_features_epoch = image->feature_epoch;
    return true;
}

void api_api_versions(struct call *call)
{
    const struct api_versions_request *request = call->body;
    struct api_versions_response *response = MESSAGE_NEW(call_arena(call), api_versions_response);
    if (response == NULL) {
        call_no_memory(call);
        return;
    }
    if (call->req->api_version >= 3 && (!is_software_text(request->client_software_name) ||
                                        !is_software_text(request->client_software_version))) {
        response->error_code = error_to_wire(E_INVALID_REQUEST);
        call_respond(call, response);
        return;
    }
    struct api_versions_response_api_version *keys = MESSAGE_NEW_ARRAY(
        call_arena(call), api_versions_response_api_version, (size_t)API_KEY_LIMIT);
    if (keys == NULL || !fill_features(call, response)) {
        call_no_memory(call);
        return;
    }
    response->api_keys.items = keys;
    response->api_keys.count = fill_keys(keys);
    call_respond(call, response);
}

void api_versions_refuse_version(struct call *call)
{
    struct api_versions_response *response = MESSAGE_NEW(call_arena(call), api_versions_response);
    struct api_versions_response_api_version *own =
        MESSAGE_NEW(call_arena(call), api_versions_response_api_version);
    if (response == NULL || own == NULL) {
        call_no_memory(call);
        return;
    }
    own->api_key = call->api->key;
    own->min_version = call->api->embedded.min;
    own->max_version = call->api->embedded.max;
    response->error_code = error_to_wire(E_UNSUPPORTED_VERSION);
    response->api_keys.items = own;
    response->api_keys.count = 1;
    call->req->api_version = 0;
    call_respond(call, response);
}
