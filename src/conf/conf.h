/*
 * conf.h: the hub file, read whole into a struct or not at all.
 *
 * Every key is one row of the table in schema.c; parsing, the checks, `dorm config show` and the
 * commented file of the first start all come from that row.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct buf;
struct conf_row;

enum {
    CONF_FILE_MAX = 1 << 20, /* bytes */
    CONF_DEPTH_MAX = 16,
    CONF_PROBLEMS_MAX = 20,
    CONF_CLASSES_MAX = 32,
    CONF_PARAMETERS_MAX = 256,
    CONF_NETWORKS_MAX = 64,
    CONF_CLAIMS_MAX = 16, /* extra disks of a server */
    CONF_VOLUMES_MAX = 256,
};

/* Everything wrong with one file, in the order of the file, as far as it was looked at. */
struct conf_problems {
    unsigned n;
    bool full; /* at CONF_PROBLEMS_MAX: there may be more */
    struct conf_problem {
        unsigned line, column; /* from 1 */
        char text[320];        /* "hub.yaml:12:9: capacity: ...", fit to print */
    } at[CONF_PROBLEMS_MAX];
};

struct conf_network {
    uint8_t family; /* AF_INET or AF_INET6 */
    uint8_t bits;
    uint8_t address[16]; /* network byte order, 4 or 16 bytes; the rest, and the host part, are 0 */
};

enum conf_driver { CONF_DRIVER_IMAGE, CONF_DRIVER_DIRECTORY, CONF_DRIVER_NFS };

struct conf_class {
    char name[32];
    enum conf_driver driver;
    char pool[PATH_MAX];   /* image: absolute; "" = in the state directory */
    char path[PATH_MAX];   /* directory: absolute; required */
    char server[254];      /* nfs: required */
    char export[PATH_MAX]; /* nfs: absolute; required */
    char options[128];     /* nfs: of mount(8), "" = ours */
};

/* Bits: what a claim asks for, what a static volume offers. As in Kubernetes. */
enum conf_access {
    CONF_RWO = 1u << 0,  /* ReadWriteOnce: the pods of one server */
    CONF_RWOP = 1u << 1, /* ReadWriteOncePod: one pod at a time */
    CONF_ROX = 1u << 2,  /* ReadOnlyMany */
    CONF_RWX = 1u << 3,  /* ReadWriteMany */
};

struct conf_claim {
    char name[128];   /* template: see conf_expand(); without {username} all users share it */
    char class[32];   /* the first class when the file says none; "" when static_only */
    bool static_only; /* class: "" was written: only volumes made by hand */
    uint64_t capacity;
    unsigned modes;  /* enum conf_access; default CONF_RWO */
    char mount[256]; /* inside the pod; "" for the server's own claim */
};

/* A static volume: made by hand, bound to a claim that fits. */
struct conf_volume {
    char name[128];
    uint64_t capacity;
    unsigned modes;
    char class[32]; /* "" = none: for claims with class: "" */
    char host_path[PATH_MAX];
    char ref_hub[32], ref_name[128]; /* claimRef, its hub filled in; "" = whoever fits first */
};

struct conf_parameter {
    char name[64];
    char *value; /* owned; text as written, not yet quoted for postgresql.conf */
    struct conf_spot {
        unsigned line, column; /* from 1 */
    } name_at, value_at;
};

struct conf_server {
    unsigned image_major; /* 0 = the newest that is installed */
    struct conf_claim claim;
    struct conf_claim *extra; /* owned; extraClaims, in the order of the file */
    size_t extra_n;
    bool ephemeral;   /* lifecycle: ephemeral */
    bool network_out; /* false: none; nothing else can be said yet */
    struct {
        uint64_t every_ms; /* UINT64_MAX = never */
        uint32_t keep;
    } snapshots;
    char superuser[64]; /* template "{username}", or one name for all */
    struct {
        uint64_t memory;
        uint32_t cpu_milli;
        uint32_t pids;
    } limits;
    struct {
        uint64_t memory;
        uint32_t cpu_milli;
    } requests;
    struct conf_parameter *parameters; /* owned; in the order of the file */
    size_t parameter_n;
    uint64_t sleep_after_ms;     /* UINT64_MAX = never, here and below */
    uint64_t nap_ms;             /* 0 = auto: where this machine can give memory back */
    uint64_t sleep_connected_ms; /* with clients connected, but idle */
};

