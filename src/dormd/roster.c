#include "roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { FIELDS = 8 };

static bool one_line(const char *s)
{
    return strpbrk(s, "\t\n") == NULL;
}

bool roster_put(struct buf *b, const struct roster_line *l)
{
    return one_line(l->server) && one_line(l->owner) && one_line(l->volume) && one_line(l->claim) &&
           one_line(l->class) && one_line(l->component) &&
           buf_printf(b, "%s\t%s\t%s\t%s\t%s\t%" PRIu64 "\t%s\t%" PRIu64 "\n", l->server, l->owner,
                      l->volume, l->claim, l->class, l->capacity, l->component, l->major);
}

void roster_done(struct roster *r)
{
    free(r->text);
    free(r->at);
    *r = (struct roster){.n = 0};
}

static bool is_id(const char *s)
{
    return strlen(s) == ID_LEN && strspn(s, "abcdefghijklmnopqrstuvwxyz234567") == ID_LEN;
}

static int parse_line(char *text, size_t number, struct roster_line *ret, struct err *e)
{
    char *field[FIELDS];

    for (size_t i = 0; i < FIELDS; i++) {
        field[i] = text;
        text = text == NULL ? NULL : strchr(text, '\t');
        if ((text == NULL) != (i + 1 == FIELDS))
            return err_set(e, ERR_INPUT, "line %zu of its list of servers is not of %d fields",
                           number, FIELDS);
        if (text != NULL)
            *text++ = '\0';
    }
    *ret = (struct roster_line){.server = field[0],
                                .owner = field[1],
                                .volume = field[2],
                                .claim = field[3],
                                .class = field[4],
                                .component = field[6]};
    if (is_id(field[2]) && str_u64(field[5], &ret->capacity) && str_u64(field[7], &ret->major))
        return 0;
    return err_set(e, ERR_INPUT, "line %zu of its list of servers is not about a volume", number);
}

static int parse(struct roster *r, size_t len, struct err *e)
{
    char *next, *text = r->text;
    size_t room = 0;

    if (strlen(text) != len || !str_utf8(text, len))
        return err_set(e, ERR_INPUT, "its list of servers is no text");
    for (; *text != '\0'; text = next) {
        next = strchr(text, '\n');
        if (next == NULL)
            return err_set(e, ERR_INPUT, "the last line of its list of servers does not end");
        *next++ = '\0';
        if (r->n == room) {
            room = room == 0 ? 64 : 2 * room;
            r->at = mem_resize(r->at, room * sizeof(*r->at));
        }
        if (parse_line(text, r->n + 1, &r->at[r->n], e) < 0)
            return -1;
        r->n++;
    }
    return 0;
}

int roster_parse(char *text, size_t len, struct roster *ret, struct err *e)
{
    struct roster r = {.text = text};

    if (parse(&r, len, e) < 0) {
        roster_done(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

const struct roster_line *roster_find(const struct roster *r, const char *server)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_is(r->at[i].component, "postgres") && str_is(r->at[i].server, server))
            return &r->at[i];
    return NULL;
}

char *roster_image(char at[ROSTER_IMAGE_SIZE], const char *volume)
{
    (void)snprintf(at, ROSTER_IMAGE_SIZE, "volume-%s", volume);
    return at;
}
