#include "login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/str.h"
#include "cancel.h"
#include "pgwire/scram.h"
#include "server.h"
#include "setup.h"

static void take_packet(struct session *s);
static void take_first_answer(struct session *s);

struct login *login_free(struct login *l)
{
    if (l == NULL)
        return NULL;
    if (l->started)
        startup_done(&l->start);
    l->scram = scram_free(l->scram);
    if (l->verifier != NULL)
        explicit_bzero(l->verifier, strlen(l->verifier));
    free(l->verifier);
    free(l->role);
    free(l->database);
    free(l->refusal);
    free(l->refusal_hint);
    buf_done(&l->back);
    buf_done(&l->up);
    free(l);
    return NULL;
}

bool login_may_speak(const struct session *s)
{
    return s->login != NULL && s->login->started;
}

/* One deadline from the first byte to the proof, however the bytes drip. */
static void too_slow(struct loop_timer *t)
{
    struct session *s = list_of(t, struct session, deadline);

    if (s->login->asked && !s->login->answered) {
        log_limited(&s->log_session, LOG_WARN_, "dormd did not say in time who this is");
        session_refuse(s, "57P03", "the hub is not ready to let anybody in",
                       "Try again in a minute.");
    } else {
        session_close(s);
    }
}

void login_begin(struct session *s)
{
    s->stage = STAGE_LOGIN;
    s->login = mem_new(sizeof(*s->login));
    buf_init(&s->login->back, MSG_LOGIN_MAX + 1);
    buf_init(&s->login->up, STARTUP_MAX);
    session_deadline(s, LOGIN_MS, too_slow);
    s->next = take_packet;
}

static void shake_hands(struct session *s)
{
    switch (stream_handshake(&s->client)) {
    case IO_OK:
        s->login->flags = STARTUP_NO_SSL | STARTUP_NO_GSSENC;
        session_expect(s, take_packet);
        return;
    case IO_AGAIN:
        return;
    case IO_EOF:
    case IO_ERR:
        session_close(s); /* OpenSSL has sent the alert */
        return;
    }
}

static void begin_tls(struct session *s, enum tls_way way)
{
    struct err e;

    if (stream_secure(&s->client, s->gate->tls, way, &e) < 0) {
        log_limited(&s->log_session, LOG_ERROR_, "%s", e.msg);
        session_drop(s);
        return;
    }
    session_expect(s, shake_hands);
}

/* The first byte alone tells TLS from our own protocol, and must then be left to TLS. */
static bool is_direct_tls(struct session *s)
{
    uint8_t byte;

    if (s->login->first_seen || addr_is_vouched(&s->peer))
        return false;
    if (recv(s->client.fd, &byte, 1, MSG_PEEK) != 1)
        return false;
    s->login->first_seen = true;
    return startup_is_tls(&byte);
}

/*
 * Whoever sends more before our answer hopes that it is read as if it had come encrypted: it was
 * put there by somebody on the way.
 */
static bool sent_ahead(struct session *s)
{
    uint8_t byte;

    return buf_len(&s->in) > 0 || recv(s->client.fd, &byte, 1, MSG_PEEK) > 0;
}

static void answer_request(struct session *s, bool is_ssl)
{
    bool yes = is_ssl && !addr_is_vouched(&s->peer);

    if (sent_ahead(s)) {
        log_limited(&s->log_session, LOG_WARN_, "bytes before the answer to an encryption request");
        session_close(s);
        return;
    }
    s->login->flags |= is_ssl ? STARTUP_NO_SSL : STARTUP_NO_GSSENC;
    if (!msg_put_ssl_answer(&s->out, yes) || !session_flush(s))
        return;
    if (buf_len(&s->out) > 0) /* the empty buffer of a new socket takes a byte, or it is broken */
        session_drop(s);
    else if (yes)
        begin_tls(s, TLS_ASKED);
}

static void want_session(struct session *s)
{
    struct login *l = s->login;

    if (l->start.negotiate && !startup_put_negotiate(&s->out, &l->start)) {
        session_drop(s);
        return;
    }
    if (s->client.ssl == NULL && !setup_plaintext_allowed(s->gate, &s->peer)) {
        session_refuse(s, "28000", "connections from your network must be encrypted",
                       "Connect with sslmode=require, or better sslmode=verify-full.");
        return;
    }
    session_expect_nothing(s);
    if (session_alive(s))
        login_ask(s);
}

