/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of KIP-101 and KIP-279, truncation at both ends, and which checkpoints are refused.
 */
#include "storage/leader_epochs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void assign(struct leader_epochs *epochs, int32_t epoch, int64_t start)
{
    assert_int_equal(leader_epochs_reserve(epochs, 1), E_OK);
    leader_epochs_assign(epochs, epoch, start);
}

static void check_end(const struct leader_epochs *epochs, int32_t asked, int32_t epoch, int64_t end)
{
    const struct epoch_end found = leader_epochs_end(epochs, asked, 100);
    assert_int_equal(found.epoch, epoch);
    assert_int_equal(found.end_offset, end);
}

static void test_end_of_epoch(void **state)
{
    struct leader_epochs epochs = {0};
    (void)state;
    check_end(&epochs, 0, -1, -1); /* nothing is known */
    assign(&epochs, 2, 10);
    assign(&epochs, 4, 20);
    assign(&epochs, 7, 50);
    check_end(&epochs, -1, -1, -1);
    check_end(&epochs, 0, 0, 10); /* rule 7: older than all known: where the first one begins */
    check_end(&epochs, 2, 2, 20);
    check_end(&epochs, 3, 2, 20); /* the largest at or below */
    check_end(&epochs, 6, 4, 50);
    check_end(&epochs, 7, 7, 100); /* the latest: the end of the log */
    check_end(&epochs, 8, -1, -1);
    assert_int_equal(leader_epochs_at(&epochs, 9), -1);
    assert_int_equal(leader_epochs_at(&epochs, 49), 4);
    assert_int_equal(leader_epochs_at(&epochs, 50), 7);
    leader_epochs_done(&epochs);
}

static void test_assign_and_cut(void **state)
{
    struct leader_epochs epochs = {0};
    (void)state;
    assign(&epochs, 1, 0);
    assign(&epochs, 1, 5); /* known to begin earlier */
    assert_int_equal(epochs.count, 1);
    assign(&epochs, 3, 10);
    assign(&epochs, 4, 10); /* 3 had no records */
    assert_int_equal(epochs.count, 2);
    assert_int_equal(leader_epochs_latest(&epochs), 4);
    assign(&epochs, 6, 30);
    leader_epochs_truncate(&epochs, 31);
    assert_int_equal(leader_epochs_latest(&epochs), 6);
    leader_epochs_truncate(&epochs, 30);
    assert_int_equal(leader_epochs_latest(&epochs), 4);
    leader_epochs_raise_start(&epochs, 5);
    assert_int_equal(epochs.entries[0].epoch, 1);
    assert_int_equal(epochs.entries[0].start_offset, 5);
    leader_epochs_raise_start(&epochs, 10); /* exactly where the next one begins */
    assert_int_equal(epochs.count, 1);
    assert_int_equal(epochs.entries[0].epoch, 4);
    leader_epochs_raise_start(&epochs, 99);
    assert_int_equal(epochs.entries[0].start_offset, 99);
    leader_epochs_done(&epochs);
}

static void test_checkpoint(void **state)
{
    static const char *const damaged[] = {
        "",
        "0",
        "0\n",
        "0\n1\n",
        "0\n1\n1 0",
        "1\n0\n",
        "0\n2\n1 0\n",
        "0\n1\n1 -5\n",
        "0\n2\n1 0\n1 5\n",
        "0\n2\n1 5\n2 5\n",
        "0\n1\na b\n",
        "0\n1\n99999999999 0\n",
        "0\n1\n1 0\nmore\n",
    };
    char path[] = "/tmp/leader_epochs.XXXXXX";
    struct vfs *vfs = vfs_system();
    struct leader_epochs epochs = {0};
    (void)state;
    assert_int_equal(leader_epochs_read(&epochs, vfs, "/tmp/there-is-no-such-file"),
                     E_LOCAL_NOT_FOUND);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assign(&epochs, 0, 0);
    assign(&epochs, INT32_MAX, INT64_MAX);
    assert_int_equal(leader_epochs_write(&epochs, vfs, path), E_OK);
    assert_false(epochs.is_changed);
    leader_epochs_clear(&epochs);
    assert_int_equal(leader_epochs_read(&epochs, vfs, path), E_OK);
    assert_int_equal(epochs.count, 2);
    assert_int_equal(epochs.entries[1].start_offset, INT64_MAX);
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        (void)fputs(damaged[i], file);
        (void)fclose(file);
        assert_int_equal(leader_epochs_read(&epochs, vfs, path), E_LOCAL_CORRUPT);
        assert_int_equal(epochs.count, 0);
    }
    leader_epochs_done(&epochs);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_of_epoch),
        cmocka_unit_test(test_assign_and_cut),
        cmocka_unit_test(test_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
