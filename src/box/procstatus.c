#include "procstatus.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/fd.h"

/* What is left of one line's value. */
struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
}

static bool at_end(struct cursor *c)
{
    skip_blanks(c);
    return c->at == c->end;
}

static bool number(struct cursor *c, unsigned base, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *start;

    skip_blanks(c);
    for (start = c->at; c->at < c->end; c->at++) {
        char ch = *c->at;
        unsigned digit;

        if (ch >= '0' && ch <= '9')
            digit = (unsigned)(ch - '0');
        else if (base == 16 && ch >= 'a' && ch <= 'f')
            digit = (unsigned)(ch - 'a') + 10;
        else
            break;
        if (value > (max - digit) / base)
            return false;
        value = value * base + digit;
    }
    if (c->at == start || (c->at < c->end && *c->at != ' ' && *c->at != '\t'))
        return false;
    *ret_value = value;
    return true;
}

static bool read_pid(struct cursor *c, pid_t *ret_pid)
{
    uint64_t value;

    if (!number(c, 10, INT_MAX, &value))
        return false;
    *ret_pid = (pid_t)value;
    return true;
}

static bool read_four(struct cursor *c, uint32_t at[4])
{
    for (int i = 0; i < 4; i++) {
        uint64_t value;

        if (!number(c, 10, UINT32_MAX, &value))
            return false;
        at[i] = (uint32_t)value;
    }
    return true;
}

static bool read_groups(struct cursor *c, struct procstatus *s)
{
    while (!at_end(c)) {
        uint64_t value;

        if (!number(c, 10, UINT32_MAX, &value))
            return false;
        s->n_groups++;
        if (value != s->gid[0]) /* the Gid line comes before */
            s->n_foreign_groups++;
    }
    return true;
}

static bool read_ns_pids(struct cursor *c, struct procstatus *s)
{
    while (!at_end(c)) {
        if (s->n_ns_pid == PROCSTATUS_LEVELS || !read_pid(c, &s->ns_pid[s->n_ns_pid]))
            return false;
        s->n_ns_pid++;
    }
    return s->n_ns_pid > 0;
}

static bool read_small(struct cursor *c, unsigned *ret_value)
{
    uint64_t value;

    if (!number(c, 10, 255, &value))
        return false;
    *ret_value = (unsigned)value;
    return true;
}

/* "  1234 kB" */
static bool read_kilobytes(struct cursor *c, uint64_t *ret_bytes)
{
    uint64_t value;

    if (!number(c, 10, UINT64_MAX / 1024, &value) || c->end - c->at < 3 ||
        memcmp(c->at, " kB", 3) != 0)
        return false;
    c->at += 3;
    *ret_bytes = value * 1024;
    return true;
}

enum field {
    STATE,
    PID,
    PARENT,
    UID,
    GID,
    GROUPS,
    NSPID,
    INH,
    PRM,
    EFF,
    BND,
    AMB,
    NNP,
    SECC,
    CAUGHT,
    PENDING,
    SHARED,
    ANON,
    SHMEM,
    N
};

static const char *const names[N] = {
    [STATE] = "State",    [PID] = "Pid",       [PARENT] = "PPid",    [UID] = "Uid",
    [GID] = "Gid",        [GROUPS] = "Groups", [NSPID] = "NSpid",    [INH] = "CapInh",
    [PRM] = "CapPrm",     [EFF] = "CapEff",    [BND] = "CapBnd",     [AMB] = "CapAmb",
    [NNP] = "NoNewPrivs", [SECC] = "Seccomp",  [CAUGHT] = "SigCgt",  [PENDING] = "SigPnd",
    [SHARED] = "ShdPnd",  [ANON] = "RssAnon",  [SHMEM] = "RssShmem",
};

static bool read_field(enum field field, struct cursor *c, struct procstatus *s)
{
    switch (field) {
    case STATE:
        if (at_end(c))
            return false;
        s->state = *c->at;
        c->at = c->end; /* "S (sleeping)" */
        return true;
    case PID:
        return read_pid(c, &s->pid);
    case PARENT:
        return read_pid(c, &s->parent);
    case UID:
        return read_four(c, s->uid);
    case GID:
        return read_four(c, s->gid);
    case GROUPS:
        return read_groups(c, s);
    case NSPID:
        return read_ns_pids(c, s);
    case INH:
        return number(c, 16, UINT64_MAX, &s->cap_inh);
    case PRM:
        return number(c, 16, UINT64_MAX, &s->cap_prm);
    case EFF:
        return number(c, 16, UINT64_MAX, &s->cap_eff);
    case BND:
        return number(c, 16, UINT64_MAX, &s->cap_bnd);
    case AMB:
        return number(c, 16, UINT64_MAX, &s->cap_amb);
    case NNP:
        return read_small(c, &s->no_new_privs);
    case SECC:
        return read_small(c, &s->seccomp);
    case CAUGHT:
        return number(c, 16, UINT64_MAX, &s->sig_caught);
    case PENDING:
        return number(c, 16, UINT64_MAX, &s->sig_pending[0]);
    case SHARED:
        return number(c, 16, UINT64_MAX, &s->sig_pending[1]);
    case ANON:
        return read_kilobytes(c, &s->rss_anon);
    case SHMEM:
        return read_kilobytes(c, &s->rss_shmem);
    case N:
        break;
    }
    return false;
}

/* Which field a line begins with; N for one that is none of ours. */
static enum field line_field(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);

    for (size_t i = 0; colon != NULL && i < N; i++)
        if (strlen(names[i]) == (size_t)(colon - line) &&
            memcmp(line, names[i], (size_t)(colon - line)) == 0)
            return (enum field)i;
    return N;
}

int procstatus_parse(const char *text, size_t len, struct procstatus *ret_status, struct err *e)
{
    struct procstatus s = {.state = '?'};
    unsigned seen = 0;

    for (size_t at = 0; at < len;) {
        const char *line = text + at, *newline = memchr(line, '\n', len - at);
        size_t line_len = newline == NULL ? len - at : (size_t)(newline - line);
        enum field field = line_field(line, line_len);
        struct cursor c = {.end = line + line_len};

        at += line_len + 1;
        if (field == N)
            continue;
        c.at = line + strlen(names[field]) + 1;
        if ((seen & (1u << field)) != 0 || (field == GROUPS && (seen & (1u << GID)) == 0) ||
            !read_field(field, &c, &s) || !at_end(&c))
            return err_set(e, ERR_PEER, "a process status has a bad line \"%s\"", names[field]);
        seen |= 1u << field;
    }
    for (size_t i = 0; i < N; i++)
        if (i < CAUGHT && (seen & (1u << i)) == 0)
            return err_set(e, ERR_PEER, "a process status has no line \"%s\"", names[i]);
    *ret_status = s;
    return 0;
}

int procstatus_read(pid_t pid, struct procstatus *ret_status, struct err *e)
{
    AUTO_FREE char *text = NULL;
    char path[32];
    int len;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    len = fd_read_file(-1, path, PROCSTATUS_SIZE, &text, e);
    if (len < 0) {
        if (e->os_errno == ENOENT || e->os_errno == ESRCH)
            return err_set(e, ERR_NOT_FOUND, "there is no process %d", pid);
        return -1;
    }
    if (procstatus_parse(text, (size_t)len, ret_status, e) < 0)
        return err_prefix(e, "process %d", pid);
    return 0;
}
