/* SPDX-License-Identifier: Apache-2.0 */

/* UpdateFeatures: all or nothing, against what this broker serves. */

#include "controller/controller_private.h"
#include "controller/node_json.h"

static struct controller_update_features *update_of(struct controller_request *request)
{
    return container_of(request, struct controller_update_features, request);
}

static const struct supported_feature *find_supported(const struct controller *controller,
                                                      struct slice name)
{
    for (uint32_t i = 0; i < controller->feature_count; i++) {
        if (slice_equal(controller->features[i].name, name)) {
            return &controller->features[i];
        }
    }
    return NULL;
}

static struct image_feature *find_level(struct image_feature *features, uint32_t count,
                                        struct slice name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slice_equal(features[i].name, name)) {
            return &features[i];
        }
    }
    return NULL;
}

static void check_update(struct controller *controller, struct controller_update_features *update,
                         struct controller_feature_update *item, int16_t level)
{
    const struct supported_feature *supported = find_supported(controller, item->name);
    if (supported == NULL) {
        controller_fail(&update->request, &item->failure, E_INVALID_UPDATE_VERSION,
                        "Invalid update version %d for feature %.*s. Local broker %d does not "
                        "support this feature.",
                        item->level_max, SLICE_ARGS(item->name), controller->broker_id);
    } else if (item->level_max != 0 &&
               (item->level_max < supported->level_min || item->level_max > supported->level_max)) {
        controller_fail(&update->request, &item->failure, E_INVALID_UPDATE_VERSION,
                        "Invalid update version %d for feature %.*s. Local broker %d only "
                        "supports versions %d-%d",
                        item->level_max, SLICE_ARGS(item->name), controller->broker_id,
                        supported->level_min, supported->level_max);
    } else if (item->level_max < level && !item->allow_downgrade) {
        controller_fail(&update->request, &item->failure, E_INVALID_UPDATE_VERSION,
                        "Invalid update version %d for feature %.*s. Can't downgrade the version "
                        "of this feature without setting the upgrade type to either safe or "
                        "unsafe downgrade.",
                        item->level_max, SLICE_ARGS(item->name));
    }
}

/* Sets, adds or (level 0) removes one; `features` has room. */
static void set_level(struct image_feature *features, uint32_t *count,
                      const struct controller_feature_update *item)
{
    struct image_feature *found = find_level(features, *count, item->name);
    if (item->level_max == 0) {
        if (found != NULL) {
            *found = features[--*count];
        }
    } else if (found != NULL) {
        found->level = item->level_max;
    } else {
        features[(*count)++] = (struct image_feature){item->name, item->level_max};
    }
}

static enum error write_features(struct controller *controller,
                                 const struct image_feature *features, uint32_t count)
{
    struct plan *plan = &controller->plan;
    const struct slice node = node_encode_features(&plan->arena, features, count);
    if (slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    struct image_cluster_spec spec = cluster_spec_of(plan->image);
    spec.features = features;
    spec.feature_count = count;
    spec.feature_epoch++;
    const enum error error = plan_set(plan, STORE_VERSION_ANY, node, "/feature");
    return error == E_OK ? image_builder_set_cluster(plan->builder, &spec) : error;
}

static enum error update_features_prepare(struct controller *controller,
                                          struct controller_request *request)
{
    struct controller_update_features *update = update_of(request);
    const struct image *image = controller->plan.image;
    const size_t room = image->feature_count + update->feature_count;
    struct image_feature *features =
        ARENA_NEW_ARRAY(&controller->plan.arena, struct image_feature, room);
    if (features == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    uint32_t count = image->feature_count;
    if (count > 0) {
        memcpy(features, image->features, count * sizeof(*features));
    }
    bool is_changed = false;
    for (size_t i = 0; i < update->feature_count; i++) {
        struct controller_feature_update *item = &update->features[i];
        const struct image_feature *found = find_level(features, count, item->name);
        const int16_t level = found == NULL ? 0 : found->level;
        check_update(controller, update, item, level);
        if (item->failure.code != E_OK) {
            update->failure = item->failure;
            return E_OK; /* none is changed: the plan has no write yet */
        }
        is_changed |= level != item->level_max;
        set_level(features, &count, item);
    }
    return is_changed ? write_features(controller, features, count) : E_OK;
}

/* The failure of the whole comes first. */
static struct failure *update_features_failure_at(struct controller_request *request, size_t index)
{
    struct controller_update_features *update = update_of(request);
    if (index == 0) {
        return &update->failure;
    }
    return index <= update->feature_count ? &update->features[index - 1].failure : NULL;
}

static bool update_features_validates_only(struct controller_request *request)
{
    return container_of(request, struct controller_update_features, request)->validate_only;
}

const struct controller_operation update_features_operation = {
    .prepare = update_features_prepare,
    .failure_at = update_features_failure_at,
    .validates_only = update_features_validates_only,
};
