/*
 * The manifest, as people may read it, too:
 *
 *     dormouse-backup 1
 *     hub sql101
 *     created 1790000000
 *     <sha256> <bytes stored> <bytes of the file> file|image <name>       in order of name
 *     sha256 <of all that stands before this line>
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#include "backup-int.h"

#define FIRST_LINE "dormouse-backup 1"
#define LAST_WORD  "sha256 "
#define LAST_LEN   (sizeof(LAST_WORD) - 1 + (size_t)2 * BACKUP_SHA256 + 1)

static const char *const kinds[] = {[BACKUP_FILE] = "file", [BACKUP_IMAGE] = "image"};

bool backup_name_ok(const char *name)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@+-";
    size_t n = strnlen(name, BACKUP_NAME_SIZE);

    if (n == 0 || n == BACKUP_NAME_SIZE || strspn(name, set) != n)
        return false;
    return strchr("._:@+-", name[0]) == NULL && strstr(name, "..") == NULL;
}

void manifest_done(struct manifest *m)
{
    free(m->files);
    *m = (struct manifest){.files = NULL};
}

void manifest_add(struct manifest *m, const struct backup_file *f)
{
    if (m->n == m->room) {
        m->room = m->room == 0 ? 16 : 2 * m->room;
        m->files = mem_resize(m->files, m->room * sizeof(*f));
    }
    assert(m->files != NULL);
    m->files[m->n++] = *f;
    m->bytes += f->stored;
}

static int by_name(const void *a, const void *b)
{
    const struct backup_file *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int sum_of(const void *data, size_t len, uint8_t ret[BACKUP_SHA256], struct err *e)
{
    AUTO(sum_done) struct sum s = {NULL};

    if (sum_init(&s, e) < 0 || sum_add(&s, data, len, e) < 0)
        return -1;
    return sum_end(&s, ret, e);
}

int manifest_print(struct manifest *m, struct buf *at, struct err *e)
{
    char hex[2 * BACKUP_SHA256 + 1];
    uint8_t sum[BACKUP_SHA256];
    bool fits = buf_printf(at, FIRST_LINE "\nhub %s\ncreated %" PRId64 "\n", m->hub, m->created);

    if (m->n > 0)
        qsort(m->files, m->n, sizeof(*m->files), by_name);
    for (size_t i = 0; fits && i < m->n; i++) {
        const struct backup_file *f = &m->files[i];

        str_to_hex(hex, f->sha256, BACKUP_SHA256);
        fits = buf_printf(at, "%s %" PRIu64 " %" PRIu64 " %s %s\n", hex, f->stored, f->size,
                          kinds[f->kind], f->name);
    }
    if (sum_of(buf_data(at), buf_len(at), sum, e) < 0)
        return -1;
    str_to_hex(hex, sum, BACKUP_SHA256);
    if (!fits || !buf_printf(at, LAST_WORD "%s\n", hex))
        return err_set(e, ERR_LIMIT, "the manifest would be too long");
    return 0;
}

/* ---- reading ---- */

static int damaged(struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "the manifest is damaged: %s", what);
}

/* As it is printed: no sign, no zero in front, so that there is one manifest for what it says. */
static bool number(const char *s, uint64_t *ret)
{
    return (s[0] != '0' || s[1] == '\0') && str_u64(s, ret) && *ret <= INT64_MAX;
}

static bool digest(const char *s, uint8_t ret[BACKUP_SHA256])
{
    return strlen(s) == (size_t)2 * BACKUP_SHA256 &&
           strspn(s, "0123456789abcdef") == (size_t)2 * BACKUP_SHA256 &&
           str_hex(s, ret, BACKUP_SHA256);
}

/* "a b c" to its words; false when there are not exactly n. */
static bool words_of(char *line, char **words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        words[i] = line;
        line = strchr(line, ' ');
        if ((line == NULL) != (i + 1 == n))
            return false;
        if (line != NULL)
            *line++ = '\0';
    }
    return true;
}

