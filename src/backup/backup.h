/*
 * backup.h: a backup is a directory on a target: small files as they are, images of disks as zstd
 * streams of what is not a hole in them, and a manifest, written last, with the SHA-256 of each
 * file and of itself.
 *
 *     <target>/.<name>.part/    being made, or left by a crash: nobody takes it for a backup
 *     <target>/.<name>.lock     locked while somebody works on the backup of that name
 *     <target>/<name>/          complete and synced before it got this name
 *
 * Everything here waits for disks: not for an event loop. The target may belong to anybody who may
 * read all data of the hub; what it holds is believed only as far as the checksums go, and even a
 * forged backup cannot write outside of what it is restored to.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    BACKUP_NAME_SIZE =
        101, /* [A-Za-z0-9][A-Za-z0-9._:@+-]*, no "..": a backup, a file in it, a hub */
    BACKUP_FILES_MAX = 100000,
    BACKUP_SHA256 = 32,
};

bool backup_name_ok(const char *name);

/* Bytes read of all there are to read; -1 with *e filled ends what is being done. */
typedef int (*backup_progress_fn)(void *owner, uint64_t done, uint64_t total, struct err *e);

/* ---- making one ---- */

struct backup_writer;

struct backup_label {
    const char *name;
    const char *hub;
    int64_t created; /* seconds since 1970: backups are ordered by it */
};

/*
 * What crashes have left on the target is removed first. ERR_EXISTS when there is such a backup,
 * ERR_BUSY while another process makes one of that name.
 */
int backup_begin(const char *target, const struct backup_label *label,
                 struct backup_writer **ret_writer, struct err *e);
/* Small files: stored as they are. That of an fd from its current position, whatever it is. */
int backup_add_bytes(struct backup_writer *w, const char *name, const void *data, size_t len,
                     struct err *e);
int backup_add_file(struct backup_writer *w, const char *name, int fd, struct err *e);
/* A regular file that nobody changes meanwhile. fn may be NULL. */
int backup_add_image(struct backup_writer *w, const char *name, int fd, backup_progress_fn fn,
                     void *owner, struct err *e);
/* It is a backup when this returns 0, and will be one after a power cut. Frees w in any case; what
 * could not be finished is removed. Refused after one of the above has failed. */
int backup_finish(struct backup_writer *w, uint64_t *ret_bytes, struct err *e);
/* Remove it. NULL is nothing. */
void backup_abort(struct backup_writer *w);

/* ---- looking ---- */

struct backup_info {
    const char *name;
    char hub[BACKUP_NAME_SIZE]; /* "" when the manifest cannot be believed */
    int64_t created;
    uint64_t bytes; /* on the target */
    bool complete;  /* the manifest is whole and every file is there in its length */
};
typedef int (*backup_info_fn)(void *owner, const struct backup_info *info, struct err *e);

/* The oldest first; those that are not complete before all others. */
int backup_list(const char *target, backup_info_fn fn, void *owner, struct err *e);
/*
 * Remove the oldest complete backups of that hub beyond keep. The newest is never removed, nor is
 * one that is not complete: what is wrong with it is for people to see. Returns how many were
 * removed.
 */
int backup_prune(const char *target, const char *hub, unsigned keep, struct err *e);

/* ---- reading one ---- */

struct backup;

enum backup_kind { BACKUP_FILE, BACKUP_IMAGE };

struct backup_file {
    char name[BACKUP_NAME_SIZE];
    enum backup_kind kind;
    uint64_t stored;               /* bytes on the target */
    uint64_t size;                 /* bytes of the file it was */
    uint8_t sha256[BACKUP_SHA256]; /* of what is stored */
};

/* The manifest is checked, the files are not. ERR_NOT_FOUND when there is none of that name. */
int backup_open(const char *target, const char *name, struct backup **ret_backup, struct err *e);
void backup_close(struct backup *b);
const char *backup_hub(const struct backup *b);
int64_t backup_created(const struct backup *b);
/* In order of name; *ret_n of them, which b owns. */
const struct backup_file *backup_files(const struct backup *b, size_t *ret_n);
const struct backup_file *backup_find(const struct backup *b, const char *name); /* or NULL */

/* Read every file and compare its checksum. fn may be NULL. */
int backup_verify(const struct backup *b, backup_progress_fn fn, void *owner, struct err *e);
/* A small file, checked, NUL added. The caller frees. */
int backup_read_file(const struct backup *b, const char *name, size_t max, char **ret_data,
                     size_t *ret_len, struct err *e);
/*
 * Make a regular file what the image was, synced. Nothing is written before the whole stored file
 * has been found to be what was stored; after a failure from then on, the file is empty. Progress
 * is counted over both readings. fn may be NULL.
 */
int backup_extract_image(const struct backup *b, const char *name, int fd, backup_progress_fn fn,
                         void *owner, struct err *e);
