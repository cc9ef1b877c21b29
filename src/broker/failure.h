/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Failures of the controller's items as responses say them. */

#include "base/error.h"
#include "base/slice.h"

/* Null for E_OK, as Kafka; else the text of the failure, or that of its code. */
static inline struct slice failure_message(const struct failure *failure)
{
    if (failure->code == E_OK) {
        return SLICE_NULL;
    }
    return slice_from_string(failure->text != NULL ? failure->text : error_text(failure->code));
}

/* The failure of an item: that of the whole request comes first. */
static inline struct failure failure_of(enum error request_error, const struct failure *item)
{
    return request_error == E_OK ? *item : (struct failure){.code = request_error};
}
