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

/* The value of a key of a map, and the key itself; NULL when it is not there. y may be NULL. */
const struct yaml *yaml_value(const struct yaml *y, const char *key);
const struct yaml *yaml_key(const struct yaml *y, const char *key);
/* The element of a list, or NULL. y may be NULL. */
const struct yaml *yaml_nth(const struct yaml *y, size_t i);

/*      type      noun, as in "a map where ... is expected" */
#define CONF_TYPES(X)                             \
    X(MAP, "a map")                               \
    X(CLASSES, "a map of classes")                \
    X(PARAMETERS, "a map of PostgreSQL settings") \
    X(CLAIMS, "a list of claims")                 \
    X(VOLUMES, "a list of volumes")               \
    X(NETWORKS, "a list of networks")             \
    X(MODES, "a list of access modes")            \
    X(NAME, "a name")                             \
    X(DOMAIN, "a domain name")                    \
    X(NUMBER, "a number")                         \
    X(ADDRESS, "an IP address")                   \
    X(DRIVER, "a driver")                         \
    X(PATH, "an absolute path")                   \
    X(MOUNT, "an absolute path")                  \
    X(HOST, "a host")                             \
    X(OPTIONS, "mount options")                   \
    X(IMAGE, "an image")                          \
    X(TEMPLATE, "a name with placeholders")       \
    X(OBJECT, "a name")                           \
    X(CLASS, "the name of a class")               \
    X(SUPERUSER, "\"{username}\" or one name")    \
    X(SIZE, "a size")                             \
    X(CORES, "a number of cores")                 \
    X(DURATION, "a duration")                     \
    X(SLEEP, "a duration or never")               \
    X(NAP, "a duration, never or auto")           \
    X(CLOCK, "a time of day or never")            \
    X(LIFECYCLE, "persistent or ephemeral")       \
    X(OUT, "none, until lists can be allowed")    \
    X(SHARE, "a size or a percentage")            \
    X(RANGE, "a range of ids")                    \
    X(VALUE, "a value")

enum conf_type {
#define X(name, noun) CONF_##name,
    CONF_TYPES(X)
#undef X
        CONF_TYPE_N
};

/* What the least of a row says of other types than numbers. */
enum {
    PATH_NORMAL = 1u << 0, /* no //, no . and no / at the end: two of them can be compared */
    PATH_ROOT = 1u << 1,   /* "/" is one */
    TEMPLATE_OF_USER = 1,  /* {username} must be in it */
    OBJECT_OF_CLAIM = 1,   /* what a template becomes */
};

struct conf_row {
    const char *path; /* "*" stands for a free key, "#" for an element of a list */
    enum conf_type type;
    unsigned offset, size; /* in struct conf, or in the struct of the class, claim or volume */
    uint64_t least, most;  /* of numbers; most is 0 where the type alone bounds it; of MODES: the
                              allowed ones */
    const char *fallback;  /* the default as text, or conf_required; NULL for maps */
    bool at_start_only;
    const char *help;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_row_n;
extern const char conf_required[]; /* compared as a pointer */

/* The row of a key below a path ("" is the root), or of "*" or "#"; NULL when there is none. */
const struct conf_row *conf_row(const char *path, const char *key);
/* The keys directly below a path. Returns how many, at most max. */
size_t conf_row_keys(const char *path, const char **ret_keys, size_t max);
static inline bool conf_row_is_leaf(const struct conf_row *row)
{
    return row->fallback != NULL;
}
/* Is the row about a free key or an element, or below one? */
bool conf_row_is_free(const struct conf_row *row);
/* The driver that alone has this key of a class; -1 when all have it. */
int conf_row_driver(const struct conf_row *row);

const char *conf_type_noun(enum conf_type type);

/* What there can be many of: the classes, the extra claims, the volumes. Each begins with its name.
 */
struct conf_many {
    const char *path;    /* of the row of all of them */
    const char *element; /* of the row of one: "storage.*" */
    unsigned at, n;      /* offsets in struct conf: of the pointer, of its size_t */
    size_t size, max;
    const char *noun;
};
extern const struct conf_many conf_manies[];
enum { CONF_MANY_CLASSES, CONF_MANY_CLAIMS, CONF_MANY_VOLUMES, CONF_MANY_N };

/* Of the path of a row, or NULL. */
const struct conf_many *conf_many_of(const char *path);
size_t conf_many_n(const struct conf_many *m, const struct conf *c);
void *conf_many_get(const struct conf_many *m, const struct conf *c, size_t i);
/* Append one with the defaults. It holds until the next is added. */
void *conf_many_add(const struct conf_many *m, struct conf *c);
/* The part of the row's path below one element, as in "claimRef.name"; NULL for other rows. */
const char *conf_many_key(const struct conf_many *m, const struct conf_row *row);

enum { VALUE_WHY = 160 };

/* Parse text into the row's place. -1 with why: what is said after the quoted text ("is not ...").
 * A list's text has spaces between its elements. */
int conf_value(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY]);
int conf_network(const char *text, struct conf_network *ret, char why[VALUE_WHY]);
/* The bit of one word, if the row allows it. */
int conf_access_mode(const struct conf_row *row, const char *text, unsigned *ret,
                     char why[VALUE_WHY]);
/* [a-z][a-z0-9-]{0,30} */
bool conf_is_name(const char *text);
/* May a hub file set this PostgreSQL setting, and is it one? */
int conf_parameter_name(const char *name, char why[VALUE_WHY]);
const char *conf_driver_name(enum conf_driver driver);

/* For the parsers of the types, which all look like conf_value(). */
int conf_why(char why[VALUE_WHY], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void conf_put_text(const struct conf_row *row, void *at, const char *text);
bool conf_is_domain(const char *lower);
typedef int conf_parse_fn(const struct conf_row *row, const char *text, void *at,
                          char why[VALUE_WHY]);
conf_parse_fn conf_parse_driver, conf_parse_path, conf_parse_mount, conf_parse_host,
    conf_parse_options, conf_parse_modes, conf_parse_template, conf_parse_object,
    conf_parse_lifecycle, conf_parse_out;

/* Is one of two normal paths the other, or below it? */
bool conf_paths_meet(const char *a, const char *b);

/* Put what the tree says into c, which holds the defaults, and report all that is wrong with it. */
void conf_walk(struct conf *c, const struct yaml *root, struct report *r);
/* What can be said only once all of the tree is in c: what refers to other keys. */
void conf_settle(struct conf *c, const struct yaml *root, struct report *r);

/* Add what the file did not say and bring all into the order of the schema. */
void conf_items_complete(struct conf *c);
void conf_items_free(struct conf_item *items, size_t n);
/* Copies all; value is made fit to print. Elements of a list are numbered in the path. */
void conf_item_add(struct conf *c, const char *path, const char *value, const char *origin,
                   bool at_start_only);
/* The value of a list, as YAML; the caller frees. */
char *conf_networks_text(const struct conf_networks *list);
char *conf_modes_text(unsigned modes);
