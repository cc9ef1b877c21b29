/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "controller/controller_private.h"

enum error plan_begin(struct controller *controller)
{
    struct plan *plan = &controller->plan;
    check(plan->builder == NULL);
    arena_clear(&plan->arena);
    plan->operations = NULL;
    plan->operation_count = 0;
    plan->operation_capacity = 0;
    plan->image = image_source_take(controller->source);
    const enum error error = image_builder_new(controller->source, &plan->builder);
    if (error != E_OK) {
        plan_drop(controller);
    }
    return error;
}

void plan_drop(struct controller *controller)
{
    struct plan *plan = &controller->plan;
    image_builder_free(plan->builder);
    plan->builder = NULL;
    plan->image = image_unref(plan->image);
}

static enum error plan_grow(struct plan *plan)
{
    if (plan->operation_count < plan->operation_capacity) {
        return E_OK;
    }
    const size_t capacity = 2 * plan->operation_capacity + 16;
    struct store_operation *operations =
        ARENA_NEW_ARRAY(&plan->arena, struct store_operation, capacity);
    if (operations == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    if (plan->operation_count > 0) {
        memcpy(operations, plan->operations, plan->operation_count * sizeof(*operations));
    }
    plan->operations = operations;
    plan->operation_capacity = capacity;
    return E_OK;
}

PRINTF_LIKE(3, 0)
static enum error plan_add(struct plan *plan, struct store_operation operation, const char *format,
                           va_list args)
{
    const enum error error = plan_grow(plan);
    const char *path = error == E_OK ? arena_vprintf(&plan->arena, format, args) : NULL;
    if (path == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    operation.path = slice_from_string(path);
    plan->operations[plan->operation_count++] = operation;
    return E_OK;
}

enum error plan_create(struct plan *plan, unsigned flags, struct slice data,
                       const char *path_format, ...)
{
    va_list args;
    va_start(args, path_format);
    const enum error error = plan_add(
        plan, (struct store_operation){.kind = STORE_CREATE, .create_flags = flags, .data = data},
        path_format, args);
    va_end(args);
    return error;
}

enum error plan_set(struct plan *plan, int32_t version, struct slice data, const char *path_format,
                    ...)
{
    va_list args;
    va_start(args, path_format);
    const enum error error = plan_add(
        plan, (struct store_operation){.kind = STORE_SET, .data = data, .version = version},
        path_format, args);
    va_end(args);
    return error;
}

enum error plan_delete(struct plan *plan, const char *path_format, ...)
{
    va_list args;
    va_start(args, path_format);
    const enum error error =
        plan_add(plan, (struct store_operation){.kind = STORE_DELETE, .version = STORE_VERSION_ANY},
                 path_format, args);
    va_end(args);
    return error;
}

enum error plan_check(struct plan *plan, int32_t version, const char *path_format, ...)
{
    va_list args;
    va_start(args, path_format);
    const enum error error = plan_add(
        plan, (struct store_operation){.kind = STORE_CHECK, .version = version}, path_format, args);
    va_end(args);
    return error;
}
