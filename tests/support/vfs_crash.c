/* SPDX-License-Identifier: Apache-2.0 */
#include "support/vfs_crash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum { SECTOR_SIZE = 512, NAME_ROOM = 256, PATH_ROOM = 4096, FREE_BYTES = 1 << 30 };

static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";

struct bytes {
    uint8_t *data;
    size_t size;
};

/* A change of a file since its last sync: a write, or a truncation when bytes.data is NULL. */
struct file_change {
    size_t position;
    struct bytes bytes; /* truncation: size is the new size */
};

struct link {
    char name[NAME_ROOM];
    struct inode *inode;
};

struct links {
    struct link *items;
    size_t count;
};

/* A change of a directory since its last sync. from empty: creation; to empty: removal. */
struct link_change {
    char from[NAME_ROOM];
    char to[NAME_ROOM];
    struct inode *inode;
};

struct inode {
    struct inode *next; /* all of the file system: freed at its end only */
    bool is_directory;
    struct file *locker;
    int64_t modified_ms;
    struct bytes now; /* file */
    struct bytes synced;
    struct file_change *changes;
    size_t change_count;
    struct links links_now; /* directory */
    struct links links_synced;
    struct link_change *link_changes;
    size_t link_change_count;
};

struct crash_vfs {
    struct vfs vfs; /* first */
    struct inode *inodes;
    struct inode *root;
    uint64_t change_count;
    uint64_t stop_at;
    bool is_stopped;
    uint32_t open_count;
    uint32_t boot;
    int64_t now_ms;
};

struct crash_file {
    struct file file; /* first */
    struct inode *inode;
};

static struct crash_vfs *crash_of(struct vfs *vfs)
{
    return (struct crash_vfs *)(void *)vfs;
}

static struct inode *inode_of(struct file *file)
{
    return ((struct crash_file *)(void *)file)->inode;
}

static void *grow(void *items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) {
        return items; /* room up to the next power of two */
    }
    items = realloc(items, (count == 0 ? 1 : count * 2) * size);
    check(items != NULL);
    return items;
}

/* Counts a change. false: the machine is off. is_last: it may happen in part. */
static bool may_change(struct crash_vfs *crash, bool *ret_is_last)
{
    *ret_is_last = false;
    if (crash->is_stopped) {
        return false;
    }
    crash->change_count++;
    crash->now_ms++;
    if (crash->stop_at != 0 && --crash->stop_at == 0) {
        crash->is_stopped = true;
        *ret_is_last = true;
    }
    return true;
}

/* --- bytes --- */

static void bytes_resize(struct bytes *bytes, size_t size)
{
    uint8_t *data = realloc(bytes->data, size + 1);
    check(data != NULL);
    if (size > bytes->size) {
        memset(data + bytes->size, 0, size - bytes->size);
    }
    *bytes = (struct bytes){.data = data, .size = size};
}

static void bytes_put(struct bytes *bytes, size_t position, const uint8_t *data, size_t size)
{
    if (position + size > bytes->size) {
        bytes_resize(bytes, position + size);
    }
    memcpy(bytes->data + position, data, size);
}

static void bytes_set(struct bytes *bytes, const struct bytes *from)
{
    bytes_resize(bytes, from->size);
    if (from->size > 0) {
        memcpy(bytes->data, from->data, from->size);
    }
}

static void forget_changes(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        free(inode->changes[i].bytes.data);
    }
    free(inode->changes);
    free(inode->link_changes);
    inode->changes = NULL;
    inode->change_count = 0;
    inode->link_changes = NULL;
    inode->link_change_count = 0;
}

static void add_change(struct inode *inode, size_t position, const uint8_t *data, size_t size)
{
    struct file_change change = {.position = position, .bytes = {.size = size}};
    if (data != NULL) {
        change.bytes.data = malloc(size + 1);
        check(change.bytes.data != NULL);
        memcpy(change.bytes.data, data, size);
        bytes_put(&inode->now, position, data, size);
    } else {
        bytes_resize(&inode->now, size);
    }
    inode->changes = grow(inode->changes, inode->change_count, sizeof(change));
    inode->changes[inode->change_count++] = change;
}

