/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the settings of a topic to the plain values that its logs take. */

#include "metadata/image.h"
#include "storage/log_config.h"

/* Errors: E_LOCAL_NO_MEMORY: ret_config is untouched. */
NODISCARD enum error log_settings_make(const struct image *image, const struct image_topic *topic,
                                       struct log_config *ret_config,
                                       int32_t *ret_min_in_sync_replicas);
