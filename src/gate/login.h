/*
 * login.h: from the first byte to a proved identity.
 *
 * Nothing here wakes a server or looks anything up but by asking dormd; whoever does not exist is
 * led through the same steps as whoever does.
 */
#pragma once

#include "session.h"

struct scram;

struct login {
    struct startup start; /* as the client sent it, checked */
    bool started;         /* start is filled */
    unsigned flags;       /* requests answered already: STARTUP_NO_SSL ... */
    bool first_seen, asked, answered, proved, wake_sent;
    enum ipc_verdict verdict;
    /* owned; NULL before dormd's answer */
    char *role, *database, *verifier, *refusal, *refusal_hint;
    struct scram *scram; /* owned */
    bool plus;           /* -PLUS was offered */
    uint8_t end_point[TLS_END_POINT_MAX];
    size_t end_point_len;
    size_t server_bytes;     /* read from the server during its start-up */
    struct buf back, up;     /* from and to the server during its start-up */
    uint64_t turned_away_ms; /* when the server first was just ending; 0: never */
    bool admitted;           /* the server has said AuthenticationOk */
    bool server_refused;     /* and an error */
    bool passed_on;          /* the client has heard something of it */
};

void login_begin(struct session *s);
struct login *login_free(struct login *l); /* returns NULL; l may be NULL */
/* Ask dormd who this is, if the session waits to be asked about: at once and after a reconnect. */
void login_ask(struct session *s);
/* GATE_WHO. */
void login_who(struct session *s, const struct ipc_msg *msg);
/* Whether the client understands an error message now: not inside a TLS handshake. */
bool login_may_speak(const struct session *s);
