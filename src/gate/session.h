/*
 * session.h: one client's connection, from accept to the last byte.
 *
 * The stage says what is true; `next` is what is done with what the client sends now. Any function
 * that writes to the client may find that it has gone and end the session: it is then STAGE_GONE,
 * its memory stays until the turn ends, and whoever called returns. session_alive() asks.
 */
#pragma once

#include "base/buf.h"
#include "base/log.h"
#include "frame.h"
#include "gate.h"
#include "net/stream.h"
#include "pgwire/message.h"
#include "pgwire/startup.h"

struct session;
struct login;
struct source;

enum stage {
    STAGE_LOGIN,    /* not authenticated: counted against its source */
    STAGE_WAITING,  /* authenticated: dormd wakes the server and brings a connection */
    STAGE_STARTING, /* connected to the server, whose start-up is read here */
    STAGE_RELAY,    /* client and server speak; the gate passes bytes */
    STAGE_CANCEL,   /* not a session but a request to cancel one */
    STAGE_CLOSING,  /* the client gets what is still in `out`, then the end */
    STAGE_GONE,     /* freed when this turn is over */
};

typedef void (*session_fn)(struct session *s);

enum {
    RELAY_BUF = 65536, /* what may wait for one side, each way */
    OUT_MAX = RELAY_BUF + 8192,
    SERVER_NAME_MAX = 64,
    TELL_MAX = 4096, /* with RELAY_BUF it fits into `out` */
};

struct session {
    struct gate *gate;
    struct list node;
    enum stage stage;
    session_fn next;
    struct slot *slot; /* owned */
    struct addr peer;
    uint64_t born_ms;
    struct loop_timer deadline, again;

    struct list login_node, source_node;
    struct source *source;        /* while STAGE_LOGIN or STAGE_CANCEL */
    struct login *login;          /* owned; until the relay begins */
    char server[SERVER_NAME_MAX]; /* id; empty until dormd has named it */
    bool counted;                 /* dormd was asked to let it in, and is told of its end */

    struct stream client;
    struct loop_io client_io;
    struct buf in, out; /* from and to the client */
    bool client_eof, client_hung_up, client_gone, finished;

    int server_fd; /* owned; -1 */
    struct loop_io server_io;
    bool server_eof, server_deaf, server_told;
    struct frame frame; /* of what the server has sent */
    struct buf tell;    /* notices of ours for which it must first end its message */
    uint32_t backend_pid;
    struct buf backend_key;

    uint64_t spoke_ms; /* when a byte last went either way */
    bool client_last;  /* and it was the client's */
    bool listened;     /* dormd wants to hear of the next one */

    struct slot *target; /* STAGE_CANCEL: held */

    char id_text[24];
    struct log log_session, log; /* with the server, once it is known */
};

/* The event function of every client's connection. */
void session_client_ready(struct loop_io *io, uint32_t events);
/* Takes fd on success. */
int session_new(struct gate *g, int *fd_take, const struct addr *peer, struct err *e);
static inline bool session_alive(const struct session *s)
{
    return s->stage != STAGE_GONE;
}
uint64_t session_born_ms(const struct session *s);
struct session *session_of_login(struct list *login_node);   /* NULL for NULL */
struct session *session_of_source(struct list *source_node); /* NULL for NULL */

/* From now on this is what the client's bytes are for; those already here are looked at now. */
void session_expect(struct session *s, session_fn next);
/* Nothing is expected: its bytes wait in the kernel, its leaving is noticed. */
void session_expect_nothing(struct session *s);
/* Read what there is into s->in, up to max bytes in all. False: the client has left; s is gone. */
bool session_fill(struct session *s, size_t max);
/* Write what can be written. False: the client has left; s is gone. */
bool session_flush(struct session *s);
void session_deadline(struct session *s, uint64_t ms, loop_timer_fn fn);
/* Poll for what the stage needs. */
void session_watch(struct session *s);
/* Proved who it is: no longer counted among strangers. */
void session_authenticated(struct session *s);
/* Its server and all that is known of it go; dormd is told. */
void session_detach(struct session *s);

/* FATAL to the client, then the end. */
void session_refuse(struct session *s, const char *sqlstate, const char *message, const char *hint);
void session_refuse_why(struct session *s, const struct refusal *why);
/* The end, after what is in `out`. */
void session_close(struct session *s);
/* The end, now and without a word. */
void session_drop(struct session *s);
/* From outside: FATAL if the client is between two messages, then the end. */
void session_kick(struct session *s, const char *sqlstate, const char *message, const char *hint);
