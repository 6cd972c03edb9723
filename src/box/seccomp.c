#include "seccomp.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"

#include "seccomp-table.h"

/* libseccomp's own SCMP_A0() leaves a member out, which clang warns of. */
#define ARG_IS(n, value) ((struct scmp_arg_cmp){(n), SCMP_CMP_EQ, (scmp_datum_t)(value), 0})

#define NEW_NAMESPACES                                                                       \
    ((uint64_t)CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
     CLONE_NEWPID | CLONE_NEWNET)

/* Numbers are common to all architectures from 424 on, and 512-547 are x32's. */
#define FIRST_NEW_CALL 451
#define LAST_NEW_CALL  511
#define FILTER_MAX     (4096 * 8) /* what the kernel takes: BPF_MAXINSNS of 8 bytes */

static void drop_context(scmp_filter_ctx *ctx)
{
    if (*ctx != NULL)
        seccomp_release(*ctx);
}

static int check(int r, const char *what, struct err *e)
{
    if (r < 0 && r != -EEXIST)
        return err_set_os(e, -r, "could not add %s to the system-call filter", what);
    return 0;
}

static int allow_if(scmp_filter_ctx ctx, int call, const char *name, struct scmp_arg_cmp arg,
                    struct err *e)
{
    return check(seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &arg), name, e);
}

static int add_table(scmp_filter_ctx ctx, struct err *e)
{
    for (size_t i = 0; i < sizeof(seccomp_names) / sizeof(seccomp_names[0]); i++) {
        const struct seccomp_name *n = &seccomp_names[i];
        int call = seccomp_syscall_resolve_name(n->name);

        if (call == __NR_SCMP_ERROR) {
            if (n->optional)
                continue;
            return err_set(e, ERR_MISSING, "libseccomp does not know the system call %s", n->name);
        }
        /* Calls that this architecture does not have are accepted and mean nothing. */
        if (check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0), n->name, e) < 0)
            return -1;
    }
    return 0;
}

/*
 * A libc newer than libseccomp tries calls that the table cannot name; it falls back only when they
 * are said not to exist. "Not permitted" would reach the program.
 */
static int add_unknown(scmp_filter_ctx ctx, struct err *e)
{
    for (int call = FIRST_NEW_CALL; call <= LAST_NEW_CALL; call++) {
        AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
        bool listed = false;

        for (size_t i = 0; name != NULL && i < sizeof(seccomp_names) / sizeof(seccomp_names[0]);
             i++)
            listed = listed || seccomp_syscall_resolve_name(seccomp_names[i].name) == call;
        if (!listed &&
            check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), call, 0), "a new call", e) < 0)
            return -1;
    }
    return 0;
}

static int add_sockets(scmp_filter_ctx ctx, struct err *e)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (allow_if(ctx, SCMP_SYS(socket), "socket", ARG_IS(0, families[i]), e) < 0)
            return -1;
    if (check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, ARG_IS(0, AF_NETLINK),
                               ARG_IS(2, NETLINK_ROUTE)),
              "socket", e) < 0)
        return -1;
    return allow_if(ctx, SCMP_SYS(socketpair), "socketpair", ARG_IS(0, AF_UNIX), e);
}

/*
 * Every request but TIOCSTI and TIOCLINUX, which type into a terminal that somebody else reads. The
 * kernel looks at 32 bits only, so a comparison of all 64 could be passed by setting bit 32; and
 * libseccomp takes one comparison per argument. So: a request is another one when it differs in a
 * bit where the two agree, or has one of the six other patterns where they do not.
 */
static int add_ioctl(scmp_filter_ctx ctx, struct err *e)
{
    const uint32_t differ = TIOCSTI ^ TIOCLINUX, agree = ~differ;

    for (uint32_t bit = 1; bit != 0; bit <<= 1)
        if ((agree & bit) != 0 &&
            allow_if(ctx, SCMP_SYS(ioctl), "ioctl",
                     SCMP_A1(SCMP_CMP_MASKED_EQ, bit, ~(uint32_t)TIOCSTI & bit), e) < 0)
            return -1;
    /* sub walks through every subset of the bits in differ. */
    for (uint32_t sub = differ;; sub = (sub - 1) & differ) {
        uint32_t request = (TIOCSTI & agree) | sub;

        if (request != TIOCSTI && request != TIOCLINUX &&
            allow_if(ctx, SCMP_SYS(ioctl), "ioctl",
                     SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, request), e) < 0)
            return -1;
        if (sub == 0)
            return 0;
    }
}