/* One line of `dorm config show`. */
struct conf_item {
    char *path;   /* "server.claim.capacity", "storage.ssd.pool", "volumes.old-pv.hostPath" */
    char *value;  /* as written in the file, or the default; fit to print */
    char *origin; /* "default" or "hub.yaml:12" */
    bool at_start_only;
    const struct conf_row *row; /* of the schema: for this folder */
    const void *at;             /* what value says, borrowed from the struct conf */
};

struct conf {
    char file[64]; /* its name, as messages have it */
    char hub[32];
    char domain[254]; /* "" = none */
    struct {
        uint16_t postgres;
        char address[46]; /* "" = see conf_listen_addresses() */
    } listen;
    struct conf_class *storage; /* owned; at least one, the first is the default */
    size_t storage_n;
    struct conf_server server;
    struct {
        struct conf_share {
            uint64_t bytes;   /* 0: percent holds */
            uint64_t percent; /* 1-100; 0: bytes holds */
        } pool, memory;       /* of the free disk; of the machine's memory */
        struct conf_range {
            uint32_t first, last;
        } uids;
        uint32_t mounted; /* sleeping volumes kept mounted */
    } machine;
    uint64_t undo_ms;
    struct conf_volume *volumes; /* owned; static ones */
    size_t volume_n;
    struct {
        int minute;            /* of the day, local time; -1 = no schedule */
        char target[PATH_MAX]; /* absolute; "" = none */
        uint32_t keep;
    } backup;
    struct conf_networks {
        struct conf_network at[CONF_NETWORKS_MAX];
        size_t n;
    } plaintext;

    struct conf_item *items; /* owned; for show, in the order of the schema */
    size_t item_n;
};

/*
 * Parse text into a new struct. name stands before every message (a path is cut to its last part).
 * On failure *ret is untouched, *problems (may be NULL) holds what is wrong, and e says the first
 * of it, with the number of the others as the hint. An empty text is a valid hub.
 */
int conf_parse(const char *text, size_t len, const char *name, struct conf **ret,
               struct conf_problems *problems, struct err *e);
/*
 * The same for a file. When it cannot be read, e says why and problems is empty: on ENOENT in
 * e->os_errno a caller may go on with conf_parse("", 0, ...), all defaults.
 */
int conf_load(const char *path, struct conf **ret, struct conf_problems *problems, struct err *e);
void conf_free(struct conf *c); /* NULL is fine */

const struct conf_class *conf_class(const struct conf *c, const char *name); /* or NULL */

enum conf_blamed { CONF_BLAME_NAME, CONF_BLAME_VALUE };
/*
 * Whoever knows PostgreSQL finds fault with a setting of a file that was parsed: added to what is
 * wrong with it, at its line. why is what is said after the name, or after the quoted value.
 */
void conf_blame(const struct conf *c, const struct conf_parameter *p, enum conf_blamed what,
                const char *why, struct conf_problems *to);
/* 0, or -1 with e as conf_parse() leaves it. */
int conf_blame_end(const struct conf *c, struct conf_problems *all, struct err *e);

/* Where to listen: one or two addresses as text, borrowed from c or static. Returns how many. */
size_t conf_listen_addresses(const struct conf *c, const char *ret[2]);

/*
 * Is the address (AF_INET with 4 bytes, AF_INET6 with 16) in the network? ::ffff:a.b.c.d counts as
 * a.b.c.d.
 */
bool conf_network_holds(const struct conf_network *n, int family, const uint8_t *address);

/* Replace {username} and {hub}. False, and at empty, when it does not fit. */
bool conf_expand(char *at, size_t size, const char *template, const char *username, const char *hub)
    __attribute__((warn_unused_result));

/*
 * What differs between two. was or now is NULL for a key (a class, a setting) that only the other
 * has. One value written in two ways (1Gi, 1024Mi) is no difference.
 */
typedef void (*conf_change_fn)(void *arg, const struct conf_item *was, const struct conf_item *now);
size_t conf_changes(const struct conf *was, const struct conf *now, conf_change_fn fn, void *arg);

/* The file of the first start: every key commented out, with its default and its help. */
bool conf_default_text(struct buf *b) __attribute__((warn_unused_result));
/* Write it unless the path exists. Returns 1 when written, 0 when something was there already. */
int conf_write_default(const char *path, struct err *e);
