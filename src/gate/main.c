/* dorm-gate: the front door. Started by dormd as root, it is nobody before it reads a byte. */
#include <inttypes.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"
#include "confine.h"
#include "gate.h"
#include "link.h"
#include "session.h"

enum { LAG_EVERY_MS = 1000 };

void gate_check_drained(struct gate *g)
{
    if (g->draining && g->sessions_n == 0)
        loop_quit(g->loop);
}

static void end_all(struct gate *g)
{
    gate_drain(g);
    list_each (&g->sessions, node)
        session_kick(list_of(node, struct session, node), "57P01",
                     "terminating connection due to administrator command",
                     "The hub is being stopped; your server and data are kept.");
}

static void report(const struct gate *g)
{
    struct mallinfo2 memory = mallinfo2();

    log_info(NULL,
             "%zu sessions, %zu of them logging in; %" PRIu64 " accepted, %" PRIu64
             " shed; %zu KiB in use; worst lag %" PRIu64 " ms",
             g->sessions_n, g->logins_n, g->accepted, g->shed,
             (memory.uordblks + memory.hblkhd) / 1024, g->lag_worst_ms);
}

static void take_signal(void *owner, int number)
{
    struct gate *g = owner;

    if (number == SIGTERM) {
        end_all(g);
    } else if (number == SIGUSR1) {
        report(g);
        g->lag_worst_ms = 0;
    }
}

static void measure_lag(struct loop_timer *t)
{
    struct gate *g = list_of(t, struct gate, lag_timer);
    uint64_t now = loop_now(g->loop), lag = now - g->lag_due_ms;

    if (lag > g->lag_worst_ms)
        g->lag_worst_ms = lag;
    g->lag_due_ms = now + LAG_EVERY_MS;
    loop_timer_set(g->loop, t, g->lag_due_ms, measure_lag);
}

static int prepare(struct gate *g, struct err *e)
{
    static const int signals[] = {SIGTERM, SIGUSR1, SIGINT, SIGHUP};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    list_init(&g->listeners);
    list_init(&g->sessions);
    list_init(&g->logins);
    g->loop = loop_new(e);
    if (g->loop == NULL)
        return -1;
    (void)sigaction(SIGPIPE, &ignore, NULL); /* OpenSSL writes with write() */
    if (loop_signals(g->loop, signals, sizeof(signals) / sizeof(signals[0]), take_signal, g, e) < 0)
        return -1;
    g->lag_due_ms = loop_now(g->loop) + LAG_EVERY_MS;
    loop_timer_set(g->loop, &g->lag_timer, g->lag_due_ms, measure_lag);
    return 0;
}

static void done(struct gate *g)
{
    if (g->loop == NULL)
        return;
    link_end(g);
    tls_free(g->tls);
    map_done(&g->sources);
    slots_done(&g->slots);
    loop_free(g->loop);
    close_fd(&g->locks.accepts);
    close_fd(&g->locks.keep);
    close_fd(&g->locks.alive);
    explicit_bzero(g->mock_key, sizeof(g->mock_key));
}

static int serve(int argc, char **argv, struct err *e)
{
    static struct gate gate = {.locks = {-1, -1, -1}};
    uint64_t uid, gid, level = LOG_INFO_;
    int descriptors, r;

    if (argc < 4 || argc > 5 || !str_u64(argv[2], &uid) || !str_u64(argv[3], &gid) || uid == 0 ||
        uid >= UINT32_MAX || gid >= UINT32_MAX || (argc == 5 && !str_u64(argv[4], &level)) ||
        level > LOG_DEBUG_)
        return err_set(e, ERR_INPUT, "usage: dorm-gate RUN-DIRECTORY UID GID [LOG-LEVEL]");
    log_open("dorm-gate", (enum log_level)level);
    descriptors = confine_descriptors(e);
    if (descriptors < 0 || confine(argv[1], (uid_t)uid, (gid_t)gid, &gate.locks, e) < 0)
        return -1;
    /* two descriptors a session; those in front of the login must never take the last */
    gate.sessions_max =
        descriptors > 2 * FDS_RESERVED ? (size_t)(descriptors - FDS_RESERVED) / 2 : 1;
    /* no configuration file: there is none where this process lives */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return err_set(e, ERR_INTERNAL, "could not start OpenSSL");
    r = prepare(&gate, e);
    if (r == 0) {
        link_begin(&gate);
        r = loop_run(gate.loop, e);
        log_info(NULL, "the last session has ended");
    }
    done(&gate);
    return r;
}

int main(int argc, char **argv)
{
    struct err e = {0};

    if (serve(argc, argv, &e) == 0)
        return EXIT_SUCCESS;
    log_err(NULL, LOG_ERROR_, &e);
    return err_exit(e.kind);
}
