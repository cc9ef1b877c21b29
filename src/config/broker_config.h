/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From the bytes of a server.properties and the --override options to what the broker starts with,
 * or to the lines that say what is wrong. Reads no file itself.
 */

#include "base/error.h"
#include "config/diagnosis.h"
#include "config/listeners.h"
#include "config/settings.h"

struct broker_config_input {
    const char *file_name;        /* for the diagnoses; NULL: no file */
    struct slice file;            /* its bytes; ignored without file_name */
    const char *const *overrides; /* "name=value"; they win over the file */
    size_t override_count;
    const char *default_log_dir; /* when neither log.dirs nor log.dir is set */
};

/* Owned by the caller: broker_settings_free. Immutable. */
struct broker_settings {
    struct arena arena;         /* of all that this struct points to */
    struct settings *settings;  /* static layer and defaults; one reference */
    struct listeners listeners; /* with no file: PLAINTEXT on 127.0.0.1:9092 */
    const char **log_dirs;      /* at least one, no duplicates */
    size_t log_dir_count;
    const char *metadata_log_dir; /* metadata.log.dir, or the first log directory */
    int32_t node_id;              /* node.id or broker.id; -1: neither is set */
};

/*
 * diagnoses     Receives all errors and warnings, not only the first.
 * ret_settings  Set only with E_OK.
 *
 * Errors: E_INVALID_CONFIG   diagnoses->error_count > 0.
 *         E_LOCAL_NO_MEMORY
 */
NODISCARD enum error broker_config_load(const struct broker_config_input *input,
                                        struct diagnoses *diagnoses,
                                        struct broker_settings **ret_settings);
/* NULL is fine. */
void broker_settings_free(struct broker_settings *settings);
