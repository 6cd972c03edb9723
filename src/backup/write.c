/* Making a backup: in a directory that is none yet, which gets its name when all is on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "backup-int.h"

struct backup_writer {
    char *target;             /* owned; to show */
    int target_fd, dir, lock; /* owned */
    char name[BACKUP_NAME_SIZE];
    struct manifest m;
    bool failed;
};

/* A file that is being written. */
struct out {
    int fd; /* owned */
    struct sum sum;
    struct backup_file file;
};

static void writer_free(struct backup_writer *w)
{
    target_unlock(w->target_fd, w->name, &w->lock);
    close_fd(&w->dir);
    close_fd(&w->target_fd);
    manifest_done(&w->m);
    free(w->target);
    free(w);
}

void backup_abort(struct backup_writer *w)
{
    char part[PART_SIZE];
    struct err ignored;

    if (w == NULL)
        return;
    target_part(w->name, part);
    if (w->dir >= 0)
        (void)fd_remove_tree(w->target_fd, part, &ignored); /* or at the next beginning */
    writer_free(w);
}

/* On a full target the system's words do not say which, nor how much is missing. */
static int failed(struct backup_writer *w, uint64_t missing, struct err *e)
{
    struct statvfs fs = {.f_bavail = 0};
    int number = e->os_errno;
    char has[24], needs[24], is_free[24];

    w->failed = true;
    if (e->kind != ERR_NO_SPACE)
        return err_prefix(e, "backup \"%s\" on \"%s\"", w->name, w->target);
    (void)fstatvfs(w->target_fd, &fs);
    (void)err_set_os(e, number,
                     "\"%s\" is too full for backup \"%s\": %s of it are there, up to %s "
                     "more are needed, %s are free",
                     w->target, w->name, str_size(has, sizeof(has), w->m.bytes),
                     str_size(needs, sizeof(needs), missing),
                     str_size(is_free, sizeof(is_free), (uint64_t)fs.f_bavail * fs.f_frsize));
    return err_hint(e, "make room there, or keep fewer backups");
}

/* ---- beginning ---- */

