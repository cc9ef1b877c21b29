/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What AlterConfigs and IncrementalAlterConfigs share: who may, what is asked, how it ended. */

#include "broker/call.h"

/* Lives in the request's arena. */
struct alter_resources {
    struct call *call;
    struct controller_alter_configs alteration;
    struct controller_altered_resource *asked; /* all of the request, in order; failures filled */
    size_t asked_count;
    struct controller_altered_resource **submitted; /* per asked one; NULL: not allowed to */
    void (*respond)(struct alter_resources *alter);
};

/* Room for count resources. NULL: no memory. */
struct alter_resources *alter_resources_new(struct call *call, size_t count,
                                            void (*respond)(struct alter_resources *alter));
/* Once `asked` is filled: authorises, asks the controller, then calls respond. */
void alter_resources_submit(struct alter_resources *alter, bool is_incremental, bool validate_only);
