/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's vfs keeps the contract of vfs.h, errors included, in a directory of its own. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/vfs.h"

#include <cmocka.h>

static char directory[] = "/tmp/vfs_system_test.XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return path;
}

static struct file *open_file(const char *name, unsigned flags)
{
    struct vfs *vfs = vfs_system();
    struct file *file = NULL;
    assert_int_equal(vfs->open(vfs, path_of(name), flags, &file), E_OK);
    return file;
}

static void test_write_and_read(void **state)
{
    struct vfs *vfs = vfs_system();
    static uint8_t bytes[3 * IOV_MAX + 5];
    static uint8_t back[sizeof(bytes) + 10];
    static struct iovec pieces[IOV_MAX + 7]; /* more than one system call takes */
    struct file *file = open_file("data", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);
    struct file_status status;
    size_t at = 0;
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (int i = 0; i < IOV_MAX + 7; i++) {
        const size_t piece = i % 5 == 0 ? 0 : 3; /* empty pieces too */
        pieces[i] = (struct iovec){.iov_base = bytes + at, .iov_len = piece};
        at += piece;
    }
    assert_int_equal(vfs->allocate(file, 0, 1 << 20), E_OK);
    assert_int_equal(vfs->write(file, 100, pieces, IOV_MAX + 7, &size), E_OK);
    assert_int_equal(size, at);
    assert_int_equal(vfs->write_back(file, 0, 4096), E_OK);
    assert_int_equal(vfs->sync(file), E_OK);
    assert_int_equal(vfs->status(file, &status), E_OK);
    assert_int_equal(status.size, 100 + (int64_t)at); /* KEEP_SIZE */
    assert_false(status.is_directory);
    assert_true(status.modified_ms > 1600000000000);
    assert_int_equal(vfs->will_need(file, 0, 4096), E_OK);
    assert_int_equal(vfs->read(file, 100, back, sizeof(back), &size), E_OK);
    assert_int_equal(size, at); /* short at the end only */
    assert_memory_equal(back, bytes, at);
    assert_int_equal(vfs->truncate(file, 110), E_OK);
    assert_int_equal(vfs->read(file, 105, back, sizeof(back), &size), E_OK);
    assert_int_equal(size, 5);
    assert_int_equal(vfs->read(file, 500, back, sizeof(back), &size), E_OK);
    assert_int_equal(size, 0);
    file_unref(file);

    file = open_file("data", FILE_READ);
    assert_int_equal(vfs->write(file, 0, pieces + 1, 1, &size), E_LOCAL_IO); /* EBADF */
    assert_int_equal(size, 0);
    file_unref(file);
}

static void test_names(void **state)
{
    struct vfs *vfs = vfs_system();
    struct file *file = NULL;
    struct file_status status;
    struct directory_entry *entries;
    struct arena arena;
    size_t count = 0;
    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(vfs->open(vfs, path_of("absent"), FILE_READ, &file), E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs->make_directory(vfs, path_of("sub")), E_OK);
    assert_int_equal(vfs->make_directory(vfs, path_of("sub")), E_LOCAL_EXISTS);
    file_unref(open_file("sub/a", FILE_WRITE | FILE_CREATE | FILE_PRIVATE));
    assert_int_equal(
        vfs->open(vfs, path_of("sub/a"), FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file),
        E_LOCAL_EXISTS);
    assert_int_equal(vfs->make_directory(vfs, path_of("sub/d")), E_OK);
    assert_int_equal(vfs->list(vfs, path_of("sub"), &arena, &entries, &count), E_OK);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].name[1], '\0');
        assert_int_equal(entries[i].is_directory, entries[i].name[0] == 'd');
    }
    assert_int_equal(vfs->list(vfs, path_of("absent"), &arena, &entries, &count),
                     E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs->remove_directory(vfs, path_of("sub")), E_LOCAL_NOT_EMPTY);
    assert_int_equal(vfs->path_status(vfs, path_of("sub"), &status), E_OK);
    assert_true(status.is_directory);
    assert_int_equal(vfs->path_status(vfs, path_of("absent"), &status), E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs->rename(vfs, path_of("sub/a"), path_of("sub/b")), E_OK);
    assert_int_equal(vfs->rename(vfs, path_of("sub/a"), path_of("sub/b")), E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs->sync_directory(vfs, path_of("sub")), E_OK);
    assert_int_equal(vfs->unlink(vfs, path_of("sub/b")), E_OK);
    assert_int_equal(vfs->unlink(vfs, path_of("sub/b")), E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs->remove_directory(vfs, path_of("sub/d")), E_OK);
    assert_int_equal(vfs->remove_directory(vfs, path_of("sub")), E_OK);
    arena_done(&arena);
}