/* --- names --- */

static struct inode *inode_new(struct crash_vfs *crash, bool is_directory)
{
    struct inode *inode = calloc(1, sizeof(*inode));
    check(inode != NULL);
    inode->is_directory = is_directory;
    inode->modified_ms = crash->now_ms;
    inode->next = crash->inodes;
    crash->inodes = inode;
    return inode;
}

static struct inode *links_find(const struct links *links, const char *name)
{
    for (size_t i = 0; i < links->count; i++) {
        if (strcmp(links->items[i].name, name) == 0) {
            return links->items[i].inode;
        }
    }
    return NULL;
}

static void links_remove(struct links *links, const char *name)
{
    for (size_t i = 0; i < links->count; i++) {
        if (strcmp(links->items[i].name, name) == 0) {
            memmove(&links->items[i], &links->items[i + 1],
                    (links->count - i - 1) * sizeof(links->items[0]));
            links->count--;
            return;
        }
    }
}

static void links_put(struct links *links, const char *name, struct inode *inode)
{
    links_remove(links, name);
    struct link *items = realloc(links->items, (links->count + 1) * sizeof(*items));
    check(items != NULL);
    links->items = items;
    struct link *link = &items[links->count++];
    (void)snprintf(link->name, sizeof(link->name), "%s", name);
    link->inode = inode;
}

static void links_copy(struct links *to, const struct links *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        links_put(to, from->items[i].name, from->items[i].inode);
    }
}

static void links_apply(struct links *links, const struct link_change *change)
{
    if (change->from[0] != '\0' && links_find(links, change->from) == change->inode) {
        links_remove(links, change->from);
    }
    if (change->to[0] != '\0') {
        links_put(links, change->to, change->inode);
    }
}

static void add_link_change(struct inode *directory, const char *from, const char *to,
                            struct inode *inode)
{
    struct link_change change = {.inode = inode};
    (void)snprintf(change.from, sizeof(change.from), "%s", from);
    (void)snprintf(change.to, sizeof(change.to), "%s", to);
    links_apply(&directory->links_now, &change);
    directory->link_changes =
        grow(directory->link_changes, directory->link_change_count, sizeof(change));
    directory->link_changes[directory->link_change_count++] = change;
}

/* The directory that holds path, and the last name of it. NULL: there is none. */
static struct inode *resolve_parent(const struct crash_vfs *crash, const char *path, char *ret_name)
{
    struct inode *at = crash->root;
    check(path[0] == '/');
    for (;;) {
        path += strspn(path, "/");
        const size_t size = strcspn(path, "/");
        check(size < NAME_ROOM);
        memcpy(ret_name, path, size);
        ret_name[size] = '\0';
        path += size;
        if (path[strspn(path, "/")] == '\0') {
            return at;
        }
        at = links_find(&at->links_now, ret_name);
        if (at == NULL || !at->is_directory) {
            return NULL;
        }
    }
}

static struct inode *resolve(const struct crash_vfs *crash, const char *path)
{
    char name[NAME_ROOM];
    struct inode *parent = resolve_parent(crash, path, name);
    return parent == NULL ? NULL : name[0] == '\0' ? parent : links_find(&parent->links_now, name);
}

/* --- the functions of a vfs --- */

static void crash_close(struct vfs *vfs, struct file *file)
{
    struct inode *inode = inode_of(file);
    crash_of(vfs)->open_count--;
    if (inode->locker == file) {
        inode->locker = NULL;
    }
    free(file);
}

static void on_destroy(struct shared *shared)
{
    struct file *file = container_of(shared, struct file, shared);
    file->vfs->close(file->vfs, file);
}

