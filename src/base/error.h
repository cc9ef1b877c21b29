/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One type for everything that can go wrong, from io/ up to the response. Kafka's codes keep
 * their protocol numbers (E_OK = 0); ours are below -1000 and each names the wire code it becomes.
 * The table is schemas/errors.tsv; enum error is generated from it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/error_codes.h" /* generated: enum error */

/* For what is not E_OK. */
int16_t error_find_wire(enum error error);
/* The code for a response; E_LOCAL_... become what the table says. The only translation. */
static inline int16_t error_to_wire(enum error error)
{
    return error == E_OK ? (int16_t)E_OK : error_find_wire(error);
}
/* Kafka's or our name, "OFFSET_OUT_OF_RANGE"; "UNKNOWN" for a number not in the table. */
const char *error_name(enum error error);
/* One sentence for people. Never NULL. */
const char *error_text(enum error error);
bool error_is_retriable(enum error error);
/* The enum for a wire code from a peer; unknown numbers become E_UNKNOWN_SERVER_ERROR. */
enum error error_from_wire(int16_t code);

/* For calls that must tell the user more than a code: the text lives in the request's arena. */
struct failure {
    enum error code;
    const char *text; /* NULL: error_text(code) says it */
};
