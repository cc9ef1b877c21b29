/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a frame to its handler: header, API, version, body, principal. What cannot be decoded, is
 * not served or has an unknown version closes the connection with one line, as Kafka does; only
 * ApiVersions answers an unknown version (KIP-511).
 */

#include "broker/broker_private.h"

/* Fills the handlers of broker->loops, which net calls. */
void dispatch_init(struct broker *broker);