static enum error crash_open(struct vfs *vfs, const char *path, unsigned flags,
                             struct file **ret_file)
{
    struct crash_vfs *crash = crash_of(vfs);
    char name[NAME_ROOM];
    bool is_last;
    struct inode *parent = resolve_parent(crash, path, name);
    struct inode *inode = parent == NULL ? NULL : links_find(&parent->links_now, name);
    if (crash->is_stopped) {
        return E_LOCAL_IO;
    }
    if (parent == NULL || (inode == NULL && (flags & FILE_CREATE) == 0)) {
        return E_LOCAL_NOT_FOUND;
    }
    if (inode != NULL && (flags & FILE_EXCLUSIVE) != 0) {
        return E_LOCAL_EXISTS;
    }
    if (inode == NULL) {
        if (!may_change(crash, &is_last)) {
            return E_LOCAL_IO;
        }
        inode = inode_new(crash, false);
        add_link_change(parent, "", name, inode);
        if (is_last) {
            return E_LOCAL_IO;
        }
    } else if ((flags & FILE_TRUNCATE) != 0 && inode->now.size > 0) {
        if (!may_change(crash, &is_last)) {
            return E_LOCAL_IO;
        }
        add_change(inode, 0, NULL, 0);
        if (is_last) {
            return E_LOCAL_IO;
        }
    }
    struct crash_file *file = calloc(1, sizeof(*file));
    check(file != NULL);
    file->inode = inode;
    file->file.vfs = vfs;
    file->file.fd = -1;
    shared_init(&file->file.shared, on_destroy);
    crash->open_count++;
    *ret_file = &file->file;
    return E_OK;
}

static enum error crash_read(struct file *file, int64_t position, void *data, size_t size,
                             size_t *ret_size)
{
    const struct bytes *bytes = &inode_of(file)->now;
    if (crash_of(file->vfs)->is_stopped) {
        return E_LOCAL_IO;
    }
    const size_t at = (size_t)position;
    const size_t left = at < bytes->size ? bytes->size - at : 0;
    *ret_size = size < left ? size : left;
    if (*ret_size > 0) {
        memcpy(data, bytes->data + at, *ret_size);
    }
    return E_OK;
}

static enum error crash_write(struct file *file, int64_t position, const struct iovec *pieces,
                              int piece_count, size_t *ret_size)
{
    struct inode *inode = inode_of(file);
    bool is_last;
    *ret_size = 0;
    if (!may_change(crash_of(file->vfs), &is_last)) {
        return E_LOCAL_IO;
    }
    for (int i = 0; i < piece_count; i++) {
        if (pieces[i].iov_len > 0) {
            add_change(inode, (size_t)position + *ret_size, pieces[i].iov_base, pieces[i].iov_len);
        }
        *ret_size += pieces[i].iov_len;
    }
    inode->modified_ms = crash_of(file->vfs)->now_ms;
    return is_last ? E_LOCAL_IO : E_OK;
}

static void sync_inode(struct inode *inode)
{
    if (inode->is_directory) {
        links_copy(&inode->links_synced, &inode->links_now);
    } else {
        bytes_set(&inode->synced, &inode->now);
    }
    forget_changes(inode);
}

/* A sync that the power cut interrupts has done nothing. */
static enum error crash_sync(struct file *file)
{
    bool is_last;
    if (!may_change(crash_of(file->vfs), &is_last) || is_last) {
        return E_LOCAL_IO;
    }
    sync_inode(inode_of(file));
    return E_OK;
}

static enum error crash_truncate(struct file *file, int64_t size)
{
    bool is_last;
    if (!may_change(crash_of(file->vfs), &is_last)) {
        return E_LOCAL_IO;
    }
    add_change(inode_of(file), 0, NULL, (size_t)size);
    return is_last ? E_LOCAL_IO : E_OK;
}

