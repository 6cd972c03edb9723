#include "eaters.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "groups.h"
#include "procstatus.h"

#define BIT(signal_number) (UINT64_C(1) << ((signal_number)-1))

struct box_eater box_eater_now(pid_t pid)
{
    struct box_eater eater = {.pid = pid};
    struct procstatus s;
    struct err ignored;

    if (procstatus_read(pid, &s, &ignored) == 0) {
        eater.own = s.rss_anon;
        eater.shared = s.rss_shmem;
    }
    return eater;
}

static bool next_number(char **state, uint64_t *ret)
{
    const char *word = strtok_r(NULL, " ", state);

    return word != NULL && str_u64(word, ret);
}

/* statm and not status: it is a fifth of the work, and there may be thousands. */
static struct box_eater rough(pid_t pid)
{
    AUTO_FREE char *text = NULL;
    struct box_eater eater = {.pid = pid};
    char *state = NULL;
    uint64_t resident, shared, page = (uint64_t)sysconf(_SC_PAGESIZE);
    char path[32];
    struct err ignored;

    (void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    if (fd_read_file(-1, path, 256, &text, &ignored) < 0 || strtok_r(text, " ", &state) == NULL ||
        !next_number(&state, &resident) || !next_number(&state, &shared))
        return eater;
    eater.shared = shared * page;
    eater.own = resident > shared ? (resident - shared) * page : 0;
    return eater;
}

int box_eaters(const struct box_groups *g, const char *id, struct box_eater *ret, size_t max,
               struct err *e)
{
    AUTO_FREE pid_t *pids = mem_new(BOX_PIDS_MAX * sizeof(*pids));
    int n = box_groups_pids(g, id, pids, max < BOX_PIDS_MAX ? max : BOX_PIDS_MAX, e);

    for (int i = 0; i < n; i++)
        ret[i] = rough(pids[i]);
    return n;
}

static bool still_in(const struct box_groups *g, const char *id, pid_t pid)
{
    AUTO_FREE pid_t *pids = mem_new(BOX_PIDS_MAX * sizeof(*pids));
    struct err ignored;
    int n = box_groups_pids(g, id, pids, BOX_PIDS_MAX, &ignored);

    for (int i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* PostgreSQL's own helpers ignore one of the two, or both: its checkpointer SIGTERM, its start-up
 * process and its archiver SIGINT. */
static enum box_eater_kind kind_of(const struct procstatus *s, pid_t payload)
{
    const uint64_t asked = BIT(SIGINT) | BIT(SIGTERM);

    if (s->pid == payload || s->ns_pid[s->n_ns_pid - 1] == 1)
        return BOX_EATER_PILLAR;
    if (s->parent != payload)
        return BOX_EATER_PROGRAM;
    return (s->sig_caught & asked) == asked ? BOX_EATER_SESSION : BOX_EATER_PILLAR;
}

/* The order makes it safe against reuse of the number: pidfd, membership, what it is, alive. */
int box_eater_hold(const struct box_groups *g, const char *id, pid_t pid, pid_t payload,
                   struct box_eater_held *ret, struct err *e)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct procstatus s;

    if (fd < 0 || !still_in(g, id, pid))
        return err_set(e, ERR_NOT_FOUND, "process %d has left the pod", pid);
    if (procstatus_read(pid, &s, e) < 0)
        return -1;
    if (s.n_ns_pid < 2 || s.state == 'Z' || syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0)
        return err_set(e, ERR_NOT_FOUND, "process %d has left the pod", pid);
    *ret = (struct box_eater_held){
        .kind = kind_of(&s, payload),
        .inside = s.ns_pid[s.n_ns_pid - 1],
        .dying = ((s.sig_pending[0] | s.sig_pending[1]) & BIT(SIGKILL)) != 0,
        .fd = take_fd(&fd),
    };
    return 0;
}

void box_eater_hurry(const struct box_eater_held *held, pid_t pid, bool on)
{
    if (syscall(SYS_pidfd_send_signal, held->fd, 0, NULL, 0) == 0)
        (void)setpriority(PRIO_PROCESS, (id_t)pid, on ? -20 : 0);
}
