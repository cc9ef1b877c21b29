/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/file_cache.h"

#include <pthread.h>
#include <stdlib.h>

struct file_cache {
    struct vfs *vfs;
    uint32_t open_files_max;
    pthread_mutex_t lock; /* guards what follows, and all slots */
    struct list recent;   /* file_slot, most recently used first; unpinned ones only */
    uint32_t open_count;
};

enum error file_cache_new(struct vfs *vfs, uint32_t open_files_max, struct file_cache **ret_cache)
{
    struct file_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    cache->vfs = vfs;
    cache->open_files_max = open_files_max;
    pthread_mutex_init(&cache->lock, NULL);
    list_init(&cache->recent);
    *ret_cache = cache;
    return E_OK;
}

void file_cache_free(struct file_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    check_cmp(cache->open_count, ==, 0);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void file_slot_init(struct file_slot *slot)
{
    list_init(&slot->node);
    slot->file = NULL;
    slot->is_pinned = false;
}

/* Under the lock. The file that has to go, or NULL; the caller drops it outside of the lock. */
static struct file *take_victim(struct file_cache *cache)
{
    if (cache->open_count <= cache->open_files_max || list_is_empty(&cache->recent)) {
        return NULL;
    }
    struct file_slot *slot = container_of(cache->recent.prev, struct file_slot, node);
    struct file *victim = slot->file;
    list_remove(&slot->node);
    slot->file = NULL;
    cache->open_count--;
    return victim;
}

/* Under the lock: a reference for the caller, most recently used now. */
static struct file *use_slot(struct file_cache *cache, struct file_slot *slot)
{
    if (!slot->is_pinned) {
        list_remove(&slot->node);
        list_push_front(&cache->recent, &slot->node);
    }
    return file_ref(slot->file);
}

struct file *file_cache_find(struct file_cache *cache, struct file_slot *slot)
{
    pthread_mutex_lock(&cache->lock);
    struct file *file = slot->file != NULL ? use_slot(cache, slot) : NULL;
    pthread_mutex_unlock(&cache->lock);
    return file;
}

enum error file_cache_get(struct file_cache *cache, struct file_slot *slot, const char *path,
                          struct file **ret_file)
{
    struct file *file = file_cache_find(cache, slot);
    if (file != NULL) {
        *ret_file = file;
        return E_OK;
    }
    struct file *opened = NULL;
    const enum error error = cache->vfs->open(cache->vfs, path, FILE_WRITE, &opened);
    if (error != E_OK) {
        return error;
    }
    struct file *unneeded = NULL;
    pthread_mutex_lock(&cache->lock);
    if (slot->file == NULL) {
        slot->file = opened;
        cache->open_count++;
    } else {
        unneeded = opened; /* another thread was faster */
    }
    file = use_slot(cache, slot);
    struct file *victim = take_victim(cache);
    pthread_mutex_unlock(&cache->lock);
    file_unref(unneeded);
    file_unref(victim);
    *ret_file = file;
    return E_OK;
}

void file_cache_put(struct file_cache *cache, struct file_slot *slot, struct file *file)
{
    pthread_mutex_lock(&cache->lock);
    check(slot->file == NULL);
    slot->file = file;
    cache->open_count++;
    if (!slot->is_pinned) {
        list_push_front(&cache->recent, &slot->node);
    }
    struct file *victim = take_victim(cache);
    pthread_mutex_unlock(&cache->lock);
    file_unref(victim);
}

void file_cache_pin(struct file_cache *cache, struct file_slot *slot, bool is_pinned)
{
    pthread_mutex_lock(&cache->lock);
    slot->is_pinned = is_pinned;
    list_remove(&slot->node);
    if (!is_pinned && slot->file != NULL) {
        list_push_front(&cache->recent, &slot->node);
    }
    struct file *victim = take_victim(cache);
    pthread_mutex_unlock(&cache->lock);
    file_unref(victim);
}

void file_cache_close(struct file_cache *cache, struct file_slot *slot)
{
    pthread_mutex_lock(&cache->lock);
    struct file *file = slot->file;
    slot->file = NULL;
    slot->is_pinned = false;
    list_remove(&slot->node);
    cache->open_count -= file != NULL ? 1 : 0;
    pthread_mutex_unlock(&cache->lock);
    file_unref(file);
}

uint32_t file_cache_open_count(struct file_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    const uint32_t count = cache->open_count;
    pthread_mutex_unlock(&cache->lock);
    return count;
}
