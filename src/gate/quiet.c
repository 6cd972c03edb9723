#include "quiet.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/str.h"

enum { OWED_MS = 60000 }; /* a server that has not answered for so long is not going to */

/*
 * What a client said may not have been read, or be read and not begun: looked into, its server
 * seems idle, and frozen then it would keep it waiting for ever.
 */
static bool is_owed(const struct session *s)
{
    int unread = 0;

    return s->client_last || ioctl(s->server_fd, SIOCOUTQ, &unread) < 0 || unread > 0;
}

/*
 * Bytes that wait here for their server are not quiet, nor is a session that is just beginning:
 * its server's first words are still to come.
 */
static uint64_t quiet_for(const struct session *s, uint64_t now)
{
    uint64_t age = now - s->spoke_ms;

    if (s->stage != STAGE_RELAY || buf_len(&s->in) > 0 || stream_more(&s->client))
        return 0;
    return age < OWED_MS && is_owed(s) ? 0 : age;
}

static bool is_in(const struct session *s, const char *server)
{
    return (s->stage == STAGE_STARTING || s->stage == STAGE_RELAY) && str_is(s->server, server);
}

void quiet_asked(struct gate *g, const struct ipc_msg *msg)
{
    const char *server = msg->field[0].at;
    uint64_t now = loop_now(g->loop), quiet = UINT64_MAX;

    list_each (&g->sessions, node) {
        struct session *s = list_of(node, struct session, node);
        uint64_t ms;

        if (!is_in(s, server))
            continue;
        ms = quiet_for(s, now);
        quiet = ms < quiet ? ms : quiet;
        s->listened = true;
    }
    ipc_send(&g->dormd, -1, IPC_GATE_QUIET, server, msg->field[1].number, quiet);
}

void quiet_over(struct session *s)
{
    struct gate *g = s->gate;

    s->spoke_ms = loop_now(g->loop);
    if (!s->listened)
        return;
    list_each (&g->sessions, node) {
        struct session *other = list_of(node, struct session, node);

        if (is_in(other, s->server))
            other->listened = false;
    }
    s->listened = false;
    ipc_send(&g->dormd, -1, IPC_GATE_STIR, s->server);
}

void quiet_forget(struct gate *g)
{
    list_each (&g->sessions, node)
        list_of(node, struct session, node)->listened = false;
}
