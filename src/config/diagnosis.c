/* SPDX-License-Identifier: Apache-2.0 */
#include "config/diagnosis.h"

#include <stdarg.h>

void diagnoses_init(struct diagnoses *diagnoses, struct arena *arena)
{
    *diagnoses = (struct diagnoses){.arena = arena};
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
    const char *text = arena_vprintf(diagnoses->arena, format, arguments);
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
