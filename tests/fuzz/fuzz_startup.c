/* First packets: first byte the flags, then the bytes of the connection. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pgwire/startup.h"

static void want(bool condition)
{
    if (!condition)
        abort();
}

static bool is_identity(const struct startup_param *p)
{
    return strcmp(p->name, "user") == 0 || strcmp(p->name, "database") == 0;
}

/* The next setting that is not who and where, which a fresh start has in another place. */
static bool next_setting(const struct startup *s, size_t *at, struct startup_param *p)
{
    while (startup_next(s, at, p))
        if (!is_identity(p))
            return true;
    return false;
}

/* Written afresh and read again it says the same, and nothing is left to negotiate. */
static void rebuild(const struct startup *s)
{
    struct startup_param a, b;
    size_t at_a = 0, at_b = 0;
    struct startup again;
    struct buf out;

    buf_init(&out, 20000);
    if (startup_put_session(&out, s, s->user, s->database)) {
        want(startup_read(buf_data(&out), buf_len(&out), 0, &again) == STARTUP_PACKET);
        want(again.need == buf_len(&out) && again.kind == STARTUP_SESSION && !again.negotiate);
        want(strcmp(again.user, s->user) == 0 && strcmp(again.database, s->database) == 0);
        while (next_setting(s, &at_a, &a)) {
            want(next_setting(&again, &at_b, &b));
            want(strcmp(a.name, b.name) == 0 && strcmp(a.value, b.value) == 0);
        }
        want(!next_setting(&again, &at_b, &b));
        startup_done(&again);
    } else {
        want(buf_len(&out) == 0);
    }
    buf_done(&out);
}

static void negotiate(const struct startup *s)
{
    struct msg_versions versions;
    struct startup_param p;
    uint32_t n = 0;
    struct buf out;
    struct msg m;
    struct err e;

    buf_init(&out, 20000);
    for (size_t at = 0; startup_next_unknown(s, &at, &p);)
        n++;
    want(s->negotiate == (n > 0 || s->version != 0x00030000));
    want(startup_put_negotiate(&out, s));
    want(msg_read(buf_data(&out), buf_len(&out), STARTUP_MAX, &m) == MSG_WHOLE);
    want(msg_read_versions(&m, &versions, &e) == 0 && versions.n == n);
    buf_done(&out);
}

static void refusal(const struct startup *s)
{
    struct msg_error error;
    struct buf out;
    struct msg m;

    buf_init(&out, 5000);
    want(startup_put_refusal(&out, s));
    if (!s->old_form) {
        want(msg_read(buf_data(&out), buf_len(&out), 5000, &m) == MSG_WHOLE);
        msg_read_error(&m, &error);
        want(error.whole && strcmp(error.sqlstate, s->why.sqlstate) == 0);
    }
    buf_done(&out);
}

static void packet(const struct startup *s, const uint8_t *bytes)
{
    struct buf out;

    switch (s->kind) {
    case STARTUP_SSL:
    case STARTUP_GSSENC:
        want(s->need == 8);
        break;
    case STARTUP_CANCEL:
        buf_init(&out, STARTUP_MAX);
        want(startup_put_cancel(&out, s->pid, s->key, s->key_len));
        want(buf_len(&out) == s->need && memcmp(buf_data(&out), bytes, s->need) == 0);
        buf_done(&out);
        break;
    case STARTUP_SESSION:
        want(s->user[0] != '\0' && s->database[0] != '\0');
        rebuild(s);
        negotiate(s);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct startup s, before;
    enum startup_verdict verdict;
    unsigned flags;

    if (len == 0)
        return 0;
    flags = data[0] & (STARTUP_NO_SSL | STARTUP_NO_GSSENC);
    verdict = startup_read(data + 1, len - 1, flags, &s);
    switch (verdict) {
    case STARTUP_MORE:
        want(s.need > len - 1 && s.need <= STARTUP_MAX);
        break;
    case STARTUP_PACKET:
        want(s.need <= len - 1 && s.need <= STARTUP_MAX);
        want(startup_read(data + 1, s.need - 1, flags, &before) == STARTUP_MORE);
        packet(&s, data + 1);
        break;
    case STARTUP_CLOSE:
        break;
    case STARTUP_REFUSE:
        refusal(&s);
        break;
    }
    startup_done(&s);
    return 0;
}
