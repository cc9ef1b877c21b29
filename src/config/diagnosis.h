/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is wrong with a configuration, in words: a list of lines that main/ or broker/ prints. A
 * diagnosis names the file, line, setting, value, what is allowed and the remedy; values of
 * sensitive settings are never in it.
 */

#include "base/arena.h"
#include "base/check.h"

enum diagnosis_severity {
    DIAGNOSIS_WARNING, /* the broker starts */
    DIAGNOSIS_ERROR,   /* the broker must not start, or the change must not be made */
};

struct diagnosis {
    struct diagnosis *next;
    enum diagnosis_severity severity;
    const char *text; /* in the arena of the list */
};

struct diagnoses {
    struct arena *arena; /* borrowed: texts and nodes live in it */
    struct diagnosis *head;
    struct diagnosis *tail;
    size_t warning_count;
    size_t error_count; /* counts those too for whose text there was no memory */
};

void diagnoses_init(struct diagnoses *diagnoses, struct arena *arena);
/* Appends one line. */
void diagnoses_add(struct diagnoses *diagnoses, enum diagnosis_severity severity,
                   const char *format, ...) PRINTF_LIKE(3, 4);
