/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/api/api_handlers.h"

api_handler_fn api_handler(int16_t key)
{
    switch (key) {
#define API_HANDLER(key_, function)                                                                \
    case key_:                                                                                     \
        return function;
#include "protocol/api_handlers.inc"
#undef API_HANDLER
    default:
        return NULL;
    }
}