static enum error crash_hint(struct file *file, int64_t position, int64_t size)
{
    (void)position;
    (void)size;
    return crash_of(file->vfs)->is_stopped ? E_LOCAL_IO : E_OK;
}

static void status_of(const struct inode *inode, struct file_status *ret_status)
{
    *ret_status = (struct file_status){
        .size = (int64_t)inode->now.size,
        .modified_ms = inode->modified_ms,
        .is_directory = inode->is_directory,
    };
}

static enum error crash_status(struct file *file, struct file_status *ret_status)
{
    status_of(inode_of(file), ret_status);
    return crash_of(file->vfs)->is_stopped ? E_LOCAL_IO : E_OK;
}

static enum error crash_path_status(struct vfs *vfs, const char *path,
                                    struct file_status *ret_status)
{
    const struct inode *inode = resolve(crash_of(vfs), path);
    if (crash_of(vfs)->is_stopped) {
        return E_LOCAL_IO;
    }
    if (inode == NULL) {
        return E_LOCAL_NOT_FOUND;
    }
    status_of(inode, ret_status);
    return E_OK;
}

static enum error crash_rename(struct vfs *vfs, const char *from, const char *to)
{
    struct crash_vfs *crash = crash_of(vfs);
    char from_name[NAME_ROOM];
    char to_name[NAME_ROOM];
    bool is_last;
    struct inode *parent = resolve_parent(crash, from, from_name);
    struct inode *inode = parent == NULL ? NULL : links_find(&parent->links_now, from_name);
    if (!may_change(crash, &is_last)) {
        return E_LOCAL_IO;
    }
    if (inode == NULL) {
        return E_LOCAL_NOT_FOUND;
    }
    check(resolve_parent(crash, to, to_name) == parent); /* nobody moves between directories */
    add_link_change(parent, from_name, to_name, inode);
    return is_last ? E_LOCAL_IO : E_OK;
}

static enum error remove_name(struct vfs *vfs, const char *path, bool is_directory)
{
    struct crash_vfs *crash = crash_of(vfs);
    char name[NAME_ROOM];
    bool is_last;
    struct inode *parent = resolve_parent(crash, path, name);
    struct inode *inode = parent == NULL ? NULL : links_find(&parent->links_now, name);
    if (crash->is_stopped) {
        return E_LOCAL_IO;
    }
    if (inode == NULL) {
        return E_LOCAL_NOT_FOUND;
    }
    if (inode->is_directory != is_directory) {
        return E_LOCAL_IO;
    }
    if (is_directory && inode->links_now.count > 0) {
        return E_LOCAL_NOT_EMPTY;
    }
    if (!may_change(crash, &is_last)) {
        return E_LOCAL_IO;
    }
    add_link_change(parent, name, "", inode);
    return is_last ? E_LOCAL_IO : E_OK;
}

static enum error crash_unlink(struct vfs *vfs, const char *path)
{
    return remove_name(vfs, path, false);
}

static enum error crash_remove_directory(struct vfs *vfs, const char *path)
{
    return remove_name(vfs, path, true);
}

static enum error crash_make_directory(struct vfs *vfs, const char *path)
{
    struct crash_vfs *crash = crash_of(vfs);
    char name[NAME_ROOM];
    bool is_last;
    struct inode *parent = resolve_parent(crash, path, name);
    if (crash->is_stopped) {
        return E_LOCAL_IO;
    }
    if (parent == NULL) {
        return E_LOCAL_NOT_FOUND;
    }
    if (links_find(&parent->links_now, name) != NULL) {
        return E_LOCAL_EXISTS;
    }
    if (!may_change(crash, &is_last)) {
        return E_LOCAL_IO;
    }
    add_link_change(parent, "", name, inode_new(crash, true));
    return is_last ? E_LOCAL_IO : E_OK;
}

