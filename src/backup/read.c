/* Reading a backup: nothing of a file is used before its checksum has been seen to be right. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "backup-int.h"

/* ---- opening ---- */

void backup_close(struct backup *b)
{
    if (b == NULL)
        return;
    close_fd(&b->dir);
    manifest_done(&b->m);
    free(b);
}

static void auto_backup(struct backup **b)
{
    backup_close(*b);
}

/* Exactly len bytes, NUL added. */
static int read_bytes(int fd, const char *name, size_t len, char **ret, struct err *e)
{
    AUTO_FREE char *text = mem_new(len + 1);

    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, text + at, len - at, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not read \"%s\"", name);
        if (n == 0)
            return err_set(e, ERR_INPUT, "\"%s\" became shorter while it was read", name);
        at += (size_t)n;
    }
    *ret = take_ptr(text);
    return 0;
}

static int open_regular(int dir, const char *name, uint64_t *ret_size, struct err *e)
{
    /* O_NONBLOCK: whoever can write there could have left a FIFO. */
    AUTO_CLOSE int fd = fd_open_beneath(dir, name, O_RDONLY | O_NONBLOCK, e);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", name);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "\"%s\" is not a regular file", name);
    *ret_size = (uint64_t)st.st_size;
    return take_fd(&fd);
}

static int open_manifest(struct backup *b, struct err *e)
{
    AUTO_FREE char *text = NULL;
    uint64_t size;
    AUTO_CLOSE int fd = open_regular(b->dir, MANIFEST_NAME, &size, e);

    if (fd < 0)
        return -1;
    if (size > MANIFEST_MAX)
        return err_set(e, ERR_INPUT, "the manifest is damaged: it is too long");
    if (read_bytes(fd, MANIFEST_NAME, (size_t)size, &text, e) < 0)
        return -1;
    return manifest_parse(text, (size_t)size, &b->m, e);
}

