/* SPDX-License-Identifier: Apache-2.0 */
/* The cache keeps to its cap, throws out what was used longest ago, and never a pinned file. */
#include "storage/file_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 6, CAP = 3 };

static void test_least_recently_used_goes(void **state)
{
    char directory[] = "/tmp/file_cache.XXXXXX";
    char paths[COUNT][64];
    struct file_slot slots[COUNT];
    struct file_cache *cache;
    struct vfs *vfs = vfs_system();
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(file_cache_new(vfs, CAP, &cache), E_OK);
    for (int i = 0; i < COUNT; i++) {
        struct file *file;
        (void)snprintf(paths[i], sizeof(paths[i]), "%s/%d", directory, i);
        file_slot_init(&slots[i]);
        assert_int_equal(file_cache_get(cache, &slots[i], paths[i], &file), E_LOCAL_NOT_FOUND);
        assert_int_equal(vfs->open(vfs, paths[i], FILE_WRITE | FILE_CREATE, &file), E_OK);
        file_cache_put(cache, &slots[i], file);
        if (i == 0) {
            file_cache_pin(cache, &slots[0], true);
        }
        assert_true(file_cache_open_count(cache) <= CAP);
    }
    assert_non_null(slots[0].file); /* pinned */
    assert_null(slots[3].file);
    assert_non_null(slots[4].file);
    struct file *four;
    struct file *one;
    assert_int_equal(file_cache_get(cache, &slots[4], paths[4], &four), E_OK); /* used just now */
    assert_int_equal(file_cache_get(cache, &slots[1], paths[1], &one), E_OK);  /* opened again */
    assert_null(slots[5].file);
    assert_ptr_equal(slots[4].file, four);
    file_cache_pin(cache, &slots[4], true);
    file_cache_pin(cache, &slots[1], true);
    struct file *five;
    assert_int_equal(file_cache_get(cache, &slots[5], paths[5], &five), E_OK);
    assert_int_equal(file_cache_open_count(cache), CAP); /* it is the caller's only */
    assert_null(slots[5].file);
    struct file_status status;
    assert_int_equal(vfs->status(five, &status), E_OK); /* and open as long as it is held */
    file_unref(five);
    file_unref(four);
    file_unref(one);
    for (int i = 0; i < COUNT; i++) {
        file_cache_close(cache, &slots[i]);
        (void)unlink(paths[i]);
    }
    assert_int_equal(file_cache_open_count(cache), 0);
    file_cache_free(cache);
    (void)rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_recently_used_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
