/* hub.h: everything one dormd has. Each part is written by the file named beside it, read by all.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/rand.h"
#include "loop/loop.h"

struct backups;
struct call;
struct conf;
struct control;
struct door;
struct engine;
struct events;
struct fleet;
struct keeper;
struct metrics;
struct store;
struct tools;

enum {
    HUB_KEY = 32,           /* bytes of each secret */
    HUB_RESERVED_UIDS = 16, /* the first of the range are our own programs' */
};

/* Which of the reserved uids does what. */
enum hub_uid { HUB_UID_GATE = 0, HUB_UID_BUILD = 3 };

struct hub {
    struct loop *loop;
    /* main.c */
    char state_dir[PATH_MAX], conf_path[PATH_MAX];
    const char *pods_group; /* delegated to us; NULL: ours is made at the top */
    bool default_place;     /* /var/lib/dormouse, the machine's own hub */
    struct conf *conf;
    struct store *store;
    struct engine *engine;
    struct fleet *fleet;
    uint32_t major; /* of PostgreSQL, for new servers */
    /* identity.c */
    char id[ID_SIZE];
    char run_dir[64]; /* short: sockets live in it */
    int state_fd;     /* owned */
    uint8_t password_key[HUB_KEY], mock_key[HUB_KEY];
    uint32_t uid_first, uid_last;
    uint16_t port; /* listen.c */
    struct door *door;
    struct control *control;
    struct events *events;
    struct keeper *keeper;
    struct metrics *metrics;
    struct tools *tools;
    struct backups *backups;
    struct loop_timer hourly;
    struct list verifiers; /* people.c: made, and not yet in the record */
    struct loop_timer verifiers_timer;
    /* end.c */
    bool going_down, purging;
    struct call *end_call; /* who asked for it */
};

static inline uid_t hub_uid(const struct hub *h, enum hub_uid which)
{
    return h->uid_first + (uid_t)which;
}
