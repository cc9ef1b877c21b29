/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into a broker by bench/run: counts its allocations in a file of 8 bytes that is mapped
 * by both sides, so that the driver can read it while the broker runs.
 * OTTLA_ALLOCATIONS names the file.
 */

#include "count_allocations.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t before_mapped;
static _Atomic uint64_t *count = &before_mapped;

__attribute__((constructor)) static void map_count(void)
{
    const char *path = getenv("OTTLA_ALLOCATIONS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *p = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED) {
        count = p;
    }
}

static void add_one(void)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    add_one();
    return __libc_malloc(size);
}

void *calloc(size_t members, size_t size)
{
    add_one();
    return __libc_calloc(members, size);
}

void *realloc(void *p, size_t size)
{
    add_one();
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    add_one();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_p, size_t alignment, size_t size)
{
    add_one();
    void *p = __libc_memalign(alignment, size);
    if (p == NULL) {
        return 12; /* ENOMEM */
    }
    *ret_p = p;
    return 0;
}