static void refuse_packet(struct session *s)
{
    if (!startup_put_refusal(&s->out, &s->login->start))
        log_debug(&s->log_session, "no room for a refusal");
    session_close(s);
}

/* True when the next packet may be looked at. */
static bool take_one(struct session *s)
{
    struct login *l = s->login;

    switch (startup_read(buf_data(&s->in), buf_len(&s->in), l->flags, &l->start)) {
    case STARTUP_MORE:
        return false;
    case STARTUP_CLOSE:
        session_close(s);
        return false;
    case STARTUP_REFUSE:
        refuse_packet(s);
        return false;
    case STARTUP_PACKET:
        break;
    }
    buf_eat(&s->in, l->start.need);
    l->started = l->start.kind == STARTUP_SESSION;
    switch (l->start.kind) {
    case STARTUP_SSL:
    case STARTUP_GSSENC:
        answer_request(s, l->start.kind == STARTUP_SSL);
        return session_alive(s) && s->next == take_packet;
    case STARTUP_CANCEL:
        cancel_begin(s, l->start.pid, l->start.key, l->start.key_len);
        return false;
    case STARTUP_SESSION:
        want_session(s);
        return false;
    }
    return false;
}

static void take_packet(struct session *s)
{
    if (is_direct_tls(s)) {
        begin_tls(s, TLS_DIRECT);
        return;
    }
    do {
        if (!session_fill(s, STARTUP_MAX))
            return;
    } while (buf_len(&s->in) > 0 && take_one(s));
}

void login_ask(struct session *s)
{
    struct login *l = s->login;
    char address[ADDR_TEXT];

    l->asked = true;
    l->wake_sent = false;
    if (!s->gate->linked)
        return; /* asked as soon as dormd is back */
    ipc_send(&s->gate->dormd, -1, IPC_GATE_LOGIN, s->slot->id, l->start.user, l->start.database,
             addr_text(address, &s->peer), s->peer.uid);
    if (l->proved && l->answered)
        server_wake(s);
}

static void fail_login(struct session *s, const struct refusal *why)
{
    char address[ADDR_TEXT];

    log_limited(&s->log_session, LOG_INFO_, "login from %s failed: %s",
                addr_text(address, &s->peer), why->message);
    session_refuse_why(s, why);
}

static void proved(struct session *s)
{
    struct login *l = s->login;
    char address[ADDR_TEXT];

    l->proved = true;
    l->scram = scram_free(l->scram);
    session_authenticated(s);
    log_info(&s->log, "login of \"%s\" to \"%s\" from %s%s", l->start.user, l->start.database,
             addr_text(address, &s->peer), s->client.ssl == NULL ? " without TLS" : "");
    if (!msg_put_auth_ok(&s->out)) {
        session_drop(s);
        return;
    }
    if (l->refusal[0] != '\0') {
        session_refuse(s, "28000", l->refusal, l->refusal_hint);
        return;
    }
    server_wait(s);
}

static void step(struct session *s, const uint8_t *data, size_t len)
{
    struct login *l = s->login;
    struct refusal why;
    const char *reply = NULL;

    switch (scram_step(l->scram, data, len, &reply, &why)) {
    case SCRAM_CONTINUE:
        if (!msg_put_sasl_continue(&s->out, reply, strlen(reply)))
            session_drop(s);
        return;
    case SCRAM_OK:
        if (!msg_put_sasl_final(&s->out, reply, strlen(reply))) {
            session_drop(s);
            return;
        }
        proved(s);
        return;
    case SCRAM_FAILED:
        fail_login(s, &why);
        return;
    }
}