/* Allow a call whose argument differs from value in at least one of the 32 bits the kernel reads.
 */
static int allow_unless(scmp_filter_ctx ctx, int call, const char *name, unsigned arg,
                        uint32_t value, struct err *e)
{
    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
        struct scmp_arg_cmp differs = {
            .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = bit, .datum_b = ~value & bit};

        if (check(seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &differs), name, e) < 0)
            return -1;
    }
    return 0;
}

/*
 * SO_LINGER makes the last close of a socket wait. A socket can be sent to a process outside of the
 * pod, where the last close is that process's: it would wait for as long as the pod wished.
 */
static int add_setsockopt(scmp_filter_ctx ctx, struct err *e)
{
    int call = SCMP_SYS(setsockopt);

    return allow_unless(ctx, call, "setsockopt", 1, SOL_SOCKET, e) < 0 ||
                   allow_unless(ctx, call, "setsockopt", 2, SO_LINGER, e) < 0
               ? -1
               : 0;
}

static int add_conditional(scmp_filter_ctx ctx, struct err *e)
{
    if (allow_if(ctx, SCMP_SYS(clone), "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES, 0), e) <
        0)
        return -1;
    /* Its flags are in memory, where a filter cannot look: libc then uses clone. */
    if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3", e) < 0)
        return -1;
    if (allow_if(ctx, SCMP_SYS(personality), "personality", ARG_IS(0, 0), e) < 0 ||
        allow_if(ctx, SCMP_SYS(personality), "personality", ARG_IS(0, UINT32_MAX), e) < 0)
        return -1;
    return add_sockets(ctx, e) < 0 || add_ioctl(ctx, e) < 0 || add_setsockopt(ctx, e) < 0 ? -1 : 0;
}

/* libseccomp writes to a descriptor only, and one that is sealed afterwards must be ours. */
static int seal(scmp_filter_ctx ctx, struct err *e)
{
    AUTO_CLOSE int draft = memfd_create("box-seccomp", MFD_CLOEXEC);
    AUTO_FREE char *bytes = NULL;
    struct stat st;
    int r;

    if (draft < 0)
        return err_set_os(e, errno, "could not create an anonymous file");
    r = seccomp_export_bpf(ctx, draft);
    if (r < 0)
        return err_set_os(e, -r, "could not write the system-call filter");
    if (fstat(draft, &st) < 0)
        return err_set_os(e, errno, "could not look at the system-call filter");
    if (st.st_size <= 0 || st.st_size > FILTER_MAX)
        return err_set(e, ERR_INTERNAL, "the system-call filter has %lld bytes",
                       (long long)st.st_size);
    bytes = mem_new((size_t)st.st_size);
    if (pread(draft, bytes, (size_t)st.st_size, 0) != st.st_size)
        return err_set(e, ERR_OS, "could not read the system-call filter back");
    return fd_sealed("box-seccomp", bytes, (size_t)st.st_size, e);
}

int box_seccomp_open(struct err *e)
{
    AUTO(drop_context) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    if (ctx == NULL)
        return err_set(e, ERR_OS, "could not begin a system-call filter");
    /* Only the native architecture is in the filter; i386 and x32 calls end the process. */
    if (check(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "a rule", e) <
        0)
        return -1;
    /* A binary tree: a dozen comparisons per call instead of hundreds. */
    if (check(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2), "a rule", e) < 0)
        return -1;
    if (add_table(ctx, e) < 0 || add_unknown(ctx, e) < 0 || add_conditional(ctx, e) < 0)
        return -1;
    return seal(ctx, e);
}
