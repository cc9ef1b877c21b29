/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/apis.h"

#include "protocol/messages/message_declarations.h"

static const struct api api_table[API_KEY_LIMIT] = {
#include "protocol/api_table.inc"
};

const struct api *api_find(int16_t key)
{
    if (key < 0 || key >= API_KEY_LIMIT || api_table[key].name == NULL) {
        return NULL;
    }
    return &api_table[key];
}
