/*
 * gate.h: the state of dorm-gate, PostgreSQL's front door.
 *
 * A stranger is let in by password first, then dormd is asked to wake the server and to bring a
 * connection to it. The gate itself can open nothing: it lives in an empty directory, as nobody.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "confine.h"
#include "ipc/conn.h"
#include "loop/loop.h"
#include "net/addr.h"
#include "net/tls.h"
#include "slot.h"

enum {
    LOGINS_MAX = 1000,          /* connections that have not proved who they are */
    LOGINS_OF_SOURCE_MAX = 500, /* of one address: a class may share one */
    LOGIN_MS = 20000,           /* from accept to having proved it: a crowd takes its time */
    WAKE_MS = 120000,           /* until dormd has brought the server's connection */
    START_MS = 60000,           /* until that server is ready for queries */
    FLUSH_MS = 5000,            /* to take the last words */
    LINGER_MS = 1000,           /* to hang up after them */
    MOCK_KEY_MAX = 64,
    NETWORKS_MAX = 60,
    FDS_RESERVED = 192, /* listeners, those of pods too, dormd, and what it may be handing over */
};

struct gate {
    struct loop *loop;

    /* what dormd has told us */
    struct tls *tls; /* owned; NULL until it came */
    uint8_t mock_key[MOCK_KEY_MAX];
    size_t mock_key_len;
    struct cidr plaintext[NETWORKS_MAX]; /* where connections without TLS may come from */
    size_t plaintext_n;

    struct ipc_conn dormd;
    bool linked, link_lost_said;
    struct loop_timer link_timer;

    struct list listeners;
    struct loop_timer door_timer;
    bool door_paused;

    struct list sessions;
    size_t sessions_n, sessions_max;
    struct list logins; /* those not authenticated, oldest first */
    size_t logins_n;
    struct map sources;
    struct slots slots;
    bool retired, draining; /* accepts no more; has no listeners any more, either */
    struct confine_locks locks;

    struct loop_timer lag_timer;
    uint64_t lag_due_ms, lag_worst_ms;
    uint64_t accepted, shed;
};

/* True when there is nobody left to serve: the program may end. */
void gate_check_drained(struct gate *g);
