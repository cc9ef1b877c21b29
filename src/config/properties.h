/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The .properties format of Apache Kafka's configuration files: comments (# and !), separators
 * (= : and white space), continued lines, escapes (\t \n \r \f \uXXXX, any other \x is x).
 * A file that is valid UTF-8 is taken as such, any other as ISO-8859-1; texts are UTF-8.
 * Source: the file format as documented for java.util.Properties.load.
 */

#include "base/arena.h"
#include "base/error.h"
#include "base/slice.h"

enum {
    /* Kafka's own files have a few KiB; a megabyte is a mistake in the path. */
    PROPERTIES_SIZE_MAX = 1 << 20,
};

struct property {
    struct slice name;      /* NUL-terminated (not counted), without NUL inside */
    struct slice value;     /* likewise; may be empty */
    uint32_t line;          /* from 1: the line where the name begins */
    uint32_t replaced_line; /* the earlier line with the same name, which lost; 0: none */
};

struct properties {
    struct property *entries; /* one per name, in the order of their last appearance */
    size_t count;
};

/* What failed, for the diagnosis. */
struct properties_failure {
    uint32_t line;
    const char *text;
};

/*
 * text          Borrowed for the call only.
 * ret_failure   Set only with E_INVALID_CONFIG; its text is static.
 *
 * Errors: E_INVALID_CONFIG    a malformed \uXXXX, a NUL byte, or more than PROPERTIES_SIZE_MAX
 * bytes. E_LOCAL_NO_MEMORY   the arena's cap.
 */
NODISCARD enum error properties_parse(struct arena *arena, struct slice text,
                                      struct properties *ret_properties,
                                      struct properties_failure *ret_failure);

/* NULL: not there. */
const struct property *properties_find(const struct properties *properties, struct slice name);
