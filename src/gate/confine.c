#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"

static int take_lock(int dir_fd, const char *name, int how, int *ret_fd, struct err *e)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", name);
    /* the shared one waits: dormd tries it for an instant to see whether anybody has it */
    if (flock(fd, how != LOCK_EX ? how : how | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_set_os(e, errno, "could not lock \"%s\"", name);
        (void)err_set(e, ERR_BUSY, "another gate is running here");
        return err_hint(e, "let it end first: it drains when dormd tells it to");
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static int enter(int dir_fd, struct err *e)
{
    if (fchdir(dir_fd) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return err_set_os(e, errno, "could not go into the gate's directory for good");
    return 0;
}

static int drop_bounding_set(struct err *e)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_set_os(e, errno, "could not give up capability %d", cap);
    return 0;
}

static int drop_capabilities(struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &head, none) < 0)
        return err_set_os(e, errno, "could not give up all capabilities");
    return 0;
}

static int become(uid_t uid, gid_t gid, struct err *e)
{
    uid_t r, eff, saved;

    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_set_os(e, errno, "could not become uid %u, gid %u", uid, gid);
    if (getresuid(&r, &eff, &saved) < 0 || r != uid || eff != uid || saved != uid)
        return err_set(e, ERR_INTERNAL, "uid %u was not taken on", uid);
    return 0;
}

static int close_to_others(struct err *e)
{
    struct rlimit none = {0, 0};

    /* its memory holds the private key: no core, no debugger of the same uid */
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_os(e, errno, "could not close the process to others");
    return 0;
}

int confine(const char *run_dir, uid_t uid, gid_t gid, struct confine_locks *ret_locks,
            struct err *e)
{
    AUTO_CLOSE int run_fd = -1, dir_fd = -1, lock = -1, alive = -1, keep = -1;

    run_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (run_fd < 0)
        return err_set_os(e, errno, "could not open directory \"%s\"", run_dir);
    dir_fd = openat(run_fd, "gate", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir_fd < 0)
        return err_set_os(e, errno, "could not open directory \"%s/gate\"", run_dir);
    if (take_lock(dir_fd, "gate.alive", LOCK_SH, &alive, e) < 0 ||
        take_lock(dir_fd, "gate.lock", LOCK_EX, &lock, e) < 0 ||
        take_lock(dir_fd, "gate.keep", LOCK_UN, &keep, e) < 0)
        return err_prefix(e, "could not begin in \"%s/gate\"", run_dir);
    if (enter(dir_fd, e) < 0 || drop_bounding_set(e) < 0 || become(uid, gid, e) < 0 ||
        drop_capabilities(e) < 0 || close_to_others(e) < 0)
        return -1;
    ret_locks->accepts = take_fd(&lock);
    ret_locks->alive = take_fd(&alive);
    ret_locks->keep = take_fd(&keep);
    return 0;
}

int confine_descriptors(struct err *e)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_set_os(e, errno, "could not read the limit of descriptors");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_set_os(e, errno, "could not raise the limit of descriptors");
    return limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
}
