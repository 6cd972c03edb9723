/* conf-int.h: what the files of this folder share: the report, the YAML tree, the schema. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"

/* Where problems go; name is already cut to its last part and fit to print. */
struct report {
    char name[64];
    struct conf_problems *to;
};

static inline bool report_full(const struct report *r)
{
    return r->to->n == CONF_PROBLEMS_MAX;
}
/* label is a key of the file, shown escaped before the message; NULL for none. */
void report_add(struct report *r, unsigned line, unsigned column, const char *label,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

enum yaml_kind {
    YAML_TEXT,
    YAML_NONE, /* nothing, ~ or null, unquoted */
    YAML_MAP,
    YAML_LIST,
    YAML_BAD, /* reported already: not to be looked at again */
};

/* A key of a map holds its value; the elements of a map or list hang on first and next. */
struct yaml {
    enum yaml_kind kind;
    bool quoted;
    unsigned line, column;             /* from 1 */
    char *text;                        /* owned; "" unless TEXT or NONE; one line of valid UTF-8 */
    struct yaml *first, *next, *value; /* owned */
};

/*
 * The tree of one document, at most CONF_DEPTH_MAX deep, or NULL when it is not YAML; either way
 * what is wrong with it is reported. Aliases are refused, hence never resolved.
 */
struct yaml *yaml_read(const char *text, size_t len, struct report *r);
void yaml_free(struct yaml *y);

/*      type      noun, as in "a map where ... is expected" */
#define CONF_TYPES(X)                             \
    X(MAP, "a map")                               \
    X(CLASSES, "a map of classes")                \
    X(PARAMETERS, "a map of PostgreSQL settings") \
    X(NETWORKS, "a list of networks")             \
    X(NAME, "a name")                             \
    X(DOMAIN, "a domain name")                    \
    X(NUMBER, "a number")                         \
    X(ADDRESS, "an IP address")                   \
    X(DRIVER, "a driver")                         \
    X(PATH, "an absolute path")                   \
    X(IMAGE, "an image")                          \
    X(TEMPLATE, "a name with placeholders")       \
    X(CLASS, "the name of a class")               \
    X(SUPERUSER, "\"{username}\" or one name")    \
    X(SIZE, "a size")                             \
    X(CORES, "a number of cores")                 \
    X(DURATION, "a duration")                     \
    X(SLEEP, "a duration or never")               \
    X(POOL, "a size or a percentage")             \
    X(RANGE, "a range of ids")                    \
    X(VALUE, "a value")

enum conf_type {
#define X(name, noun) CONF_##name,
    CONF_TYPES(X)
#undef X
        CONF_TYPE_N
};

struct conf_row {
    const char *path; /* "*" stands for a free key */
    enum conf_type type;
    unsigned offset, size; /* in struct conf; below storage.* in struct conf_class */
    uint64_t least, most;  /* of numbers; most is 0 where the type alone bounds it */
    const char *fallback;  /* the default as text; NULL for maps */
    bool at_start_only;
    const char *help;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_row_n;

/* The row of a key below a path ("" is the root), or of the free key "*"; NULL when there is none.
 */
const struct conf_row *conf_row(const char *path, const char *key);
/* The keys directly below a path. Returns how many, at most max. */
size_t conf_row_keys(const char *path, const char **ret_keys, size_t max);
static inline bool conf_row_is_leaf(const struct conf_row *row)
{
    return row->fallback != NULL;
}
/* Is the row about a free key, or below one? */
bool conf_row_is_free(const struct conf_row *row);

const char *conf_type_noun(enum conf_type type);

enum { VALUE_WHY = 160 };

/* Parse text into the row's place. -1 with why: what is said after the quoted text ("is not ...").
 */
int conf_value(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY]);
int conf_network(const char *text, struct conf_network *ret, char why[VALUE_WHY]);
/* [a-z][a-z0-9-]{0,30} */
bool conf_is_name(const char *text);
/* May a hub file set this PostgreSQL setting, and is it one? */
int conf_parameter_name(const char *name, char why[VALUE_WHY]);

/* Put what the tree says into c, which holds the defaults, and report all that is wrong with it. */
void conf_walk(struct conf *c, const struct yaml *root, struct report *r);

/* Add what the file did not say and bring all into the order of the schema. */
void conf_items_complete(struct conf *c);
void conf_items_free(struct conf_item *items, size_t n);
/* Copies all; value is made fit to print. */
void conf_item_add(struct conf *c, const char *path, const char *value, const char *origin,
                   bool at_start_only);
char *conf_networks_text(const struct conf_networks *list); /* the caller frees */
