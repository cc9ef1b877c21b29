/* SPDX-License-Identifier: Apache-2.0 */

/* AlterConfigs (full replacement) and IncrementalAlterConfigs, for topics and brokers. */

#include <stdio.h>

#include "base/diag.h"
#include "controller/controller_private.h"
#include "controller/duplicates.h"
#include "controller/node_json.h"

enum {
    NAME_TEXT_SIZE = 257,
};

/* The set of one resource while its changes are applied. */
struct config_draft {
    struct config_entry *entries; /* room for all that was and all that comes */
    size_t count;
};

static struct controller_alter_configs *alter_of(struct controller_request *request)
{
    return container_of(request, struct controller_alter_configs, request);
}

static struct config_entry *draft_find(struct config_draft *draft, struct slice name)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (slice_equal(draft->entries[i].name, name)) {
            return &draft->entries[i];
        }
    }
    return NULL;
}

static void draft_set(struct config_draft *draft, struct slice name, struct slice value)
{
    struct config_entry *found = draft_find(draft, name);
    if (found != NULL) {
        found->value = value;
    } else {
        draft->entries[draft->count++] = (struct config_entry){name, value};
    }
}

static void draft_remove(struct config_draft *draft, struct slice name)
{
    struct config_entry *found = draft_find(draft, name);
    if (found != NULL) {
        *found = draft->entries[--draft->count];
    }
}

/* --- lists --- */

static bool list_has(struct slice list, struct slice item)
{
    struct slice it;
    while (setting_list_next(&list, &it)) {
        if (slice_equal(it, item)) {
            return true;
        }
    }
    return false;
}

/* The items of `first` that are not in `without`, then those of `then` that are not in `first`. */
static struct slice list_combine(struct arena *arena, struct slice first, struct slice without,
                                 struct slice then)
{
    char *text = arena_alloc(arena, first.size + then.size + 2, 1);
    if (text == NULL) {
        return SLICE_NULL;
    }
    size_t size = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct slice rest = pass == 0 ? first : then;
        const struct slice excluded = pass == 0 ? without : first;
        struct slice item;
        while (setting_list_next(&rest, &item)) {
            if (list_has(excluded, item)) {
                continue;
            }
            if (size > 0) {
                text[size++] = ',';
            }
            memcpy(text + size, item.data, item.size);
            size += item.size;
        }
    }
    return slice_of(text, size);
}

/* What APPEND and SUBTRACT start from when the resource itself sets nothing: the effective value
 * below it, as Kafka does. */
static struct slice inherited_value(const struct controller *controller,
                                    const struct setting *setting)
{
    const struct settings *settings = controller->plan.image->settings;
    if (setting->scope == SETTING_SCOPE_TOPIC && setting->synonym_count > 0) {
        return slice_from_string(settings_text(settings, setting->synonyms[0].id));
    }
    if (setting->scope == SETTING_SCOPE_BROKER) {
        return slice_from_string(settings_text(settings, setting->id));
    }
    return slice_from_string(setting->default_text);
}

static enum error change_list(struct controller *controller, struct controller_request *request,
                              const struct controller_config_change *change,
                              const struct setting *setting, struct config_draft *draft)
{
    const struct config_entry *found = draft_find(draft, change->name);
    const struct slice before = found != NULL ? found->value : inherited_value(controller, setting);
    const bool is_append = change->operation == ALTER_CONFIG_APPEND;
    const struct slice value =
        list_combine(request->arena, before, is_append ? SLICE_NULL : change->value,
                     is_append ? change->value : SLICE_NULL);
    if (slice_is_null(value)) {
        return E_LOCAL_NO_MEMORY;
    }
    draft_set(draft, change->name, value);
    return E_OK;
}

/* --- one change --- */

