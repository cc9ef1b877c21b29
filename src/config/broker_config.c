/* SPDX-License-Identifier: Apache-2.0 */
#include "config/broker_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "config/properties.h"

enum {
    /* A file of PROPERTIES_SIZE_MAX: twice as UTF-8, once as a line, once as texts, its entries. */
    BROKER_CONFIG_SIZE_MAX = 64 << 20,
    ESCAPED_SIZE_MAX = 257, /* diag_escape cuts at 256 bytes */
    WHERE_SIZE_MAX = 512,
    NEAREST_COUNT_MAX = 100,
};

/* One name and value, and where it is written, for the diagnoses. */
struct assignment {
    struct slice name;
    struct slice value;
    uint32_t line; /* 0: an --override */
};

struct loader {
    const struct broker_config_input *input;
    struct diagnoses *diagnoses;
    struct arena *arena; /* of the broker_settings */
    struct assignment *assignments;
    size_t count;
};

static const char *where(const struct loader *loader, const struct assignment *assignment,
                         char out[WHERE_SIZE_MAX])
{
    if (assignment->line == 0) {
        return "--override";
    }
    (void)snprintf(out, WHERE_SIZE_MAX, "%s:%u", loader->input->file_name, assignment->line);
    return out;
}

/* The later of two with one name wins. */
static void loader_assign(struct loader *loader, struct assignment assignment)
{
    for (size_t i = 0; i < loader->count; i++) {
        if (slice_equal(loader->assignments[i].name, assignment.name)) {
            loader->assignments[i] = assignment;
            return;
        }
    }
    loader->assignments[loader->count++] = assignment;
}

static enum error loader_read_file(struct loader *loader, struct properties *ret_properties)
{
    const struct broker_config_input *input = loader->input;
    *ret_properties = (struct properties){.count = 0};
    if (input->file_name == NULL) {
        return E_OK;
    }
    struct properties_failure failure;
    const enum error error = properties_parse(loader->arena, input->file, ret_properties, &failure);
    if (error == E_INVALID_CONFIG) {
        diagnoses_add(loader->diagnoses, DIAGNOSIS_ERROR, "%s:%u: %s", input->file_name,
                      failure.line, failure.text);
    }
    return error;
}

static void loader_take_file(struct loader *loader, const struct properties *properties)
{
    for (size_t i = 0; i < properties->count; i++) {
        const struct property *property = &properties->entries[i];
        /* The parser has left one entry per name, so nothing is looked up here. */
        loader->assignments[loader->count++] = (struct assignment){
            .name = property->name, .value = property->value, .line = property->line};
        if (property->replaced_line != 0) {
            char name[ESCAPED_SIZE_MAX];
            diagnoses_add(loader->diagnoses, DIAGNOSIS_WARNING,
                          "%s:%u: %s is set in line %u too; this line wins, remove the other",
                          loader->input->file_name, property->line,
                          diag_escape(property->name, name, sizeof(name)), property->replaced_line);
        }
    }
}

static void loader_take_overrides(struct loader *loader)
{
    for (size_t i = 0; i < loader->input->override_count; i++) {
        const char *text = loader->input->overrides[i];
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text) {
            char escaped[ESCAPED_SIZE_MAX];
            diagnoses_add(loader->diagnoses, DIAGNOSIS_ERROR,
                          "--override %s: write name=value, for example num.partitions=3",
                          diag_escape(slice_from_string(text), escaped, sizeof(escaped)));
            continue;
        }
        loader_assign(loader, (struct assignment){
                                  .name = setting_trim(slice_of(text, (size_t)(equals - text))),
                                  .value = slice_from_string(equals + 1),
                              });
    }
}