int backup_open_at(int target_fd, const char *name, struct backup **ret_backup, struct err *e)
{
    AUTO(auto_backup) struct backup *b = mem_new(sizeof(*b));

    b->dir = -1;
    if (!backup_name_ok(name) || !str_copy(b->name, sizeof(b->name), name))
        return err_set(e, ERR_INPUT, "this cannot be the name of a backup");
    b->dir = openat(target_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (b->dir < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "there is no backup \"%s\"", name);
    if (b->dir < 0)
        return err_set_os(e, errno, "could not open backup \"%s\"", name);
    if (open_manifest(b, e) < 0)
        return err_prefix(e, "backup \"%s\"", name);
    *ret_backup = take_ptr(b);
    return 0;
}

int backup_open(const char *target, const char *name, struct backup **ret_backup, struct err *e)
{
    AUTO_CLOSE int fd = target_open(target, e);

    if (fd < 0)
        return -1;
    if (backup_open_at(fd, name, ret_backup, e) < 0)
        return err_prefix(e, "\"%s\"", target);
    return 0;
}

const char *backup_hub(const struct backup *b)
{
    return b->m.hub;
}

int64_t backup_created(const struct backup *b)
{
    return b->m.created;
}

const struct backup_file *backup_files(const struct backup *b, size_t *ret_n)
{
    *ret_n = b->m.n;
    return b->m.files;
}

const struct backup_file *backup_find(const struct backup *b, const char *name)
{
    for (size_t i = 0; i < b->m.n; i++)
        if (str_is(b->m.files[i].name, name))
            return &b->m.files[i];
    return NULL;
}

/* ---- files ---- */

static int open_stored(const struct backup *b, const struct backup_file *f, struct err *e)
{
    uint64_t size;
    AUTO_CLOSE int fd = open_regular(b->dir, f->name, &size, e);

    if (fd < 0)
        return -1;
    if (size != f->stored)
        return err_set(e, ERR_INPUT, "\"%s\" is damaged: it has %" PRIu64 " bytes, not %" PRIu64,
                       f->name, size, f->stored);
    return take_fd(&fd);
}

int backup_whole(const struct backup *b, struct err *e)
{
    for (size_t i = 0; i < b->m.n; i++) {
        AUTO_CLOSE int fd = open_stored(b, &b->m.files[i], e);

        if (fd < 0)
            return -1;
    }
    return 0;
}

struct meter {
    backup_progress_fn fn;
    void *owner;
    uint64_t done, total;
};

/* Every byte of a stored file, compared with its checksum at the end; u may be NULL. */
static int read_through(int fd, const struct backup_file *f, struct unpack *u, struct meter *m,
                        struct err *e)
{
    AUTO(sum_done) struct sum sum = {NULL};
    AUTO_FREE uint8_t *piece = mem_new(STREAM_PIECE);
    uint8_t is[BACKUP_SHA256];

    if (sum_init(&sum, e) < 0)
        return -1;
    for (uint64_t at = 0; at < f->stored;) {
        uint64_t left = f->stored - at;
        ssize_t n = pread(fd, piece, left < STREAM_PIECE ? (size_t)left : STREAM_PIECE, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not read \"%s\"", f->name);
        if (n == 0)
            return err_set(e, ERR_INPUT, "\"%s\" became shorter while it was read", f->name);
        at += (uint64_t)n;
        m->done += (uint64_t)n;
        if (sum_add(&sum, piece, (size_t)n, e) < 0 ||
            (u != NULL && unpack_feed(u, piece, (size_t)n, e) < 0) ||
            (m->fn != NULL && m->fn(m->owner, m->done, m->total, e) < 0))
            return -1;
    }
    if (sum_end(&sum, is, e) < 0)
        return -1;
    if (memcmp(is, f->sha256, sizeof(is)) != 0)
        return err_set(e, ERR_INPUT, "\"%s\" is damaged: its checksum is another", f->name);
    return 0;
}

int backup_verify(const struct backup *b, backup_progress_fn fn, void *owner, struct err *e)
{
    struct meter m = {fn, owner, 0, b->m.bytes};

    for (size_t i = 0; i < b->m.n; i++) {
        AUTO_CLOSE int fd = open_stored(b, &b->m.files[i], e);

        if (fd < 0 || read_through(fd, &b->m.files[i], NULL, &m, e) < 0)
            return err_prefix(e, "backup \"%s\"", b->name);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    return 0;
}

static const struct backup_file *find(const struct backup *b, const char *name,
                                      enum backup_kind kind, struct err *e)
{
    const struct backup_file *f = backup_find(b, name);
    char shown[120];

    if (f != NULL && f->kind == kind)
        return f;
    (void)err_set(e, ERR_NOT_FOUND, "there is no %s \"%s\" in it",
                  kind == BACKUP_IMAGE ? "image" : "file",
                  str_show(shown, sizeof(shown), name, strlen(name)));
    return NULL;
}

static int read_file(const struct backup *b, const char *name, size_t max, char **ret_data,
                     size_t *ret_len, struct err *e)
{
    AUTO_FREE char *data = NULL;
    const struct backup_file *f = find(b, name, BACKUP_FILE, e);
    AUTO_CLOSE int fd = -1;
    AUTO(sum_done) struct sum sum = {NULL};
    uint8_t is[BACKUP_SHA256];

    if (f == NULL)
        return -1;
    if (f->stored > max)
        return err_set(e, ERR_LIMIT, "\"%s\" is larger than %zu bytes", name, max);
    fd = open_stored(b, f, e);
    if (fd < 0 || read_bytes(fd, name, (size_t)f->stored, &data, e) < 0 || sum_init(&sum, e) < 0 ||
        sum_add(&sum, data, (size_t)f->stored, e) < 0 || sum_end(&sum, is, e) < 0)
        return -1;
    if (memcmp(is, f->sha256, sizeof(is)) != 0)
        return err_set(e, ERR_INPUT, "\"%s\" is damaged: its checksum is another", name);
    *ret_data = take_ptr(data);
    *ret_len = (size_t)f->stored;
    return 0;
}

int backup_read_file(const struct backup *b, const char *name, size_t max, char **ret_data,
                     size_t *ret_len, struct err *e)
{
    if (read_file(b, name, max, ret_data, ret_len, e) < 0)
        return err_prefix(e, "backup \"%s\"", b->name);
    return 0;
}

/* ---- images ---- */

static int put_at(void *owner, uint64_t offset, const void *data, size_t len, struct err *e)
{
    int fd = *(const int *)owner;
    const char *p = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not write the image");
        p += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int unpack_to(int stored, const struct backup_file *f, int fd, struct meter *m,
                     struct err *e)
{
    AUTO(unpack_done) struct unpack u = {.size = 0};

    /* To nothing first: what is a hole in the image must read as zero. */
    if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)f->size) < 0)
        return err_set_os(e, errno, "could not make a file of the image's size");
    /* The checksum again: somebody could have exchanged the file after the first reading. */
    if (unpack_init(&u, f->size, put_at, &fd, e) < 0 || read_through(stored, f, &u, m, e) < 0 ||
        unpack_end(&u, e) < 0)
        return -1;
    return fsync(fd) < 0 ? err_set_os(e, errno, "could not sync the image") : 0;
}

static int extract(const struct backup *b, const char *name, int fd, struct meter *m, struct err *e)
{
    const struct backup_file *f = find(b, name, BACKUP_IMAGE, e);
    AUTO_CLOSE int stored = f == NULL ? -1 : open_stored(b, f, e);
    struct stat st;

    if (stored < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "an image is restored to a regular file only");
    m->total = 2 * f->stored;
    if (read_through(stored, f, NULL, m, e) < 0)
        return -1;
    if (unpack_to(stored, f, fd, m, e) < 0) {
        int ignored = ftruncate(fd, 0);

        (void)ignored;
        return -1;
    }
    (void)posix_fadvise(stored, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

int backup_extract_image(const struct backup *b, const char *name, int fd, backup_progress_fn fn,
                         void *owner, struct err *e)
{
    struct meter m = {fn, owner, 0, 0};

    if (extract(b, name, fd, &m, e) < 0)
        return err_prefix(e, "backup \"%s\"", b->name);
    return 0;
}
