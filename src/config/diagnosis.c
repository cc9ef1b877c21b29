/* SPDX-License-Identifier: Apache-2.0 */
#include "config/diagnosis.h"

#include <stdarg.h>
#include <stdio.h>

void diagnoses_init(struct diagnoses *diagnoses, struct arena *arena)
{
    *diagnoses = (struct diagnoses){.arena = arena};
}

static const char *diagnoses_format(struct arena *arena, const char *format, va_list arguments)
{
    char text[2048]; /* longer lines are cut: nobody reads them */
    (void)vsnprintf(text, sizeof(text), format, arguments);
    return arena_printf(arena, "%s", text);
}

void diagnoses_add(struct diagnoses *diagnoses, enum diagnosis_severity severity,
                   const char *format, ...)
{
    if (severity == DIAGNOSIS_ERROR) {
        diagnoses->error_count++;
    } else {
        diagnoses->warning_count++;
    }
    va_list arguments;
    va_start(arguments, format);
    const char *text = diagnoses_format(diagnoses->arena, format, arguments);
    va_end(arguments);
    struct diagnosis *diagnosis = ARENA_NEW(diagnoses->arena, struct diagnosis);
    if (text == NULL || diagnosis == NULL) {
        return; /* counted, so an error still stops the start */
    }
    *diagnosis = (struct diagnosis){.severity = severity, .text = text};
    if (diagnoses->tail == NULL) {
        diagnoses->head = diagnosis;
    } else {
        diagnoses->tail->next = diagnosis;
    }
    diagnoses->tail = diagnosis;
}