static void report_unknown(const struct loader *loader, const struct assignment *assignment)
{
    char place[WHERE_SIZE_MAX];
    char name[ESCAPED_SIZE_MAX];
    (void)diag_escape(assignment->name, name, sizeof(name));
    /* A file with a hundred warnings is not a file of ours: comparing names costs too much then. */
    const struct setting *nearest = loader->diagnoses->warning_count < NEAREST_COUNT_MAX
                                        ? setting_nearest(SETTING_SCOPE_BROKER, assignment->name)
                                        : NULL;
    if (nearest != NULL) {
        diagnoses_add(loader->diagnoses, DIAGNOSIS_WARNING,
                      "%s: unknown setting %s is ignored; did you mean %s?",
                      where(loader, assignment, place), name, nearest->name);
    } else {
        diagnoses_add(loader->diagnoses, DIAGNOSIS_WARNING, "%s: unknown setting %s is ignored",
                      where(loader, assignment, place), name);
    }
}

/* The value in quotes, or nothing of it when it is a secret. */
static const char *shown_value(const struct setting *setting, struct slice value,
                               char out[ESCAPED_SIZE_MAX])
{
    return setting->is_sensitive ? "(hidden)" : diag_escape(value, out, ESCAPED_SIZE_MAX);
}

static void report_bad_value(const struct loader *loader, const struct assignment *assignment,
                             const struct setting *setting, const char *allowed)
{
    char place[WHERE_SIZE_MAX];
    char value[ESCAPED_SIZE_MAX];
    diagnoses_add(loader->diagnoses, DIAGNOSIS_ERROR,
                  "%s: %s=%s is not allowed; allowed is %s, the default is %s",
                  where(loader, assignment, place), setting->name,
                  shown_value(setting, assignment->value, value), allowed,
                  setting->default_text != NULL ? setting->default_text : "not set");
}

static const struct {
    enum setting_id id;
    const char *text;
} remedies[] = {
    {SETTING_ZOOKEEPER_CONNECT, "clusters in ZooKeeper mode are not served yet; remove the line to "
                                "run as a single broker with its own metadata"},
    {SETTING_ZOOKEEPER_METADATA_MIGRATION_ENABLE,
     "migration between ZooKeeper and KRaft is not served; remove the line"},
    {SETTING_REMOTE_LOG_STORAGE_SYSTEM_ENABLE,
     "remote storage is not served; remove the line to keep all segments on local disks"},
    {SETTING_AUTHORIZER_CLASS_NAME,
     "authorisation is not served yet, everybody could do everything; remove the line only if that "
     "is acceptable"},
};

static const char *refusal_remedy(const struct setting *setting)
{
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (remedies[i].id == setting->id) {
            return remedies[i].text;
        }
    }
    return "it is not served yet and the broker would not do what you asked for; remove the line "
           "or "
           "set the default";
}

static void report_unserved(const struct loader *loader, const struct assignment *assignment,
                            const struct setting *setting)
{
    char place[WHERE_SIZE_MAX];
    char value[ESCAPED_SIZE_MAX];
    (void)shown_value(setting, assignment->value, value);
    const char *shown = setting->is_sensitive ? "(hidden)" : value;
    const char *default_text = setting->default_text != NULL ? setting->default_text : "not set";
    if (setting->service == SETTING_UNSERVED_REFUSE) {
        diagnoses_add(loader->diagnoses, DIAGNOSIS_ERROR, "%s: %s=%s is refused: %s (default: %s)",
                      where(loader, assignment, place), setting->name, shown,
                      refusal_remedy(setting), default_text);
    } else if (setting->service == SETTING_UNSERVED_WARN) {
        diagnoses_add(loader->diagnoses, DIAGNOSIS_WARNING,
                      "%s: %s=%s has no effect: it is not served yet, the default %s holds",
                      where(loader, assignment, place), setting->name, shown, default_text);
    }
}

