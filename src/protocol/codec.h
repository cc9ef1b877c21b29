/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Messages to bytes and back: one walker for all messages, over the tables of protocol/schema.h.
 * Versions end here; handlers see one struct per message.
 * Source: Kafka protocol guide; KIP-482 (flexible versions).
 */

#include "base/error.h"
#include "protocol/message.h"

/* Bounds on what one message from a peer may make us allocate, besides the arena's own cap. */
struct decode_limits {
    uint32_t element_count_max; /* array elements in the whole message */
};

/* Two million: a frame of socket.request.max.bytes (100 MiB) holds at most so many elements that
 * are of use (a partition takes about 50 bytes); in structs they stay far below 1 GiB. */
#define DECODE_LIMITS_DEFAULT ((struct decode_limits){.element_count_max = 2U * 1000 * 1000})

static inline bool message_has_version(const struct message_schema *schema, int16_t version)
{
    return version >= schema->version_min && version <= schema->version_max;
}

/*
 * bytes         Borrowed, and what the message's slices point into: must outlive the message.
 * limits        NULL: DECODE_LIMITS_DEFAULT.
 * ret_message   A struct of schema->type; undefined after an error.
 * ret_consumed  Bytes of the message; fewer than bytes.size when something follows it.
 *
 * A count is checked against the bytes that are left before anything is allocated by it. Unknown
 * tagged fields are skipped. Depth is that of the schema, whatever the bytes say.
 *
 * Errors: E_UNSUPPORTED_VERSION the schema has no such version.
 *         E_LOCAL_TRUNCATED     the bytes end early, or a size or count claims more than is left.
 *         E_LOCAL_MALFORMED     null where null is not allowed, a string beyond 32,767 bytes, tags
 *                               twice or not rising, a tagged field of another size than it says.
 *         E_LOCAL_LIMIT         more elements than the limit.
 *         E_LOCAL_NO_MEMORY     the arena is full.
 * Thread: any.
 */
NODISCARD enum error codec_decode(const struct message_schema *schema, int16_t version,
                                  struct slice bytes, struct arena *arena,
                                  const struct decode_limits *limits, void *ret_message,
                                  size_t *ret_consumed);

/*
 * Appends the encoded message to the chain. Memory comes from chain->arena; records with a chain
 * of their own are moved in, piece by piece, without a copy.
 *
 * Errors, after which the chain holds a part and is to be cleared:
 *         E_UNSUPPORTED_VERSION the schema has no such version.
 *         E_LOCAL_UNSUPPORTED   a member that this version cannot carry and that must not be
 *                               dropped ("ignorable") is not at its default.
 *         E_LOCAL_LIMIT         a string beyond 32,767 bytes, other sizes beyond INT32_MAX.
 *         E_LOCAL_NO_MEMORY     the arena is full.
 * Thread: any.
 */
NODISCARD enum error codec_encode(const struct message_schema *schema, int16_t version,
                                  const void *message, struct chain *chain);

/*
 * The same into one contiguous piece of arena memory, after a copy of `prefix` (the version of a
 * record value, say; may be empty). Records are copied; records with a chain are refused with
 * E_LOCAL_UNSUPPORTED.
 */
NODISCARD enum error codec_encode_contiguous(const struct message_schema *schema, int16_t version,
                                             const void *message, struct slice prefix,
                                             struct arena *arena, struct slice *ret_bytes);

/* Are all members that this version carries equal? Null and empty differ where null is allowed.
 * The version must exist. */
bool codec_equal(const struct message_schema *schema, int16_t version, const void *a,
                 const void *b);

/*
 * The members that this version carries as text, "{name:value,...}": strings quoted and escaped,
 * bytes in hex, arrays in brackets. Writes at most size bytes, NUL-terminated when size > 0, and
 * returns the length of the whole text. The version must exist. Not for hot paths.
 */
size_t codec_print(const struct message_schema *schema, int16_t version, const void *message,
                   char *text, size_t size);
