/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The tables that the generator (gen/messages.py) makes from schemas/messages and that the codec
 * walks. All are constant.
 *
 *   message_schema ── version ──► layout ──► steps, one per field which that version carries, in
 *         │                          │       wire order; the tagged ones last, by rising tag
 *         └──────────► struct_schema ◄┘      └─► layout of the child struct
 *                        └─► fields, all versions: name and type, for printing and comparing
 *
 * A layout is one struct in one version, or in all versions whose bytes look the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_BOOL,
    FIELD_INT8,
    FIELD_INT16,
    FIELD_UINT16,
    FIELD_INT32,
    FIELD_UINT32,
    FIELD_INT64,
    FIELD_FLOAT64,
    FIELD_UUID,
    FIELD_STRING,
    FIELD_BYTES,
    FIELD_RECORDS,
    FIELD_STRUCT,
};

enum field_form {
    FORM_ONE,
    FORM_ARRAY,   /* {T *items; uint32_t count;} */
    FORM_POINTER, /* of FIELD_STRUCT: NULL is null */
};

struct field {
    const char *name; /* of the C member, which is Kafka's in snake case */
    const struct struct_schema *child;
    uint16_t offset;
    uint8_t type; /* enum field_type, of an array: of its elements */
    uint8_t form; /* enum field_form */
};

struct struct_schema {
    const char *name; /* C name without "struct" */
    const struct field *fields;
    const void *defaults; /* a struct with every member at its default */
    uint32_t size;        /* bytes, sizeof the struct */
    uint16_t field_count;
};

/* How a value is written. Values of one version only: a step is all that the codec looks at. */
enum step_kind {
    STEP_BOOL,
    STEP_INT8,
    STEP_INT16,
    STEP_INT32,
    STEP_INT64,
    STEP_UUID,
    STEP_STRING, /* INT16 size */
    STEP_COMPACT_STRING,
    STEP_BYTES, /* INT32 size */
    STEP_COMPACT_BYTES,
    STEP_RECORDS, /* INT32 size */
    STEP_COMPACT_RECORDS,
    STEP_STRUCT,
    STEP_STRUCT_POINTER, /* INT8: negative is null, else the struct follows */
    STEP_ARRAY,          /* INT32 count */
    STEP_COMPACT_ARRAY,
};

struct step {
    uint8_t kind;    /* enum step_kind */
    uint8_t element; /* enum step_kind, of arrays */
    bool nullable;
    uint8_t tag;                /* of tagged fields */
    uint16_t offset;            /* of the member, bytes from the start of the struct */
    uint16_t field;             /* index into fields of the struct */
    const struct layout *child; /* of structs and arrays of structs */
};

struct decoder;
struct writer;

struct layout {
    const struct struct_schema *type;
    const struct step *steps;
    const uint16_t *absent; /* indices of fields that must be at their default in this version */
    uint32_t size_min;      /* bytes of the shortest encoding, at least 1 */
    uint16_t step_count;    /* fields in wire order ... */
    uint16_t tagged_count;  /* ... and after them in steps the tagged ones */
    uint16_t absent_count;
    bool flexible; /* tagged fields end the struct */
    bool complete; /* steps set every member: no defaults needed */
    /* The steps as code, for the messages of the hot path; NULL: the codec walks the steps. */
    const uint8_t *(*decode)(struct decoder *d, const uint8_t *p, uint8_t *message);
    uint8_t *(*encode)(struct writer *w, uint8_t *p, const uint8_t *message);
};

struct message_schema {
    const char *name; /* Kafka's: "ProduceRequest" */
    const struct struct_schema *type;
    const struct layout *const *layouts; /* of the outermost struct, by version - version_min */
    int16_t api_key;                     /* or record type of coordinator keys; -1: none */
    int16_t version_min;
    int16_t version_max;
    int16_t flexible_from; /* INT16_MAX: no version is flexible */
};