/* "listener.name.<listener>.<setting>" overrides a setting for one listener: none is served. */
static bool report_listener_prefix(const struct loader *loader, const struct assignment *assignment)
{
    static const char prefix[] = "listener.name.";
    const size_t prefix_size = sizeof(prefix) - 1;
    const struct slice name = assignment->name;
    if (name.size <= prefix_size || memcmp(name.data, prefix, prefix_size) != 0) {
        return false;
    }
    char place[WHERE_SIZE_MAX];
    char shown[ESCAPED_SIZE_MAX];
    (void)diag_escape(name, shown, sizeof(shown));
    const uint8_t *dot = memchr(name.data + prefix_size, '.', name.size - prefix_size);
    const size_t taken = dot == NULL ? name.size : (size_t)(dot + 1 - name.data);
    const struct setting *setting =
        setting_find(SETTING_SCOPE_BROKER, slice_of(name.data + taken, name.size - taken));
    /* SASL settings carry the mechanism before their name, so they are not found; they are security
     * like everything else that is not known here. */
    const bool is_limit = setting != NULL && setting->service != SETTING_UNSERVED_REFUSE;
    diagnoses_add(loader->diagnoses, is_limit ? DIAGNOSIS_WARNING : DIAGNOSIS_ERROR,
                  is_limit ? "%s: %s has no effect: settings of single listeners are not served yet"
                           : "%s: %s is refused: settings of single listeners are not served yet; "
                             "remove the line",
                  where(loader, assignment, place), shown);
    return true;
}

/* An unknown name that nevertheless asks for security: a mechanism's own key, a newer release's. */
static bool is_security_name(struct slice name)
{
    static const char *const prefixes[] = {"ssl.", "sasl.", "security.", "authorizer.",
                                           "zookeeper.ssl."};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        const size_t size = strlen(prefixes[i]);
        if (name.size >= size && memcmp(name.data, prefixes[i], size) == 0) {
            return true;
        }
    }
    return false;
}

static void report_no_setting(const struct loader *loader, const struct assignment *assignment)
{
    if (report_listener_prefix(loader, assignment)) {
        return;
    }
    if (!is_security_name(assignment->name)) {
        report_unknown(loader, assignment);
        return;
    }
    char place[WHERE_SIZE_MAX];
    char name[ESCAPED_SIZE_MAX];
    diagnoses_add(loader->diagnoses, DIAGNOSIS_ERROR,
                  "%s: %s is refused: this security setting is not known here; remove the line",
                  where(loader, assignment, place),
                  diag_escape(assignment->name, name, sizeof(name)));
}

static enum error loader_check(const struct loader *loader, const struct assignment *assignment)
{
    const struct setting *setting = setting_find(SETTING_SCOPE_BROKER, assignment->name);
    if (setting == NULL) {
        report_no_setting(loader, assignment);
        return E_OK;
    }
    struct setting_value value = {.source = CONFIG_SOURCE_STATIC_BROKER};
    const char *allowed = "";
    const enum error error =
        setting_parse(setting, assignment->value, loader->arena, &value, &allowed);
    if (error == E_INVALID_CONFIG) {
        report_bad_value(loader, assignment, setting, allowed);
        return E_OK;
    }
    if (error == E_OK && !setting_value_is_default(setting, &value)) {
        /* An empty text for a setting that is not set by default says nothing either. */
        if (setting->default_text != NULL || value.text[0] != '\0') {
            report_unserved(loader, assignment, setting);
        }
    }
    return error;
}

static enum error loader_make_settings(const struct loader *loader, struct settings **ret_settings)
{
    /* With no file the broker is for this machine only; a file means what it says to Kafka. */
    const bool is_local = loader->input->file_name == NULL;
    struct config_entry *entries =
        ARENA_NEW_ARRAY(loader->arena, struct config_entry, loader->count + 1);
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t count = 0;
    if (is_local) {
        entries[count++] =
            (struct config_entry){SLICE("listeners"), SLICE("PLAINTEXT://127.0.0.1:9092")};
    }
    for (size_t i = 0; i < loader->count; i++) {
        entries[count++] =
            (struct config_entry){loader->assignments[i].name, loader->assignments[i].value};
    }
    return settings_new(entries, count, ret_settings);
}

