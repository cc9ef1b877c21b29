/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/list.h"

enum {
    PAGE = 4096,
    /* From here on mmap: malloc raises its own mapping threshold with each free (up to 32 MiB)
     * and then keeps the memory; a mapping goes back to the system. */
    MAPPED_SIZE_MIN = 128 * 1024,
};

struct buf_pool {
    size_t buf_capacity; /* bytes; immutable */
    size_t idle_count_max;
    pthread_mutex_t lock;
    size_t taken_count; /* guarded by lock: buffers that are out */
    size_t idle_count;  /* guarded by lock */
    struct buf *idle[]; /* guarded by lock; the last one is taken first, it is warm */
};

static uint8_t *data_new(size_t capacity)
{
    if (capacity < MAPPED_SIZE_MIN) {
        return aligned_alloc(PAGE, (capacity + PAGE - 1) & ~(size_t)(PAGE - 1));
    }
    void *data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return data == MAP_FAILED ? NULL : data;
}

static void data_free(uint8_t *data, size_t capacity)
{
    if (capacity < MAPPED_SIZE_MIN) {
        free(data);
    } else {
        check(munmap(data, capacity) == 0);
    }
}

static void buf_free(struct buf *buf)
{
    if (buf->capacity >= PAGE) {
        data_free(buf->data, buf->capacity);
    }
    free(buf);
}

static void buf_destroy(struct shared *shared)
{
    buf_free(container_of(shared, struct buf, shared));
}

struct buf *buf_new(size_t capacity)
{
    const bool is_small = capacity < PAGE; /* then the bytes follow the struct */
    struct buf *buf = malloc(sizeof(*buf) + (is_small ? capacity : 0));
    if (buf == NULL) {
        return NULL;
    }
    uint8_t *data = is_small ? (uint8_t *)(buf + 1) : data_new(capacity);
    if (data == NULL) {
        free(buf);
        return NULL;
    }
    *buf = (struct buf){.data = data, .capacity = capacity};
    shared_init(&buf->shared, buf_destroy);
    return buf;
}

struct buf_pool *buf_pool_new(size_t buf_capacity, size_t idle_count_max)
{
    check(idle_count_max < SIZE_MAX / sizeof(struct buf *) / 2);
    struct buf_pool *pool = malloc(sizeof(*pool) + idle_count_max * sizeof(struct buf *));
    if (pool == NULL) {
        return NULL;
    }
    pool->buf_capacity = buf_capacity;
    pool->idle_count_max = idle_count_max;
    pool->taken_count = 0;
    pool->idle_count = 0;
    check(pthread_mutex_init(&pool->lock, NULL) == 0);
    return pool;
}

void buf_pool_free(struct buf_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    check(pthread_mutex_lock(&pool->lock) == 0);
    check(pool->taken_count == 0);
    check(pthread_mutex_unlock(&pool->lock) == 0);
    check(pthread_mutex_destroy(&pool->lock) == 0);
    for (size_t i = 0; i < pool->idle_count; i++) {
        buf_free(pool->idle[i]);
    }
    free(pool);
}

/* The last reference to a pooled buffer is gone: it goes home. */
static void buf_return(struct shared *shared)
{
    struct buf *buf = container_of(shared, struct buf, shared);
    struct buf_pool *pool = buf->pool;
    check(pthread_mutex_lock(&pool->lock) == 0);
    check(pool->taken_count > 0);
    pool->taken_count--;
    const bool keep = pool->idle_count < pool->idle_count_max;
    if (keep) {
        pool->idle[pool->idle_count++] = buf;
    }
    check(pthread_mutex_unlock(&pool->lock) == 0);
    if (!keep) {
        buf_free(buf);
    }
}

static void pool_forget(struct buf_pool *pool)
{
    check(pthread_mutex_lock(&pool->lock) == 0);
    pool->taken_count--;
    check(pthread_mutex_unlock(&pool->lock) == 0);
}

struct buf *buf_pool_take(struct buf_pool *pool)
{
    struct buf *buf = NULL;
    check(pthread_mutex_lock(&pool->lock) == 0);
    pool->taken_count++;
    if (pool->idle_count > 0) {
        buf = pool->idle[--pool->idle_count];
    }
    check(pthread_mutex_unlock(&pool->lock) == 0);
    if (buf == NULL) {
        buf = buf_new(pool->buf_capacity);
    }
    if (buf == NULL) {
        pool_forget(pool);
        return NULL;
    }
    buf->size = 0;
    buf->pool = pool;
    shared_init(&buf->shared, buf_return);
    return buf;
}
