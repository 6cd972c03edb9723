/* t_backup.h: a target of its own, a sparse image with something in it, and what is made of them.
 */
#pragma once

#include "t_err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/backup-int.h"
#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "dice.h"

#define MIB          (UINT64_C(1) << 20)
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static char scratch[] = "/tmp/dormouse-backup.XXXXXX", target[64];

static inline void target_new(void)
{
    (void)snprintf(target, sizeof(target), "%s/target", scratch);
    T_EQ(mkdir(target, 0700), 0);
}

static inline void target_gone(void)
{
    AUTO_CLOSE int fd = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);

    T_DO(fd_remove_tree(fd, "target", &e));
}

static inline int scratch_fd(void)
{
    return open(scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* Random bytes at random places, which compress badly; the rest is holes. */
static inline int image_new(uint64_t size, unsigned pieces, uint64_t seed)
{
    struct dice d = {seed};
    int fd = scratch_fd();

    T_EQ(ftruncate(fd, (off_t)size), 0);
    for (unsigned i = 0; i < pieces; i++) {
        uint64_t bytes[512];
        size_t n = 1 + dice_below(&d, sizeof(bytes)), at = dice_below(&d, size > n ? size - n : 1);

        for (size_t k = 0; k < COUNT(bytes); k++)
            bytes[k] = dice_u64(&d);
        n = n < size ? n : (size_t)size;
        T_EQ(pwrite(fd, bytes, n, (off_t)at), n);
    }
    return fd;
}

static inline bool same_content(int a, int b)
{
    static char x[1 << 16], y[1 << 16];
    struct stat of_a, of_b;

    if (fstat(a, &of_a) < 0 || fstat(b, &of_b) < 0 || of_a.st_size != of_b.st_size)
        return false;
    for (off_t at = 0; at < of_a.st_size; at += (off_t)sizeof(x)) {
        ssize_t n = pread(a, x, sizeof(x), at);

        if (n <= 0 || pread(b, y, sizeof(y), at) != n || memcmp(x, y, (size_t)n) != 0)
            return false;
    }
    return true;
}

/* A backup of two small files and those images. */
static inline int make(const char *name, int64_t created, const int *images, size_t n,
                       struct err *err)
{
    struct backup_label label = {.name = name, .hub = "testhub", .created = created};
    struct backup_writer *w = NULL;
    uint64_t bytes;

    if (backup_begin(target, &label, &w, err) < 0)
        return -1;
    if (backup_add_bytes(w, "record.db", "the record", 10, err) < 0 ||
        backup_add_bytes(w, "empty", "", 0, err) < 0) {
        backup_abort(w);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        char file[16];

        (void)snprintf(file, sizeof(file), "vol%zu.img", i);
        if (backup_add_image(w, file, images[i], NULL, NULL, err) < 0) {
            backup_abort(w);
            return -1;
        }
    }
    return backup_finish(w, &bytes, err);
}

/* Entries of the target; hidden: only those that begin with a dot. */
static inline int entries(bool hidden)
{
    AUTO_CLOSEDIR DIR *dir = opendir(target);
    const struct dirent *entry;
    int n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (!str_is(entry->d_name, ".") && !str_is(entry->d_name, ".."))
            n += !hidden || entry->d_name[0] == '.';
    return n;
}

struct seen {
    char names[512]; /* each with a blank behind it; "!" before what is not complete */
};

static inline int see(void *owner, const struct backup_info *info, struct err *err)
{
    struct seen *s = owner;
    size_t n = strlen(s->names);

    (void)err;
    (void)snprintf(s->names + n, sizeof(s->names) - n, "%s%s ", info->complete ? "" : "!",
                   info->name);
    return 0;
}

static inline const char *listed(void)
{
    static struct seen s;

    s.names[0] = '\0';
    T_DO(backup_list(target, see, &s, &e));
    return s.names;
}

/* It opens, every checksum is right, and the images are those. */
static inline void check(const char *name, const int *images, size_t n)
{
    struct backup *b = NULL;
    char *data = NULL;
    size_t len = 0;

    T_DO(backup_open(target, name, &b, &e));
    if (b == NULL)
        return;
    T_DO(backup_verify(b, NULL, NULL, &e));
    T_DO(backup_read_file(b, "record.db", 10, &data, &len, &e));
    T_STR(data, "the record");
    free(data);
    for (size_t i = 0; i < n; i++) {
        AUTO_CLOSE int out = scratch_fd();
        char file[16];

        (void)snprintf(file, sizeof(file), "vol%zu.img", i);
        T_EQ(write(out, "what was here before", 20), 20);
        T_DO(backup_extract_image(b, file, out, NULL, NULL, &e));
        T_OK(same_content(images[i], out));
    }
    backup_close(b);
}

static inline int tests_end(void)
{
    if (rmdir(scratch) < 0)
        t_failures++, printf("# something was left in %s\n", scratch);
    return t_end();
}