static bool is_static(const struct settings *settings, enum setting_id id)
{
    return settings_layer_value(settings, CONFIG_SOURCE_STATIC_BROKER, id) != NULL;
}

static void resolve_node_id(struct broker_settings *settings, struct diagnoses *diagnoses)
{
    const int32_t node_id = settings_int32(settings->settings, SETTING_NODE_ID);
    const int32_t broker_id = settings_int32(settings->settings, SETTING_BROKER_ID);
    const bool has_node_id = is_static(settings->settings, SETTING_NODE_ID);
    const bool has_broker_id = is_static(settings->settings, SETTING_BROKER_ID);
    if (has_node_id && has_broker_id && node_id != broker_id) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "node.id=%d and broker.id=%d differ; they are one thing, remove broker.id",
                      node_id, broker_id);
    }
    settings->node_id = has_node_id ? node_id : broker_id;
    if (settings->node_id < -1) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "node.id=%d is not allowed; allowed is a whole number from 0 to 2147483647",
                      settings->node_id);
    }
}

static bool list_has(const char *list, const char *word)
{
    struct slice rest = slice_from_string(list);
    struct slice item;
    while (setting_list_next(&rest, &item)) {
        if (slice_equal_string(item, word)) {
            return true;
        }
    }
    return false;
}

static size_t list_count(const char *list)
{
    struct slice rest = slice_from_string(list);
    struct slice item;
    size_t count = 0;
    while (setting_list_next(&rest, &item)) {
        count++;
    }
    return count;
}

/* "id@host:port": this node must be the one voter. */
static void check_voters(const struct broker_settings *settings, struct diagnoses *diagnoses)
{
    const char *voters = settings_text(settings->settings, SETTING_CONTROLLER_QUORUM_VOTERS);
    const char *servers =
        settings_text(settings->settings, SETTING_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
    if (list_count(voters) > 1 || list_count(servers) > 1) {
        diagnoses_add(
            diagnoses, DIAGNOSIS_ERROR,
            "%s=%s: a quorum of more than this node is not served yet; name only this node",
            list_count(voters) > 1 ? "controller.quorum.voters"
                                   : "controller.quorum.bootstrap.servers",
            list_count(voters) > 1 ? voters : servers);
        return;
    }
    if (voters[0] == '\0') {
        return;
    }
    char *end;
    const long voter = strtol(voters, &end, 10);
    if (end == voters || *end != '@') {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "controller.quorum.voters=%s: write id@host:port, for example "
                      "1@localhost:9093",
                      voters);
    } else if (voter != settings->node_id) {
        diagnoses_add(
            diagnoses, DIAGNOSIS_ERROR,
            "controller.quorum.voters=%s: the only voter must be this node, whose node.id "
            "is %d; joining another controller is not served yet",
            voters, settings->node_id);
    }
}

static void check_roles(const struct broker_settings *settings, struct diagnoses *diagnoses)
{
    const char *roles = settings_text(settings->settings, SETTING_PROCESS_ROLES);
    const bool has_quorum =
        is_static(settings->settings, SETTING_CONTROLLER_QUORUM_VOTERS) ||
        is_static(settings->settings, SETTING_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
    if (roles[0] != '\0' && !list_has(roles, "broker")) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "process.roles=%s: a node that is only a controller is not served yet; write "
                      "broker,controller",
                      roles);
    } else if (roles[0] != '\0' && !list_has(roles, "controller")) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "process.roles=%s: a broker of another node's controller is not served yet; "
                      "write broker,controller",
                      roles);
    } else if (roles[0] == '\0' && has_quorum) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "controller.quorum.* needs process.roles=broker,controller");
    } else {
        check_voters(settings, diagnoses);
    }
}