static enum error crash_list(struct vfs *vfs, const char *path, struct arena *arena,
                             struct directory_entry **ret_entries, size_t *ret_count)
{
    const struct inode *inode = resolve(crash_of(vfs), path);
    if (crash_of(vfs)->is_stopped) {
        return E_LOCAL_IO;
    }
    if (inode == NULL || !inode->is_directory) {
        return E_LOCAL_NOT_FOUND;
    }
    const struct links *links = &inode->links_now;
    struct directory_entry *entries = ARENA_NEW_ARRAY(arena, struct directory_entry, links->count);
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < links->count; i++) {
        const struct slice name = arena_copy(arena, slice_from_string(links->items[i].name));
        if (slice_is_null(name)) {
            return E_LOCAL_NO_MEMORY;
        }
        entries[i] = (struct directory_entry){.name = (const char *)name.data,
                                              .is_directory = links->items[i].inode->is_directory};
    }
    *ret_entries = entries;
    *ret_count = links->count;
    return E_OK;
}

static enum error crash_sync_directory(struct vfs *vfs, const char *path)
{
    bool is_last;
    struct inode *inode = resolve(crash_of(vfs), path);
    if (!may_change(crash_of(vfs), &is_last) || is_last) {
        return E_LOCAL_IO;
    }
    if (inode == NULL) {
        return E_LOCAL_NOT_FOUND;
    }
    sync_inode(inode);
    return E_OK;
}

static enum error crash_sync_all(struct vfs *vfs, const char *path)
{
    struct crash_vfs *crash = crash_of(vfs);
    bool is_last;
    (void)path;
    if (!may_change(crash, &is_last) || is_last) {
        return E_LOCAL_IO;
    }
    for (struct inode *inode = crash->inodes; inode != NULL; inode = inode->next) {
        sync_inode(inode);
    }
    return E_OK;
}

static enum error crash_lock(struct file *file)
{
    struct inode *inode = inode_of(file);
    if (inode->locker != NULL && inode->locker != file) {
        return E_LOCAL_BUSY;
    }
    inode->locker = file;
    return crash_of(file->vfs)->is_stopped ? E_LOCAL_IO : E_OK;
}

static enum error crash_space(struct vfs *vfs, const char *path, int64_t *ret_free,
                              int64_t *ret_total)
{
    (void)path;
    *ret_free = FREE_BYTES;
    *ret_total = FREE_BYTES;
    return crash_of(vfs)->is_stopped ? E_LOCAL_IO : E_OK;
}

/* --- life --- */

static const struct vfs functions = {
    .open = crash_open,
    .close = crash_close,
    .read = crash_read,
    .write = crash_write,
    .sync = crash_sync,
    .truncate = crash_truncate,
    .allocate = crash_hint,
    .write_back = crash_hint,
    .will_need = crash_hint,
    .status = crash_status,
    .path_status = crash_path_status,
    .rename = crash_rename,
    .unlink = crash_unlink,
    .make_directory = crash_make_directory,
    .remove_directory = crash_remove_directory,
    .list = crash_list,
    .sync_directory = crash_sync_directory,
    .sync_all = crash_sync_all,
    .lock = crash_lock,
    .space = crash_space,
};

/* The machine's boot id, where the kernel shows it. */
static void put_boot_id(struct crash_vfs *crash)
{
    char id[NAME_ROOM];
    char part[PATH_ROOM];
    for (const char *slash = strchr(boot_id_path + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(slash - boot_id_path), boot_id_path);
        (void)crash_make_directory(&crash->vfs, part); /* it may be there */
    }
    const int size = snprintf(id, sizeof(id), "%08x-0000-4000-8000-000000000000\n", ++crash->boot);
    struct file *file;
    check(crash_open(&crash->vfs, boot_id_path, FILE_CREATE | FILE_WRITE, &file) == E_OK);
    const struct iovec piece = {.iov_base = id, .iov_len = (size_t)size};
    size_t written;
    check(crash_write(file, 0, &piece, 1, &written) == E_OK);
    file_unref(file);
    check(crash_sync_all(&crash->vfs, "/") == E_OK);
}

