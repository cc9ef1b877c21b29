/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `ottla.metadata` in a log directory: the id of the store that knows its partitions. */

#include "base/uuid.h"
#include "io/vfs.h"

/* ret_id is zero when there is no marker. Errors: E_LOCAL_CORRUPT not a marker; those of vfs. */
NODISCARD enum error marker_read(struct vfs *vfs, const char *directory, struct uuid *ret_id);
/* Durable when it returns. */
NODISCARD enum error marker_write(struct vfs *vfs, const char *directory, const struct uuid *id);
