/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who a request comes from. */

#include "base/slice.h"

struct principal {
    struct slice type; /* "User" */
    struct slice name; /* "ANONYMOUS" without authentication */
    struct slice host; /* address of the peer */
};

#define PRINCIPAL_ANONYMOUS(host_)                                                                 \
    ((struct principal){.type = SLICE("User"), .name = SLICE("ANONYMOUS"), .host = (host_)})