struct crash_vfs *crash_vfs_new(void)
{
    struct crash_vfs *crash = calloc(1, sizeof(*crash));
    check(crash != NULL);
    crash->vfs = functions;
    crash->now_ms = 1;
    crash->root = inode_new(crash, true);
    put_boot_id(crash);
    return crash;
}

void crash_vfs_free(struct crash_vfs *crash)
{
    struct inode *next;
    if (crash == NULL) {
        return;
    }
    for (struct inode *inode = crash->inodes; inode != NULL; inode = next) {
        next = inode->next;
        forget_changes(inode);
        free(inode->now.data);
        free(inode->synced.data);
        free(inode->links_now.items);
        free(inode->links_synced.items);
        free(inode);
    }
    free(crash);
}

struct vfs *crash_vfs_vfs(struct crash_vfs *crash)
{
    return &crash->vfs;
}

void crash_vfs_stop_at(struct crash_vfs *crash, uint64_t n)
{
    crash->stop_at = n;
}

bool crash_vfs_is_stopped(const struct crash_vfs *crash)
{
    return crash->is_stopped;
}

uint64_t crash_vfs_change_count(const struct crash_vfs *crash)
{
    return crash->change_count;
}

uint32_t crash_vfs_open_count(const struct crash_vfs *crash)
{
    return crash->open_count;
}

/* --- after the crash --- */

static void restart(struct crash_vfs *crash)
{
    check_cmp(crash->open_count, ==, 0);
    crash->is_stopped = false;
    crash->stop_at = 0;
}

void crash_vfs_restart_process(struct crash_vfs *crash)
{
    restart(crash);
}

/* How much of what was not synced survives: nothing, everything, or each piece by its own luck. */
enum luck { LUCK_NONE, LUCK_ALL, LUCK_MIXED, LUCK_COUNT };

static bool survives(enum luck luck, struct rng *rng)
{
    return luck == LUCK_ALL || (luck == LUCK_MIXED && rng_below(rng, 2) == 0);
}

static void survive_write(struct bytes *bytes, const struct file_change *change, enum luck luck,
                          struct rng *rng)
{
    size_t at = change->position;
    const size_t end = change->position + change->bytes.size;
    while (at < end) {
        size_t next = (at / SECTOR_SIZE + 1) * SECTOR_SIZE;
        next = next < end ? next : end;
        if (survives(luck, rng)) {
            bytes_put(bytes, at, change->bytes.data + (at - change->position), next - at);
        }
        at = next;
    }
}

static void cut_power_of_file(struct inode *inode, struct rng *rng)
{
    const enum luck luck = (enum luck)rng_below(rng, LUCK_COUNT);
    for (size_t i = 0; i < inode->change_count; i++) {
        const struct file_change *change = &inode->changes[i];
        if (change->bytes.data != NULL) {
            survive_write(&inode->synced, change, luck, rng);
        } else if (survives(luck, rng)) {
            bytes_resize(&inode->synced, change->bytes.size);
        }
    }
    bytes_set(&inode->now, &inode->synced);
    forget_changes(inode);
}

static void cut_power_of_directory(struct inode *inode, struct rng *rng)
{
    const size_t kept = (size_t)rng_below(rng, inode->link_change_count + 1);
    for (size_t i = 0; i < kept; i++) {
        links_apply(&inode->links_synced, &inode->link_changes[i]);
    }
    links_copy(&inode->links_now, &inode->links_synced);
    forget_changes(inode);
}

void crash_vfs_restart_machine(struct crash_vfs *crash, struct rng *rng)
{
    restart(crash);
    for (struct inode *inode = crash->inodes; inode != NULL; inode = inode->next) {
        if (inode->is_directory) {
            cut_power_of_directory(inode, rng);
        } else {
            cut_power_of_file(inode, rng);
        }
    }
    put_boot_id(crash);
}
