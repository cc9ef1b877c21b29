/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What stands before the message in each frame, after the frame's 4-byte size.
 *
 *   request   v0  api_key:2 version:2 correlation_id:4          ControlledShutdown v0 only
 *             v1  ... client_id (nullable string, never compact)
 *             v2  ... tagged fields                             flexible versions
 *   response  v0  correlation_id:4                              and ApiVersions in every version
 *             v1  ... tagged fields                             flexible versions
 *
 * Source: Kafka protocol guide; KIP-482; KIP-511 (ApiVersions: a client that asks with a version
 * that we do not know must be able to read the answer, so its header has no tagged fields).
 */

#include "protocol/apis.h"
#include "protocol/codec.h"

struct request_header {
    const struct api *api; /* NULL: an API key that we do not know; client_id is then null */
    int16_t api_key;
    int16_t api_version; /* whatever the peer says, see message_has_version */
    int32_t correlation_id;
    struct slice client_id; /* into the frame; may be null */
};

/*
 * frame            A whole request without its 4-byte size. Borrowed: client_id points into it.
 * ret_header_size  Where the message begins: bytes from the start of frame. 8 when the key is
 *                  unknown: what follows cannot be told.
 *
 * Errors: E_LOCAL_TRUNCATED, E_LOCAL_MALFORMED: close the connection.
 * A version that the API does not have is no error here: ApiVersions answers it (KIP-511).
 */
NODISCARD enum error request_header_decode(struct slice frame, struct request_header *ret_header,
                                           size_t *ret_header_size);

/* 0 or 1. */
int response_header_version(const struct api *api, int16_t version);

/*
 * Appends a whole frame: size, header, message. chain must be empty.
 * Errors: of codec_encode; E_LOCAL_LIMIT: beyond 2^31 - 1 bytes. The chain is then cleared.
 */
NODISCARD enum error response_encode(const struct api *api, int16_t version, int32_t correlation_id,
                                     const void *response, struct chain *chain);
/* The request header version follows from api and version. client_id may be null. */
NODISCARD enum error request_encode(const struct api *api, int16_t version, int32_t correlation_id,
                                    struct slice client_id, const void *request,
                                    struct chain *chain);

/*
 * The correlation id of a response frame (without its size) and where its message begins.
 * Errors: E_LOCAL_TRUNCATED, E_LOCAL_MALFORMED.
 */
NODISCARD enum error response_header_decode(const struct api *api, int16_t version,
                                            struct slice frame, int32_t *ret_correlation_id,
                                            size_t *ret_header_size);
