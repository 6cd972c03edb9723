#include <unistd.h>

#include "base/mem.h"
#include "box/procstatus.h"
#include "t.h"

#define STATUS                                                                                     \
    "Name:\tpost\\nUid:\\t0\nUmask:\t0022\nState:\tS "                                             \
    "(sleeping)\nTgid:\t501\nNgid:\t0\nPid:\t501\n"                                                \
    "PPid:\t499\nTracerPid:\t0\nUid:\t231001\t231002\t231003\t231004\nGid:\t7\t7\t7\t8\n"          \
    "RssAnon:\t    1234 "                                                                          \
    "kB\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\nSigCgt:\t0000000000004002\nFDSize:" \
    "\t64\nGroups:\t7 9 "                                                                          \
    "\nNStgid:\t501\t2\nNSpid:\t501\t40\t2\nCapInh:\t0000000000000000\n"                           \
    "CapPrm:\t0000000000000001\nCapEff:\tffffffffffffffff\nCapBnd:\t000001ffffffffff\n"            \
    "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"

static int parse(const char *text, struct procstatus *s, struct err *e)
{
    return procstatus_parse(text, strlen(text), s, e);
}

/* The status with one piece replaced. */
static enum err_kind with(const char *piece, const char *other)
{
    const char *at = strstr(STATUS, piece);
    char *text = mem_printf("%.*s%s%s", (int)(at - STATUS), STATUS, other, at + strlen(piece));
    struct procstatus s;
    struct err e;
    int r = parse(text, &s, &e);

    free(text);
    return r < 0 ? e.kind : ERR_NONE;
}

static void every_field_is_read(void)
{
    struct procstatus s;
    struct err e;

    T_EQ(parse(STATUS, &s, &e), 0);
    T_EQ(s.state, 'S');
    T_EQ(s.pid, 501);
    T_EQ(s.parent, 499);
    for (unsigned i = 0; i < 4; i++)
        T_EQ(s.uid[i], 231001 + i);
    T_EQ(s.gid[0], 7);
    T_EQ(s.gid[3], 8);
    T_EQ(s.n_groups, 2);
    T_EQ(s.n_foreign_groups, 1);
    T_EQ(s.n_ns_pid, 3);
    T_EQ(s.ns_pid[0], 501);
    T_EQ(s.ns_pid[2], 2);
    T_EQ(s.cap_prm, 1);
    T_OK(s.cap_eff == UINT64_MAX);
    T_OK(s.cap_bnd == 0x1ffffffffff);
    T_EQ(s.no_new_privs, 1);
    T_EQ(s.seccomp, 2);
    T_EQ(s.sig_caught, 0x4002);
    T_EQ(s.sig_pending[1], 0x100);
    T_EQ(s.rss_anon, 1234 * 1024);
    T_EQ(s.rss_shmem, 0);
}

static void a_line_that_is_missing_twice_or_odd_is_refused(void)
{
    T_EQ(with("PPid:\t499\n", ""), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t499\nPPid:\t1\n"), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t\n"), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t-1\n"), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t499x\n"), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t499 1\n"), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t2147483648\n"), ERR_PEER);
    T_EQ(with("PPid:\t499\n", "PPid:\t2147483647\n"), ERR_NONE);
    T_EQ(with("\t231004\n", "\n"), ERR_PEER);
    T_EQ(with("\t231004\n", "\t4294967296\n"), ERR_PEER);
    T_EQ(with("\t231004\n", "\t4294967295\n"), ERR_NONE);
    T_EQ(with("Groups:\t7 9 \n", "Groups:\t \n"), ERR_NONE);
    T_EQ(with("NSpid:\t501\t40\t2\n", "NSpid:\n"), ERR_PEER);
    T_EQ(with("ffffffffffffffff", "10000000000000000"), ERR_PEER);
    T_EQ(with("ffffffffffffffff", "fffg"), ERR_PEER);
}

static void namespaces_nested_too_deep_are_refused(void)
{
    char line[256] = "NSpid:";

    for (size_t i = 0, n = strlen(line); i < PROCSTATUS_LEVELS; i++)
        n += (size_t)snprintf(line + n, sizeof(line) - n, "\t1");
    T_EQ(with("NSpid:\t501\t40\t2", line), ERR_NONE);
    (void)snprintf(line + strlen(line), sizeof(line) - strlen(line), "\t1");
    T_EQ(with("NSpid:\t501\t40\t2", line), ERR_PEER);
}

static void our_own_status_is_read(void)
{
    struct procstatus s;
    struct err e;

    T_EQ(procstatus_read(getpid(), &s, &e), 0);
    T_EQ(s.pid, getpid());
    T_EQ(s.parent, getppid());
    T_EQ(s.uid[1], geteuid());
    T_EQ(s.state, 'R');
}

static void no_such_process_is_told_apart(void)
{
    struct procstatus s;
    struct err e;

    T_EQ(procstatus_read(0x7ffffffe, &s, &e), -1);
    T_EQ(e.kind, ERR_NOT_FOUND);
}

int main(void)
{
    T_RUN(every_field_is_read);
    T_RUN(a_line_that_is_missing_twice_or_odd_is_refused);
    T_RUN(namespaces_nested_too_deep_are_refused);
    T_RUN(our_own_status_is_read);
    T_RUN(no_such_process_is_told_apart);
    return t_end();
}