static int parse_file(char *line, struct manifest *m, struct err *e)
{
    struct backup_file f = {.kind = BACKUP_FILE}, *last = m->n == 0 ? NULL : &m->files[m->n - 1];
    char *words[5];

    if (!words_of(line, words, 5) || !digest(words[0], f.sha256) || !number(words[1], &f.stored) ||
        !number(words[2], &f.size))
        return damaged(e, "a line is not about a file");
    if (str_is(words[3], kinds[BACKUP_IMAGE]))
        f.kind = BACKUP_IMAGE;
    else if (!str_is(words[3], kinds[BACKUP_FILE]) || f.stored != f.size)
        return damaged(e, "a file is of no kind we know");
    if (!backup_name_ok(words[4]) || str_is(words[4], MANIFEST_NAME) ||
        !str_copy(f.name, sizeof(f.name), words[4]))
        return damaged(e, "a file has a name that it cannot have");
    if (last != NULL && strcmp(last->name, f.name) >= 0)
        return damaged(e, "files are out of order");
    if (m->n == BACKUP_FILES_MAX || f.stored > INT64_MAX - m->bytes)
        return damaged(e, "there is too much in it");
    manifest_add(m, &f);
    return 0;
}

static int parse_hub(char *line, struct manifest *m, struct err *e)
{
    if (!str_starts(line, "hub ") || !backup_name_ok(line + 4) ||
        !str_copy(m->hub, sizeof(m->hub), line + 4))
        return damaged(e, "it does not say of which hub it is");
    return 0;
}

static int parse_created(char *line, struct manifest *m, struct err *e)
{
    uint64_t created;

    if (!str_starts(line, "created ") || !number(line + 8, &created))
        return damaged(e, "it does not say when it was made");
    m->created = (int64_t)created;
    return 0;
}

static int parse_lines(char *text, struct manifest *m, struct err *e)
{
    size_t line = 0;

    for (char *next; *text != '\0'; text = next, line++) {
        int r = 0;

        next = strchr(text, '\n');
        if (next == NULL)
            return damaged(e, "a line does not end");
        *next++ = '\0';
        if (line == 0 && !str_is(text, FIRST_LINE))
            return err_set(e, ERR_INPUT, "the manifest is not one that this version can read");
        if (line == 1)
            r = parse_hub(text, m, e);
        else if (line == 2)
            r = parse_created(text, m, e);
        else if (line > 2)
            r = parse_file(text, m, e);
        if (r < 0)
            return -1;
    }
    return line < 3 ? damaged(e, "its beginning is missing") : 0;
}

int manifest_parse(const char *text, size_t len, struct manifest *ret_m, struct err *e)
{
    AUTO(manifest_done) struct manifest m = {.n = 0};
    AUTO_FREE char *copy = NULL;
    uint8_t said[BACKUP_SHA256], is[BACKUP_SHA256];
    char *last;

    if (len < LAST_LEN || len > MANIFEST_MAX || memchr(text, '\0', len) != NULL)
        return damaged(e, "it cannot be one");
    copy = mem_new(len + 1);
    memcpy(copy, text, len);
    last = copy + len - LAST_LEN;
    copy[len] = '\0';
    if (copy[len - 1] != '\n' || !str_starts(last, LAST_WORD))
        return damaged(e, "its end is missing");
    copy[len - 1] = '\0';
    if (!digest(last + strlen(LAST_WORD), said))
        return damaged(e, "its end is missing");
    if (sum_of(text, len - LAST_LEN, is, e) < 0)
        return -1;
    if (memcmp(said, is, sizeof(is)) != 0)
        return damaged(e, "its checksum is another");
    *last = '\0';
    if (parse_lines(copy, &m, e) < 0)
        return -1;
    *ret_m = m;
    m = (struct manifest){.n = 0};
    return 0;
}
