#include "mountinfo.h"

#include <string.h>

struct span {
    const char *at;
    size_t len;
};

/* The next field: up to a space. False at the end of the line. */
static bool next(struct span *line, struct span *ret_field)
{
    const char *space;

    if (line->len == 0)
        return false;
    space = memchr(line->at, ' ', line->len);
    ret_field->at = line->at;
    ret_field->len = space == NULL ? line->len : (size_t)(space - line->at);
    line->at += ret_field->len;
    line->len -= ret_field->len;
    if (line->len > 0) {
        line->at++;
        line->len--;
    }
    return ret_field->len > 0;
}

static bool number(struct span field, unsigned *ret_value)
{
    unsigned value = 0;

    if (field.len == 0 || field.len > 9)
        return false;
    for (size_t i = 0; i < field.len; i++) {
        if (field.at[i] < '0' || field.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(field.at[i] - '0');
    }
    *ret_value = value;
    return true;
}

static bool device(struct span field, struct mountinfo *m)
{
    const char *colon = memchr(field.at, ':', field.len);
    size_t before;

    if (colon == NULL)
        return false;
    before = (size_t)(colon - field.at);
    return number((struct span){field.at, before}, &m->major) &&
           number((struct span){colon + 1, field.len - before - 1}, &m->minor);
}

static bool octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Space, tab, newline and backslash are written as \ and three octal digits. */
static bool unescape(struct span field, char *at, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < field.len; i++) {
        const char *p = field.at + i;
        unsigned c = (unsigned char)*p;

        if (c == '\\' && field.len - i > 3 && octal(p[1]) && octal(p[2]) && octal(p[3])) {
            c = (unsigned)(p[1] - '0') << 6 | (unsigned)(p[2] - '0') << 3 | (unsigned)(p[3] - '0');
            i += 3;
        }
        if (c == 0 || c > 255 || n + 1 >= size)
            return false;
        at[n++] = (char)c;
    }
    at[n] = '\0';
    return true;
}

static bool has_option(struct span options, const char *option)
{
    size_t len = strlen(option);

    while (options.len > 0) {
        const char *comma = memchr(options.at, ',', options.len);
        size_t n = comma == NULL ? options.len : (size_t)(comma - options.at);

        if (n == len && memcmp(options.at, option, n) == 0)
            return true;
        n += comma != NULL;
        options.at += n;
        options.len -= n;
    }
    return false;
}

/* Of every mount NFS says that its root is "/"; which directory it shows stands in its source. */
static void take_nfs_root(struct mountinfo *m)
{
    const char *path = strstr(m->source, ":/");

    if (strncmp(m->type, "nfs", 3) == 0 && strcmp(m->root, "/") == 0 && path != NULL)
        (void)memmove(m->root, path + 1, strlen(path)); /* as large as the source */
}

bool mountinfo_parse(const char *text, size_t len, struct mountinfo *ret_mount)
{
    struct span line = {text, len}, field;
    struct mountinfo *m = ret_mount;

    if (!next(&line, &field) || !number(field, &m->id) || !next(&line, &field) ||
        !number(field, &m->parent) || !next(&line, &field) || !device(field, m))
        return false;
    if (!next(&line, &field) || !unescape(field, m->root, sizeof(m->root)))
        return false;
    if (!next(&line, &field) || !unescape(field, m->mountpoint, sizeof(m->mountpoint)))
        return false;
    if (!next(&line, &field))
        return false;
    m->read_only = has_option(field, "ro");
    do /* any number of optional fields, then a lone hyphen */
        if (!next(&line, &field))
            return false;
    while (field.len != 1 || field.at[0] != '-');
    if (!next(&line, &field) || !unescape(field, m->type, sizeof(m->type)) ||
        !next(&line, &field) || !unescape(field, m->source, sizeof(m->source)))
        return false;
    take_nfs_root(m);
    return true;
}

bool mountinfo_option(const char *line, size_t len, const char *option, char *at, size_t size)
{
    const char *space = len == 0 ? NULL : memrchr(line, ' ', len);
    size_t name_len = strlen(option);
    struct span rest;

    at[0] = '\0';
    if (space == NULL)
        return false;
    rest = (struct span){space + 1, len - (size_t)(space + 1 - line)};
    while (rest.len > 0) {
        const char *comma = memchr(rest.at, ',', rest.len);
        size_t n = comma == NULL ? rest.len : (size_t)(comma - rest.at);

        if (n >= name_len && memcmp(rest.at, option, name_len) == 0 &&
            (n == name_len || rest.at[name_len] == '=')) {
            size_t skip = n == name_len ? n : name_len + 1;

            return unescape((struct span){rest.at + skip, n - skip}, at, size);
        }
        n += comma != NULL;
        rest.at += n;
        rest.len -= n;
    }
    return false;
}

const char *mountinfo_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    const char *name;

    while (len > 0 && dir[len - 1] == '/')
        len--;
    if (strncmp(path, dir, len) != 0 || path[len] != '/')
        return NULL;
    name = path + len + 1;
    return *name == '\0' || strchr(name, '/') != NULL ? NULL : name;
}
