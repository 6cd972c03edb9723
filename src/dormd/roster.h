/*
 * roster.h: the file "servers" of a backup: which image is whose. One volume a line, fields between
 * tabs; pure, since whoever can write to a target can have written it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rand.h"

#define ROSTER_FILE "servers"

enum {
    ROSTER_MAX = 64 << 20, /* bytes */
    ROSTER_IMAGE_SIZE = sizeof("volume-") + ID_LEN,
};

struct roster_line {
    const char *server, *owner; /* "" of a volume that is nobody's */
    const char *volume;         /* id */
    const char *claim, *class, *component;
    uint64_t capacity;
    uint64_t major; /* of the server's PostgreSQL; 0: not a server's data */
};

struct roster {
    char *text;             /* owned; the lines point into it */
    struct roster_line *at; /* owned */
    size_t n;
};

/* False when it does not fit, or a text has a tab or a line's end in it. */
bool roster_put(struct buf *b, const struct roster_line *line) __attribute__((warn_unused_result));
/* Takes text (of len bytes, and a NUL) in any case. */
int roster_parse(char *text, size_t len, struct roster *ret, struct err *e);
void roster_done(struct roster *r);
/* The data of that server, or NULL. */
const struct roster_line *roster_find(const struct roster *r, const char *server);
/* What the image of a volume is called in a backup. */
char *roster_image(char at[ROSTER_IMAGE_SIZE], const char *volume);