static enum error apply_change(struct controller *controller, struct controller_request *request,
                               enum setting_scope scope,
                               const struct controller_config_change *change,
                               struct config_draft *draft, struct failure *failure)
{
    char name[NAME_TEXT_SIZE];
    (void)diag_escape(change->name, name, sizeof(name));
    if (change->operation == ALTER_CONFIG_DELETE) {
        draft_remove(draft, change->name);
        return E_OK;
    }
    if (slice_is_null(change->value)) {
        controller_fail(request, failure, E_INVALID_REQUEST, "Null value not supported for : %s",
                        name);
        return failure->code;
    }
    if (change->operation == ALTER_CONFIG_SET) {
        draft_set(draft, change->name, change->value);
        return E_OK;
    }
    if (change->operation != ALTER_CONFIG_APPEND && change->operation != ALTER_CONFIG_SUBTRACT) {
        controller_fail(request, failure, E_INVALID_REQUEST, "Unknown operation type %d",
                        change->operation);
        return failure->code;
    }
    const struct setting *setting = setting_find(scope, change->name);
    if (setting == NULL || setting->type != SETTING_TYPE_LIST) {
        controller_fail(request, failure, E_INVALID_CONFIG,
                        "Can't %s to key %s because its type is not LIST.",
                        change->operation == ALTER_CONFIG_APPEND ? "APPEND" : "SUBTRACT", name);
        return failure->code;
    }
    return change_list(controller, request, change, setting, draft);
}

