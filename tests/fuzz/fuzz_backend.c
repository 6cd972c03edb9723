/* A server that its user has rewritten: its messages one after the other. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pgwire/message.h"

static void want(bool condition)
{
    if (!condition)
        abort();
}

static void error(const struct msg *m)
{
    struct msg_error was, is;
    struct buf out;
    struct msg again;

    msg_read_error(m, &was);
    want(was.message[0] != '\0' && was.severity[0] != '\0' && strlen(was.sqlstate) == 5);
    buf_init(&out, 30000);
    want(msg_put_error(&out, &(struct msg_notice){.severity = was.severity,
                                                  .sqlstate = was.sqlstate,
                                                  .message = was.message,
                                                  .detail = was.detail,
                                                  .hint = was.hint}));
    want(msg_read(buf_data(&out), buf_len(&out), 30000, &again) == MSG_WHOLE);
    want(again.total == buf_len(&out));
    msg_read_error(&again, &is);
    want(is.whole && strcmp(is.severity, was.severity) == 0);
    want(strcmp(is.sqlstate, was.sqlstate) == 0);
    for (size_t i = 0; i < again.body_len; i++)
        want(again.body[i] >= 0x20 || again.body[i] == '\n' || again.body[i] == 0);
    buf_done(&out);
}

static void setting(const struct msg *m)
{
    struct msg_setting s;
    struct buf out;
    struct err e;

    if (msg_read_setting(m, &s, &e) < 0)
        return;
    buf_init(&out, 40000);
    want(msg_put_setting(&out, s.name, s.value));
    want(buf_len(&out) == m->total);
    want(memcmp(buf_data(&out) + 5, m->body, m->body_len) == 0);
    buf_done(&out);
}

static void message(const struct msg *m)
{
    struct msg_versions versions;
    struct msg_key key;
    uint32_t type;
    struct err e;
    char status;

    switch (m->type) {
    case 'R':
        (void)!msg_read_auth(m, &type, &e);
        break;
    case 'K':
        if (msg_read_key(m, &key, &e) == 0)
            want(key.key_len >= MSG_KEY_MIN && key.key_len <= MSG_KEY_MAX &&
                 key.key + key.key_len == m->body + m->body_len);
        break;
    case 'S':
        setting(m);
        break;
    case 'Z':
        if (msg_read_ready(m, &status, &e) == 0)
            want(status == 'I' || status == 'T' || status == 'E');
        break;
    case 'v':
        if (msg_read_versions(m, &versions, &e) == 0)
            want(versions.n <= m->body_len);
        break;
    case 'E':
    case 'N':
        error(m);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct msg m;

    for (;;) {
        enum msg_verdict verdict = msg_read(data, len, MSG_LOGIN_MAX, &m);

        if (verdict == MSG_INCOMPLETE)
            want(m.total > len && m.total <= MSG_LOGIN_MAX + 1);
        if (verdict != MSG_WHOLE)
            return 0;
        want(m.total >= 5 && m.total <= len && m.body_len == m.total - 5);
        message(&m);
        data += m.total;
        len -= m.total;
    }
}