/* The client's next message must be a 'p', whole: 1, 0 when more must come, -1 s was refused. */
static int read_answer(struct session *s, struct msg *m)
{
    char text[80];
    enum msg_verdict verdict;

    if (!session_fill(s, SASL_MESSAGE_MAX + 1) || buf_len(&s->in) == 0)
        return 0;
    verdict = msg_read(buf_data(&s->in), buf_len(&s->in), SASL_MESSAGE_MAX, m);
    if (*buf_data(&s->in) != 'p') {
        (void)snprintf(text, sizeof(text), "expected SASL response, got message type %u",
                       *buf_data(&s->in));
        session_refuse(s, "08P01", text, NULL);
        return -1;
    }
    switch (verdict) {
    case MSG_INCOMPLETE:
        return 0;
    case MSG_BAD:
        session_refuse(s, "08P01", "invalid message length", NULL);
        return -1;
    case MSG_WHOLE:
        return 1;
    }
    return -1;
}

static void take_answer(struct session *s)
{
    struct refusal why;
    const uint8_t *data = NULL;
    size_t len = 0, total;
    struct msg m;

    if (read_answer(s, &m) != 1)
        return;
    if (msg_read_sasl(&m, &data, &len, &why) < 0) {
        fail_login(s, &why);
        return;
    }
    total = m.total;
    step(s, data, len);
    if (session_alive(s)) {
        buf_eat(&s->in, total);
        buf_rest(&s->in);
    }
}

static void begin_scram(struct session *s, bool plus)
{
    struct login *l = s->login;

    l->scram = scram_new(&(struct scram_setup){
        .verifier = l->verdict == IPC_WHO_PASSWORD ? l->verifier : NULL,
        .mock_key = s->gate->mock_key,
        .mock_key_len = s->gate->mock_key_len,
        .name = l->start.user,
        .plus = plus,
        .cert_hash = l->plus ? l->end_point : NULL,
        .cert_hash_len = l->end_point_len,
    });
}

static void take_first_answer(struct session *s)
{
    struct sasl_initial initial;
    struct refusal why;
    struct msg m;

    if (read_answer(s, &m) != 1)
        return;
    if (msg_read_sasl_initial(&m, s->login->plus, &initial, &why) < 0) {
        fail_login(s, &why);
        return;
    }
    begin_scram(s, initial.plus);
    step(s, initial.data, initial.len);
    if (!session_alive(s) || s->stage != STAGE_LOGIN)
        return;
    buf_eat(&s->in, m.total);
    session_expect(s, take_answer);
}

static void keep_answer(struct session *s, const struct ipc_msg *msg)
{
    struct login *l = s->login;

    l->verdict = (enum ipc_verdict)msg->field[1].number;
    memcpy(s->server, msg->field[2].at, msg->field[2].len + 1); /* its length was checked */
    s->log.value = s->server[0] == '\0' ? NULL : s->server;
    l->role = mem_copy(msg->field[3].at);
    l->database = mem_copy(msg->field[4].at);
    l->verifier = mem_copy(msg->field[5].at);
    l->refusal = mem_copy(msg->field[6].at);
    l->refusal_hint = mem_copy(msg->field[7].at);
    l->answered = true;
}

/* A new dormd was asked again about somebody who has begun to log in, or is in: same answer? */
static void compare_answer(struct session *s, const struct ipc_msg *msg)
{
    struct login *l = s->login;

    if (msg->field[1].number == l->verdict && str_is(msg->field[2].at, s->server) &&
        str_is(msg->field[3].at, l->role) && str_is(msg->field[4].at, l->database) &&
        str_is(msg->field[5].at, l->verifier) && str_is(msg->field[6].at, l->refusal))
        return;
    session_refuse(s, "57P03", "your account was changed while you were logging in",
                   "Connect again.");
}

void login_who(struct session *s, const struct ipc_msg *msg)
{
    struct login *l = s->login;

    if (l == NULL || !l->asked || msg->field[1].number > IPC_WHO_TRUSTED ||
        msg->field[2].len >= SERVER_NAME_MAX)
        return;
    if (l->answered) {
        compare_answer(s, msg);
        return;
    }
    keep_answer(s, msg);
    if (l->verdict == IPC_WHO_TRUSTED) {
        proved(s);
        return;
    }
    l->end_point_len = stream_end_point(&s->client, l->end_point);
    l->plus = l->end_point_len > 0;
    if (!msg_put_auth_sasl(&s->out, l->plus)) {
        session_drop(s);
        return;
    }
    session_expect(s, take_first_answer);
}
