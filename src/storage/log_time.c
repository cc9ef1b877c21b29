/* SPDX-License-Identifier: Apache-2.0 */
/* Finding records by time. */
#include "storage/log_private.h"