static void test_lock_and_space(void **state)
{
    struct vfs *vfs = vfs_system();
    struct file *first = open_file(".lock", FILE_WRITE | FILE_CREATE);
    struct file *second = open_file(".lock", FILE_WRITE);
    int64_t free_bytes = -1;
    int64_t total_bytes = -1;
    (void)state;
    assert_int_equal(vfs->lock(first), E_OK);
    assert_int_equal(vfs->lock(second), E_LOCAL_BUSY);
    assert_ptr_equal(file_ref(first), first);
    file_unref(first);
    assert_int_equal(vfs->lock(second), E_LOCAL_BUSY); /* one reference is left */
    file_unref(first);
    assert_int_equal(vfs->lock(second), E_OK);
    file_unref(second);
    assert_int_equal(vfs->space(vfs, directory, &free_bytes, &total_bytes), E_OK);
    assert_true(free_bytes > 0 && total_bytes >= free_bytes);
    assert_int_equal(vfs->space(vfs, path_of("absent"), &free_bytes, &total_bytes),
                     E_LOCAL_NOT_FOUND);
}

static void test_whole_files(void **state)
{
    struct vfs *vfs = vfs_system();
    struct file_status status;
    struct slice bytes;
    struct arena arena;
    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(vfs_read_file(vfs, path_of("meta"), 100, &arena, &bytes), E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs_replace_file(vfs, path_of("meta"), SLICE("one")), E_OK);
    assert_int_equal(vfs_replace_file(vfs, path_of("meta"), SLICE("second")), E_OK);
    assert_int_equal(vfs_read_file(vfs, path_of("meta"), 6, &arena, &bytes), E_OK);
    assert_true(slice_equal(bytes, SLICE("second")));
    assert_int_equal(bytes.data[6], '\0');
    assert_int_equal(vfs_read_file(vfs, path_of("meta"), 5, &arena, &bytes), E_LOCAL_LIMIT);
    assert_int_equal(vfs_replace_file(vfs, path_of("meta"), SLICE_NULL), E_OK);
    assert_int_equal(vfs_read_file(vfs, path_of("meta"), 5, &arena, &bytes), E_OK);
    assert_int_equal(bytes.size, 0);
    /* A directory in the way: the error is reported and nothing is left behind. */
    assert_int_equal(vfs->make_directory(vfs, path_of("taken")), E_OK);
    assert_int_not_equal(vfs_replace_file(vfs, path_of("taken"), SLICE("x")), E_OK);
    assert_int_equal(vfs->path_status(vfs, path_of("taken.tmp"), &status), E_LOCAL_NOT_FOUND);
    assert_int_equal(vfs_replace_file(vfs, path_of("absent/x"), SLICE("x")), E_LOCAL_NOT_FOUND);
    arena_done(&arena);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    struct vfs *vfs = vfs_system();
    (void)state;
    (void)vfs->unlink(vfs, path_of("data"));
    (void)vfs->unlink(vfs, path_of(".lock"));
    (void)vfs->unlink(vfs, path_of("meta"));
    (void)vfs->remove_directory(vfs, path_of("taken"));
    return vfs->remove_directory(vfs, directory) != E_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_lock_and_space),
        cmocka_unit_test(test_whole_files),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