static enum error resolve_log_dirs(struct broker_settings *settings,
                                   const struct broker_config_input *input,
                                   struct diagnoses *diagnoses)
{
    const char *dirs = settings_text(settings->settings, SETTING_LOG_DIRS);
    if (dirs == NULL && is_static(settings->settings, SETTING_LOG_DIR)) {
        dirs = settings_text(settings->settings, SETTING_LOG_DIR);
    }
    if (dirs == NULL) {
        dirs = input->default_log_dir;
    }
    settings->log_dirs = ARENA_NEW_ARRAY(&settings->arena, const char *, list_count(dirs) + 1);
    if (settings->log_dirs == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    struct slice rest = slice_from_string(dirs);
    struct slice item;
    while (setting_list_next(&rest, &item)) {
        const char *dir = (const char *)arena_copy(&settings->arena, item).data;
        if (dir == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        for (size_t i = 0; i < settings->log_dir_count; i++) {
            if (strcmp(settings->log_dirs[i], dir) == 0) {
                diagnoses_add(diagnoses, DIAGNOSIS_ERROR, "log.dirs: %s is there twice", dir);
            }
        }
        if (item.size == 0) {
            diagnoses_add(diagnoses, DIAGNOSIS_ERROR, "log.dirs=%s: an empty name", dirs);
        }
        settings->log_dirs[settings->log_dir_count++] = dir;
    }
    if (settings->log_dir_count == 0) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR, "log.dirs is empty; name at least one directory");
        return E_OK;
    }
    settings->metadata_log_dir = settings_text(settings->settings, SETTING_METADATA_LOG_DIR);
    if (settings->metadata_log_dir == NULL) {
        settings->metadata_log_dir = settings->log_dirs[0];
    }
    return E_OK;
}

/* log.retention.* = 0 would delete everything at once; Kafka refuses it too. */
static void check_retention(const struct settings *settings, struct diagnoses *diagnoses)
{
    if (settings_log_retention_ms(settings) == 0) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "log.retention.ms, .minutes or .hours is 0; allowed is -1 (for ever) or more "
                      "than 0");
    }
}

static enum error loader_run(struct loader *loader, struct broker_settings *settings)
{
    struct properties properties;
    enum error error = loader_read_file(loader, &properties);
    if (error != E_OK) {
        return error;
    }
    loader->assignments = ARENA_NEW_ARRAY(loader->arena, struct assignment,
                                          properties.count + loader->input->override_count);
    if (loader->assignments == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    loader_take_file(loader, &properties);
    loader_take_overrides(loader);
    for (size_t i = 0; i < loader->count && error == E_OK; i++) {
        error = loader_check(loader, &loader->assignments[i]);
    }
    if (error != E_OK || loader->diagnoses->error_count > 0) {
        return error != E_OK ? error : E_INVALID_CONFIG;
    }
    error = loader_make_settings(loader, &settings->settings);
    if (error != E_OK) {
        return error;
    }
    resolve_node_id(settings, loader->diagnoses);
    check_roles(settings, loader->diagnoses);
    check_retention(settings->settings, loader->diagnoses);
    error = resolve_log_dirs(settings, loader->input, loader->diagnoses);
    if (error != E_OK) {
        return error;
    }
    error =
        listeners_parse(settings->settings, loader->arena, loader->diagnoses, &settings->listeners);
    if (error != E_OK) {
        return error;
    }
    return loader->diagnoses->error_count > 0 ? E_INVALID_CONFIG : E_OK;
}

enum error broker_config_load(const struct broker_config_input *input, struct diagnoses *diagnoses,
                              struct broker_settings **ret_settings)
{
    struct broker_settings *settings = calloc(1, sizeof(*settings));
    if (settings == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    arena_init(&settings->arena, BROKER_CONFIG_SIZE_MAX);
    struct loader loader = {.input = input, .diagnoses = diagnoses, .arena = &settings->arena};
    const enum error error = loader_run(&loader, settings);
    if (error != E_OK) {
        broker_settings_free(settings);
        return error;
    }
    *ret_settings = settings;
    return E_OK;
}

void broker_settings_free(struct broker_settings *settings)
{
    if (settings != NULL) {
        settings_unref(settings->settings);
        arena_done(&settings->arena);
        free(settings);
    }
}