static enum error check_duplicate_keys(struct controller *controller,
                                       struct controller_request *request,
                                       struct controller_altered_resource *resource)
{
    struct arena *arena = &controller->plan.arena;
    struct slice *names = ARENA_NEW_ARRAY(arena, struct slice, resource->change_count);
    bool *is_duplicate;
    if (names == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (uint32_t i = 0; i < resource->change_count; i++) {
        names[i] = resource->changes[i].name;
    }
    const enum error error = find_duplicates(arena, names, resource->change_count, &is_duplicate);
    for (uint32_t i = 0; i < resource->change_count && error == E_OK; i++) {
        if (is_duplicate[i]) {
            controller_fail(request, &resource->failure, E_INVALID_REQUEST,
                            "Error due to duplicate config keys");
            return resource->failure.code;
        }
    }
    return error;
}

/* The entries after all changes. */
static enum error draft_changes(struct controller *controller, struct controller_request *request,
                                struct controller_altered_resource *resource,
                                const struct config_entry *entries, size_t count,
                                struct config_draft *ret_draft)
{
    const bool is_incremental = alter_of(request)->is_incremental;
    const enum setting_scope scope =
        resource->type == CONFIG_RESOURCE_TOPIC ? SETTING_SCOPE_TOPIC : SETTING_SCOPE_BROKER;
    if (resource->change_count > SETTING_COUNT) { /* so that what follows may be quadratic */
        controller_fail(request, &resource->failure, E_INVALID_CONFIG,
                        "There are more configs than names of configs");
        return resource->failure.code;
    }
    enum error error = check_duplicate_keys(controller, request, resource);
    if (error != E_OK) {
        return error;
    }
    *ret_draft = (struct config_draft){
        .entries = ARENA_NEW_ARRAY(&controller->plan.arena, struct config_entry,
                                   count + resource->change_count),
    };
    if (ret_draft->entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    if (is_incremental && count > 0) {
        memcpy(ret_draft->entries, entries, count * sizeof(*entries));
        ret_draft->count = count;
    }
    for (uint32_t i = 0; i < resource->change_count && error == E_OK; i++) {
        struct controller_config_change change = resource->changes[i];
        if (!is_incremental) {
            change.operation = ALTER_CONFIG_SET;
        }
        error = apply_change(controller, request, scope, &change, ret_draft, &resource->failure);
    }
    return error;
}

/* --- topics --- */

static enum error alter_topic(struct controller *controller, struct controller_alter_configs *alter,
                              struct controller_altered_resource *resource)
{
    struct plan *plan = &controller->plan;
    struct controller_request *request = &alter->request;
    const struct image_topic *found = image_find_topic(plan->image, resource->name);
    if (found == NULL) {
        char name[NAME_TEXT_SIZE];
        controller_fail(request, &resource->failure, E_UNKNOWN_TOPIC_OR_PARTITION,
                        "The topic '%s' does not exist.",
                        diag_escape(resource->name, name, sizeof(name)));
        return resource->failure.code;
    }
    struct config_draft draft;
    enum error error =
        draft_changes(controller, request, resource, found->configs, found->config_count, &draft);
    if (error == E_OK) {
        error = controller_check_topic_configs(controller, request, draft.entries, draft.count,
                                               &resource->failure);
    }
    if (error != E_OK || alter->validate_only) {
        return error;
    }
    const struct slice node = node_encode_configs(&plan->arena, draft.entries, draft.count);
    if (slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    struct image_topic spec = *found;
    spec.configs = draft.entries;
    spec.config_count = (uint32_t)draft.count;
    spec.is_held = false; /* its configs are known now */
    error = plan_set(plan, STORE_VERSION_ANY, node, "/config/topics/%.*s", SLICE_ARGS(found->name));
    if (error == E_OK && found->is_held) {
        error = plan_delete(plan, "/ottla/held/%.*s", SLICE_ARGS(found->name));
    }
    return error == E_OK ? image_builder_put_topic(plan->builder, &spec) : error;
}

/* --- brokers --- */

/* The layer that a broker resource names; NULL with the failure filled. */
static struct config_set *find_set(struct controller *controller,
                                   struct controller_request *request,
                                   struct controller_altered_resource *resource)
{
    char own_id[16];
    (void)snprintf(own_id, sizeof(own_id), "%d", controller->broker_id);
    if (resource->name.size == 0) {
        return &controller->default_configs;
    }
    if (slice_equal_string(resource->name, own_id)) {
        return &controller->broker_configs;
    }
    char name[NAME_TEXT_SIZE];
    controller_fail(request, &resource->failure, E_INVALID_REQUEST,
                    "Unexpected broker id, expected %s or empty string, but received %s", own_id,
                    diag_escape(resource->name, name, sizeof(name)));
    return NULL;
}

static enum error check_broker_changes(struct controller_request *request,
                                       struct controller_altered_resource *resource)
{
    const bool is_default = resource->name.size == 0;
    for (uint32_t i = 0; i < resource->change_count; i++) {
        const struct controller_config_change *change = &resource->changes[i];
        const bool is_value =
            !alter_of(request)->is_incremental || change->operation == ALTER_CONFIG_SET;
        const enum error error =
            settings_check_change(change->name, is_value ? change->value : SLICE_NULL, is_default,
                                  request->arena, &resource->failure);
        if (error != E_OK) {
            resource->failure.code = error;
            return error;
        }
    }
    return E_OK;
}

/* The settings in effect once the set is the draft. */
static enum error write_broker(struct controller *controller, struct config_set *set,
                               const struct config_draft *draft)
{
    struct plan *plan = &controller->plan;
    const bool is_default = set == &controller->default_configs;
    const struct slice node = node_encode_configs(&plan->arena, draft->entries, draft->count);
    if (slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    char name[16] = "<default>";
    if (!is_default) {
        (void)snprintf(name, sizeof(name), "%d", controller->broker_id);
    }
    enum error error = set->has_node
                           ? plan_set(plan, STORE_VERSION_ANY, node, "/config/brokers/%s", name)
                           : plan_create(plan, 0, node, "/config/brokers/%s", name);
    if (error == E_OK) {
        error = config_set_assign(&controller->next_configs, draft->entries, draft->count);
    }
    if (error != E_OK) {
        return error;
    }
    controller->next_configs_of = set;
    struct image_cluster_spec spec = cluster_spec_of(plan->image);
    struct settings *settings;
    error = settings_with_layer(spec.settings,
                                is_default ? CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER
                                           : CONFIG_SOURCE_DYNAMIC_BROKER,
                                draft->entries, draft->count, NULL, &settings);
    if (error == E_OK) {
        spec.settings = settings;
        error = image_builder_set_cluster(plan->builder, &spec);
        settings_unref(settings);
    }
    return error;
}

static enum error alter_broker(struct controller *controller,
                               struct controller_alter_configs *alter,
                               struct controller_altered_resource *resource)
{
    struct controller_request *request = &alter->request;
    struct config_set *set = find_set(controller, request, resource);
    if (set == NULL) {
        return resource->failure.code;
    }
    struct config_draft draft;
    enum error error = check_broker_changes(request, resource);
    if (error == E_OK) {
        error = draft_changes(controller, request, resource, set->entries, set->count, &draft);
    }
    if (error != E_OK || alter->validate_only) {
        return error;
    }
    if (controller->next_configs_of != NULL) {
        controller_fail(request, &resource->failure, E_INVALID_REQUEST,
                        "One request can change the configs of one broker or of all brokers, not "
                        "both");
        return resource->failure.code;
    }
    return write_broker(controller, set, &draft);
}

/* --- the request --- */

static enum error alter_resource(struct controller *controller,
                                 struct controller_alter_configs *alter,
                                 struct controller_altered_resource *resource, bool is_repeated)
{
    if (is_repeated) {
        controller_fail(&alter->request, &resource->failure, E_INVALID_REQUEST,
                        "Each resource must appear at most once.");
        return resource->failure.code;
    }
    if (resource->type == CONFIG_RESOURCE_TOPIC) {
        return alter_topic(controller, alter, resource);
    }
    if (resource->type == CONFIG_RESOURCE_BROKER) {
        return alter_broker(controller, alter, resource);
    }
    controller_fail(&alter->request, &resource->failure, E_INVALID_REQUEST,
                    "Configs of resource type %d are not served here", resource->type);
    return resource->failure.code;
}

/* Keys: type and name. */
static enum error find_repeated(struct controller *controller,
                                const struct controller_alter_configs *alter,
                                bool **ret_is_repeated)
{
    struct arena *arena = &controller->plan.arena;
    struct slice *keys = ARENA_NEW_ARRAY(arena, struct slice, alter->resource_count);
    if (keys == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < alter->resource_count; i++) {
        const struct controller_altered_resource *resource = &alter->resources[i];
        uint8_t *key = arena_alloc(arena, resource->name.size + 1, 1);
        if (key == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        key[0] = (uint8_t)resource->type;
        if (resource->name.size > 0) {
            memcpy(key + 1, resource->name.data, resource->name.size);
        }
        keys[i] = slice_of(key, resource->name.size + 1);
    }
    return find_duplicates(arena, keys, alter->resource_count, ret_is_repeated);
}

static enum error alter_configs_prepare(struct controller *controller,
                                        struct controller_request *request)
{
    struct controller_alter_configs *alter = alter_of(request);
    bool *is_repeated;
    enum error error = find_repeated(controller, alter, &is_repeated);
    for (size_t i = 0; i < alter->resource_count && error == E_OK; i++) {
        if (alter_resource(controller, alter, &alter->resources[i], is_repeated[i]) ==
            E_LOCAL_NO_MEMORY) {
            error = E_LOCAL_NO_MEMORY;
        }
    }
    return error;
}

static struct failure *alter_configs_failure_at(struct controller_request *request, size_t index)
{
    struct controller_alter_configs *alter = alter_of(request);
    return index < alter->resource_count ? &alter->resources[index].failure : NULL;
}

static bool alter_configs_validates_only(struct controller_request *request)
{
    return container_of(request, struct controller_alter_configs, request)->validate_only;
}

const struct controller_operation alter_configs_operation = {
    .prepare = alter_configs_prepare,
    .failure_at = alter_configs_failure_at,
    .validates_only = alter_configs_validates_only,
};
