/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are a configuration file or a line that says what is wrong: never a crash, and what is
 * parsed keeps the promises of properties.h. The whole load is run, so that values, listeners and
 * quorum forms are fuzzed too. */
#include <stdlib.h>

#include "config/broker_config.h"
#include "config/properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_properties(const struct properties *properties)
{
    uint32_t line = 0;
    for (size_t i = 0; i < properties->count; i++) {
        const struct property *property = &properties->entries[i];
        check_cmp(property->line, >, line);
        check_cmp(property->replaced_line, <, property->line);
        check_cmp(strlen((const char *)property->name.data), ==, property->name.size);
        check_cmp(strlen((const char *)property->value.data), ==, property->value.size);
        line = property->line;
    }
}

static void load(struct slice text)
{
    const struct broker_config_input input = {
        .file_name = "fuzz", .file = text, .default_log_dir = "data"};
    struct arena arena;
    struct diagnoses diagnoses;
    struct broker_settings *settings = NULL;
    arena_init(&arena, 8 << 20);
    diagnoses_init(&diagnoses, &arena);
    const enum error error = broker_config_load(&input, &diagnoses, &settings);
    check((error == E_OK) == (settings != NULL));
    if (error == E_OK) {
        check_cmp(settings->listeners.count, >, 0);
        check_cmp(settings->log_dir_count, >, 0);
        check_cmp(settings->node_id, >=, -1);
    }
    if (error == E_INVALID_CONFIG) {
        check_cmp(diagnoses.error_count, >, 0);
    }
    broker_settings_free(settings);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct properties properties;
    struct properties_failure failure;
    arena_init(&arena, 8 << 20);
    if (properties_parse(&arena, slice_of(data, size), &properties, &failure) == E_OK) {
        check_properties(&properties);
    }
    arena_done(&arena);
    load(slice_of(data, size));
    return 0;
}
