/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Topics whose names differ only in '.' and '_' would share their metrics: Kafka makes the first
 * only. n log n in the topics of the request and of the cluster.
 */

#include "controller/controller_private.h"

/* Fails those of the topics without a failure that collide with a topic of the image or with
 * another good one of the request. Errors: E_LOCAL_NO_MEMORY. */
NODISCARD enum error fail_collisions(struct controller *controller,
                                     struct controller_create_topics *create);