static int begin_at(struct backup_writer *w, struct err *e)
{
    char part[PART_SIZE];
    struct stat st;

    target_part(w->name, part);
    if (target_clean(w->target_fd, e) < 0 || target_lock(w->target_fd, w->name, &w->lock, e) < 0)
        return -1;
    if (fstatat(w->target_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(e, ERR_EXISTS, "there is a backup of that name");
    /* Somebody may have begun and died since the cleaning. */
    if (fd_remove_tree(w->target_fd, part, e) < 0)
        return -1;
    if (mkdirat(w->target_fd, part, 0700) < 0)
        return err_set_os(e, errno, "could not make directory \"%s\"", part);
    w->dir = openat(w->target_fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (w->dir < 0)
        return err_set_os(e, errno, "could not open directory \"%s\"", part);
    return INJECT("backup.begun", e);
}

int backup_begin(const char *target, const struct backup_label *label,
                 struct backup_writer **ret_writer, struct err *e)
{
    struct backup_writer *w;
    char shown[120];

    if (!backup_name_ok(label->name))
        return err_set(e, ERR_INPUT, "\"%s\" cannot be the name of a backup",
                       str_show(shown, sizeof(shown), label->name, strlen(label->name)));
    if (!backup_name_ok(label->hub) || label->created < 0)
        return err_set(e, ERR_INPUT, "a backup must say of which hub and time it is");
    w = mem_new(sizeof(*w));
    *w = (struct backup_writer){.target_fd = -1, .dir = -1, .lock = -1};
    w->target = mem_copy(target);
    (void)snprintf(w->name, sizeof(w->name), "%s", label->name);
    (void)snprintf(w->m.hub, sizeof(w->m.hub), "%s", label->hub);
    w->m.created = label->created;
    w->target_fd = target_open(target, e);
    if (w->target_fd < 0 || begin_at(w, e) < 0) {
        (void)failed(w, 0, e);
        backup_abort(w);
        return -1;
    }
    *ret_writer = w;
    return 0;
}

/* ---- files ---- */

static void out_done(struct out *o)
{
    close_fd(&o->fd);
    sum_done(&o->sum);
}

static int out_open(struct backup_writer *w, const char *name, enum backup_kind kind, struct out *o,
                    struct err *e)
{
    char shown[120];

    *o = (struct out){.fd = -1, .file = {.kind = kind}};
    if (w->failed)
        return err_set(e, ERR_INTERNAL, "it has failed before");
    if (!backup_name_ok(name) || str_is(name, MANIFEST_NAME))
        return err_set(e, ERR_INPUT, "\"%s\" cannot be the name of a file in a backup",
                       str_show(shown, sizeof(shown), name, strlen(name)));
    if (w->m.n == BACKUP_FILES_MAX)
        return err_set(e, ERR_LIMIT, "a backup holds at most %d files", BACKUP_FILES_MAX);
    (void)snprintf(o->file.name, sizeof(o->file.name), "%s", name);
    o->fd = openat(w->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (o->fd < 0)
        return err_set_os(e, errno, "could not create \"%s\"", name);
    return sum_init(&o->sum, e);
}

static int out_put(void *owner, const void *data, size_t len, struct err *e)
{
    struct out *o = owner;

    if (fd_write_all(o->fd, data, len, e) < 0 || INJECT("backup.writing", e) < 0)
        return err_prefix(e, "\"%s\"", o->file.name);
    o->file.stored += len;
    return sum_add(&o->sum, data, len, e);
}

static int out_close(struct backup_writer *w, struct out *o, uint64_t size, struct err *e)
{
    if (sum_end(&o->sum, o->file.sha256, e) < 0)
        return -1;
    if (fsync(o->fd) < 0)
        return err_set_os(e, errno, "could not sync \"%s\"", o->file.name);
    (void)posix_fadvise(o->fd, 0, 0, POSIX_FADV_DONTNEED); /* nobody reads it soon */
    o->file.size = size;
    manifest_add(&w->m, &o->file);
    return 0;
}

int backup_add_bytes(struct backup_writer *w, const char *name, const void *data, size_t len,
                     struct err *e)
{
    AUTO(out_done) struct out o;

    if (out_open(w, name, BACKUP_FILE, &o, e) < 0 || out_put(&o, data, len, e) < 0 ||
        out_close(w, &o, len, e) < 0)
        return failed(w, len, e);
    return 0;
}

static int copy(int fd, struct out *o, struct err *e)
{
    AUTO_FREE uint8_t *piece = mem_new(STREAM_PIECE);

    for (;;) {
        ssize_t n = read(fd, piece, STREAM_PIECE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not read what is to be \"%s\"", o->file.name);
        if (n == 0)
            return 0;
        if (out_put(o, piece, (size_t)n, e) < 0)
            return -1;
    }
}

int backup_add_file(struct backup_writer *w, const char *name, int fd, struct err *e)
{
    AUTO(out_done) struct out o;
    struct stat st = {.st_size = 0};

    (void)fstat(fd, &st);
    if (out_open(w, name, BACKUP_FILE, &o, e) < 0 || copy(fd, &o, e) < 0 ||
        out_close(w, &o, o.file.stored, e) < 0)
        return failed(w, (uint64_t)st.st_size, e);
    return 0;
}

int backup_add_image(struct backup_writer *w, const char *name, int fd, backup_progress_fn fn,
                     void *owner, struct err *e)
{
    AUTO(out_done) struct out o;
    uint64_t bytes = 0, size = 0;
    struct stat st;

    if (out_open(w, name, BACKUP_IMAGE, &o, e) < 0)
        return failed(w, 0, e);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)err_set(e, ERR_INPUT, "what is to be \"%s\" is not a regular file", name);
        return failed(w, 0, e);
    }
    size = (uint64_t)st.st_size;
    if (pack_data(fd, size, &bytes, e) < 0 ||
        pack_image(fd, size, bytes, out_put, &o, fn, owner, e) < 0 ||
        out_close(w, &o, size, e) < 0) {
        w->m.bytes += o.file.stored; /* to say so: it is no longer finished */
        return failed(w, bytes > o.file.stored ? bytes - o.file.stored : 0, e);
    }
    return 0;
}

/* ---- the end ---- */

static int put_manifest(struct backup_writer *w, struct err *e)
{
    AUTO(buf_done) struct buf text;
    AUTO_CLOSE int fd = -1;

    buf_init(&text, MANIFEST_MAX);
    if (INJECT("backup.manifest", e) < 0 || manifest_print(&w->m, &text, e) < 0)
        return -1;
    fd = openat(w->dir, MANIFEST_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_os(e, errno, "could not create the manifest");
    if (fd_write_all(fd, buf_data(&text), buf_len(&text), e) < 0)
        return err_prefix(e, "the manifest");
    if (fsync(fd) < 0 || fsync(w->dir) < 0)
        return err_set_os(e, errno, "could not sync the manifest");
    return 0;
}

static int give_name(struct backup_writer *w, struct err *e)
{
    char part[PART_SIZE];

    target_part(w->name, part);
    if (INJECT("backup.naming", e) < 0)
        return -1;
    if (renameat(w->target_fd, part, w->target_fd, w->name) < 0)
        return err_set_os(e, errno, "could not name it");
    if (INJECT("backup.named", e) == 0 && fsync(w->target_fd) == 0)
        return 0;
    (void)err_set_os(e, errno, "could not sync its name");
    (void)renameat(w->target_fd, w->name, w->target_fd, part); /* for the caller to remove */
    return -1;
}

int backup_finish(struct backup_writer *w, uint64_t *ret_bytes, struct err *e)
{
    if (w->failed)
        (void)err_set(e, ERR_INTERNAL, "it has failed before");
    if (w->failed || put_manifest(w, e) < 0 || give_name(w, e) < 0) {
        (void)failed(w, 0, e);
        backup_abort(w);
        return -1;
    }
    *ret_bytes = w->m.bytes;
    writer_free(w);
    return 0;
}
