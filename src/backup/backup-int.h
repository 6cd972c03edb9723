/* backup-int.h: what the files of this folder share. */
#pragma once

#include "backup.h"

#include <sys/types.h>

#include "base/buf.h"

/* ---- manifest.c ---- */

#define MANIFEST_NAME "manifest"
#define MANIFEST_MAX  ((size_t)32 << 20)

struct manifest {
    char hub[BACKUP_NAME_SIZE];
    int64_t created;
    struct backup_file *files; /* owned; in order of name */
    size_t n, room;
    uint64_t bytes; /* stored, of all files */
};

void manifest_done(struct manifest *m);
void manifest_add(struct manifest *m, const struct backup_file *f);
/* Sorts the files. */
int manifest_print(struct manifest *m, struct buf *at, struct err *e);
/* Refuses what manifest_print() could not have written. */
int manifest_parse(const char *text, size_t len, struct manifest *ret_m, struct err *e);

/* ---- sum.c: SHA-256 in pieces ---- */

struct sum {
    void *state; /* owned */
};

int sum_init(struct sum *s, struct err *e);
int sum_add(struct sum *s, const void *data, size_t len, struct err *e);
int sum_end(struct sum *s, uint8_t ret[BACKUP_SHA256], struct err *e); /* once */
void sum_done(struct sum *s);

/* ---- pack.c, unpack.c: an image as a stream ----
 *
 * In one zstd frame with a checksum; numbers are big-endian, of 8 bytes:
 *
 *     "DORMIMG1" size { offset length data[length] } size 0
 *
 * Extents ascend and do not overlap or reach beyond size; none is empty. What is between them is
 * zero.
 */

#define STREAM_MAGIC "DORMIMG1"
#define STREAM_PIECE ((size_t)1 << 20)
#define STREAM_HEAD  ((size_t)16) /* of the whole, of an extent, of the end */

typedef int (*stream_put_fn)(void *owner, const void *data, size_t len, struct err *e);

/* Bytes of a file that are not in holes. */
int pack_data(int fd, uint64_t size, uint64_t *ret_bytes, struct err *e);
/* total: what pack_data() said, for progress. */
int pack_image(int fd, uint64_t size, uint64_t total, stream_put_fn put, void *put_owner,
               backup_progress_fn fn, void *owner, struct err *e);

/* Where the data of an image goes: ascending, within size, never more than STREAM_PIECE at once. */
typedef int (*unpack_put_fn)(void *owner, uint64_t offset, const void *data, size_t len,
                             struct err *e);

struct unpack {
    uint64_t size; /* the image must be of this one */
    unpack_put_fn put;
    void *owner;

    uint8_t head[STREAM_HEAD];
    size_t have;            /* bytes of head */
    uint64_t at, data_left; /* at: nothing may come before */
    enum { UNPACK_START, UNPACK_EXTENT, UNPACK_DATA, UNPACK_END } state;
    void *zstd; /* owned */
    void *room; /* owned: STREAM_PIECE bytes */
    bool frame_over;
};

int unpack_init(struct unpack *u, uint64_t size, unpack_put_fn put, void *owner, struct err *e);
void unpack_done(struct unpack *u);
int unpack_feed(struct unpack *u, const void *stored, size_t len, struct err *e);
/* The stored bytes have ended: has the image? */
int unpack_end(const struct unpack *u, struct err *e);
/* Below the compression, on its own. */
int unpack_plain(struct unpack *u, const uint8_t *p, size_t len, struct err *e);

/* ---- target.c: names and locks on a target ---- */

#define PART_SIZE (BACKUP_NAME_SIZE + 8)

void target_part(const char *name, char at[PART_SIZE]); /* ".<name>.part" */
int target_open(const char *target, struct err *e);
/* ERR_BUSY while another process has it. */
int target_lock(int target_fd, const char *name, int *ret_lock, struct err *e);
/* Its file goes, too. */
void target_unlock(int target_fd, const char *name, int *lock);
/* Remove what nobody works on any more. */
int target_clean(int target_fd, struct err *e);
/* Each directory of the target that may be a backup. */
typedef int (*target_fn)(void *owner, const char *name, struct err *e);
int target_each(int target_fd, target_fn fn, void *owner, struct err *e);

/* ---- read.c ---- */

struct backup {
    int dir; /* owned */
    char name[BACKUP_NAME_SIZE];
    struct manifest m;
};

int backup_open_at(int target_fd, const char *name, struct backup **ret_backup, struct err *e);
/* Is every file there, in its length? */
int backup_whole(const struct backup *b, struct err *e);
