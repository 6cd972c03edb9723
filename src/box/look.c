#include "look.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"

#include "groups.h"
#include "procstatus.h"

#define PAYLOAD_INSIDE 2 /* the first process that bubblewrap's pid 1 makes */

static int group_pids(const struct box_groups *g, const char *id, pid_t **ret_pids, struct err *e)
{
    AUTO_FREE pid_t *pids = mem_new(BOX_PIDS_MAX * sizeof(*pids));
    int n = box_groups_pids(g, id, pids, BOX_PIDS_MAX, e);

    if (n >= 0)
        *ret_pids = take_ptr(pids);
    return n;
}

static bool still_in(const struct box_groups *g, const char *id, pid_t pid)
{
    AUTO_FREE pid_t *pids = NULL;
    struct err ignored;
    int n = group_pids(g, id, &pids, &ignored);

    for (int i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/*
 * The order makes it safe against reuse: pidfd, then membership, then what the process is. Whatever
 * the number means later, the pidfd is the process that was looked at, or it is dead.
 * Returns the pidfd, or -1 when this is not the one.
 */
static int hold(const struct box_groups *g, const char *id, pid_t pid, pid_t inside, pid_t parent)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct procstatus s;
    struct err ignored;

    if (fd < 0 || !still_in(g, id, pid) || procstatus_read(pid, &s, &ignored) < 0)
        return -1;
    if (s.n_ns_pid < 2 || s.ns_pid[s.n_ns_pid - 1] != inside || s.state == 'Z')
        return -1;
    if (parent != 0 && s.parent != parent)
        return -1;
    /* Alive still: so the status just read was this process's, not a successor's. */
    if (syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0)
        return -1;
    return take_fd(&fd);
}

/* Cheap and unproven: is pid worth holding? */
static bool seems(pid_t pid, pid_t inside, pid_t parent)
{
    struct procstatus s;
    struct err ignored;

    return procstatus_read(pid, &s, &ignored) == 0 && s.n_ns_pid >= 2 &&
           s.ns_pid[s.n_ns_pid - 1] == inside && (parent == 0 || s.parent == parent);
}

static void find(const struct box_groups *g, const char *id, const pid_t *pids, int n, pid_t inside,
                 pid_t parent, pid_t *ret_pid, int *ret_fd)
{
    for (int i = 0; i < n && *ret_fd < 0; i++) {
        if (!seems(pids[i], inside, parent))
            continue;
        *ret_fd = hold(g, id, pids[i], inside, parent);
        if (*ret_fd >= 0)
            *ret_pid = pids[i];
    }
}

int box_look(const struct box_groups *g, const char *id, struct box_seen *ret_seen, struct err *e)
{
    AUTO_FREE pid_t *pids = NULL;
    int n;

    *ret_seen = (struct box_seen){.init_fd = -1, .payload_fd = -1};
    n = group_pids(g, id, &pids, e);
    if (n < 0)
        return -1;
    ret_seen->count = (size_t)n;
    find(g, id, pids, n, 1, 0, &ret_seen->init, &ret_seen->init_fd);
    if (ret_seen->init_fd >= 0)
        find(g, id, pids, n, PAYLOAD_INSIDE, ret_seen->init, &ret_seen->payload,
             &ret_seen->payload_fd);
    return 0;
}

void box_seen_done(struct box_seen *s)
{
    close_fd(&s->init_fd);
    close_fd(&s->payload_fd);
}

static int verify_one(const struct procstatus *s, uid_t uid, gid_t gid, struct err *e)
{
    for (int i = 0; i < 4; i++)
        if (s->uid[i] != uid || s->gid[i] != gid)
            return err_set(e, ERR_INTERNAL,
                           "process %d of the pod has uid %u and gid %u, not %u and %u", s->pid,
                           s->uid[i], s->gid[i], uid, gid);
    if (s->n_foreign_groups != 0)
        return err_set(e, ERR_INTERNAL, "process %d of the pod has %zu groups of the host's",
                       s->pid, s->n_foreign_groups);
    /*
     * pid 1 inside drops those of its own user namespace only after it has started the payload, so
     * on a busy host it can be seen with them. Of the host's it never had any.
     */
    if (s->ns_pid[s->n_ns_pid - 1] != 1 &&
        (s->cap_inh | s->cap_prm | s->cap_eff | s->cap_bnd | s->cap_amb) != 0)
        return err_set(e, ERR_INTERNAL, "process %d of the pod has capabilities", s->pid);
    if (s->no_new_privs != 1)
        return err_set(e, ERR_INTERNAL, "process %d of the pod could gain privileges", s->pid);
    return 0;
}

int box_verify(const struct box_groups *g, const char *id, uid_t uid, gid_t gid, struct err *e)
{
    AUTO_FREE pid_t *pids = NULL;
    int n = group_pids(g, id, &pids, e);

    if (n < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        struct procstatus s;

        if (procstatus_read(pids[i], &s, e) < 0) {
            if (e->kind == ERR_NOT_FOUND)
                continue;
            return -1;
        }
        /* Not ours any more: the number was reused, and its new owner may well be root. */
        if (verify_one(&s, uid, gid, e) < 0 && still_in(g, id, pids[i]))
            return err_prefix(e, "control group \"%s\"", id);
    }
    return 0;
}

int box_signal(const struct box_groups *g, const char *id, enum box_who who, int signal_number,
               struct err *e)
{
    struct box_seen seen;
    int r = 0, fd;

    if (box_look(g, id, &seen, e) < 0)
        return -1;
    fd = who == BOX_INIT ? seen.init_fd : seen.payload_fd;
    if (fd < 0)
        r = err_set(e, ERR_NOT_FOUND, "nothing to signal runs in control group \"%s\"", id);
    else if (syscall(SYS_pidfd_send_signal, fd, signal_number, NULL, 0) < 0)
        r = errno == ESRCH
                ? err_set(e, ERR_NOT_FOUND, "it ended before signal %d", signal_number)
                : err_set_os(e, errno, "could not send signal %d to a pod", signal_number);
    box_seen_done(&seen);
    return r;
}
