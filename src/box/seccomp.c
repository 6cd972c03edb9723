#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"

#include "seccomp-table.h"

/* libseccomp's own SCMP_A0() leaves a member out, which clang warns of. */
#define ARG_IS(n, value) ((struct scmp_arg_cmp){(n), SCMP_CMP_EQ, (scmp_datum_t)(value), 0})
/* In those bits; all 32 of them where the kernel reads an int and not what is above it. */
#define ARG_HAS(n, mask, value) \
    ((struct scmp_arg_cmp){(n), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value)})
#define INT UINT32_MAX

#define TYPE_BITS 0xf /* of a socket's type; the others are flags */

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

/*
 * Of the internet families TCP and UDP alone: SCTP, DCCP, MPTCP and their like are modules that the
 * kernel would load for whoever asks, with a long record of holes.
 */
static int add_internet(scmp_filter_ctx ctx, int family, struct err *e)
{
    static const struct {
        int type, protocol;
    } known[] = {
        {SOCK_STREAM, 0}, {SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, IPPROTO_UDP}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, ARG_IS(0, family),
                                   ARG_HAS(1, TYPE_BITS, known[i].type),
                                   ARG_IS(2, known[i].protocol)),
                  "socket", e) < 0)
            return -1;
    return 0;
}

static int add_sockets(scmp_filter_ctx ctx, struct err *e)
{
    if (add_internet(ctx, AF_INET, e) < 0 || add_internet(ctx, AF_INET6, e) < 0 ||
        allow_if(ctx, SCMP_SYS(socket), "socket", ARG_IS(0, AF_UNIX), e) < 0)
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
    for (uint32_t bit = 1; bit != 0; bit <<= 1)
        if (allow_if(ctx, call, name, ARG_HAS(arg, bit, ~value & bit), e) < 0)
            return -1;
    return 0;
}

/*
 * What a socket may be told. Not SO_LINGER, which makes the last close of a socket wait: one can be
 * sent to a process outside of the pod, where the last close is that process's. None of the
 * filters: their machine code counts against one limit of the whole machine
 * (net.core.bpf_jit_limit), and when that is used up no pod can get its own filter any more. No
 * keys (TCP_MD5SIG) and no lists of sources, which are memory that is counted for nobody; and
 * nothing that puts another protocol into a socket (TCP_ULP, UDP_ENCAP).
 */
static const struct {
    int level, option;
} socket_options[] = {
    // clang-format off
    {SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_DONTROUTE}, {SOL_SOCKET, SO_BROADCAST},
    {SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_OOBINLINE}, {SOL_SOCKET, SO_PRIORITY}, {SOL_SOCKET, SO_REUSEPORT},
    {SOL_SOCKET, SO_PASSCRED}, {SOL_SOCKET, SO_RCVLOWAT}, {SOL_SOCKET, SO_SNDLOWAT},
    {SOL_SOCKET, SO_RCVTIMEO}, {SOL_SOCKET, SO_SNDTIMEO}, {SOL_SOCKET, SO_TIMESTAMP},
    {SOL_SOCKET, SO_PASSSEC}, {SOL_SOCKET, SO_TIMESTAMPNS}, {SOL_SOCKET, SO_TIMESTAMPING},
    {SOL_SOCKET, SO_BUSY_POLL}, {SOL_SOCKET, SO_INCOMING_CPU},
    {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_MAXSEG}, {IPPROTO_TCP, TCP_CORK},
    {IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL}, {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_SYNCNT}, {IPPROTO_TCP, TCP_LINGER2}, {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP}, {IPPROTO_TCP, TCP_QUICKACK}, {IPPROTO_TCP, TCP_CONGESTION},
    {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_FASTOPEN},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT}, {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_IP, IP_TOS}, {IPPROTO_IP, IP_TTL}, {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_MTU_DISCOVER}, {IPPROTO_IP, IP_RECVERR}, {IPPROTO_IP, IP_RECVTTL},
    {IPPROTO_IP, IP_RECVTOS}, {IPPROTO_IP, IP_FREEBIND}, {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    {IPPROTO_IP, IP_MULTICAST_IF}, {IPPROTO_IP, IP_MULTICAST_TTL},
    {IPPROTO_IP, IP_MULTICAST_LOOP}, {IPPROTO_IP, IP_ADD_MEMBERSHIP},
    {IPPROTO_IP, IP_DROP_MEMBERSHIP},
    {IPPROTO_IPV6, IPV6_V6ONLY}, {IPPROTO_IPV6, IPV6_UNICAST_HOPS}, {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_RECVERR}, {IPPROTO_IPV6, IPV6_RECVPKTINFO},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER}, {IPPROTO_IPV6, IPV6_MULTICAST_IF},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS}, {IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
    {IPPROTO_IPV6, IPV6_JOIN_GROUP}, {IPPROTO_IPV6, IPV6_LEAVE_GROUP},
    // clang-format on
};

static int add_setsockopt(scmp_filter_ctx ctx, struct err *e)
{
    for (size_t i = 0; i < sizeof(socket_options) / sizeof(socket_options[0]); i++)
        if (check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
                                   ARG_HAS(1, INT, socket_options[i].level),
                                   ARG_HAS(2, INT, socket_options[i].option)),
                  "setsockopt", e) < 0)
            return -1;
    return 0;
}

/*
 * The commands of fcntl that cost nobody else anything. Not record locks: the kernel counts their
 * memory for no control group and bounds their number by nothing, so that one pod could take all of
 * the machine's (flock, one lock an open file, is there). Not F_NOTIFY: see add_no_watches.
 */
static int add_fcntl(scmp_filter_ctx ctx, struct err *e)
{
    static const int commands[] = {
        F_DUPFD,
        F_DUPFD_CLOEXEC,
        F_GETFD,
        F_SETFD,
        F_GETFL,
        F_SETFL,
        F_GETLK,
        F_OFD_GETLK,
        F_GETOWN,
        F_SETOWN,
        F_GETSIG,
        F_SETSIG,
        F_GETOWN_EX,
        F_SETOWN_EX,
        F_GETLEASE,
        F_SETPIPE_SZ,
        F_GETPIPE_SZ,
        F_ADD_SEALS,
        F_GET_SEALS,
        F_GET_RW_HINT,
        F_SET_RW_HINT,
        F_GET_FILE_RW_HINT,
        F_SET_FILE_RW_HINT,
    };
    static const int locks[] = {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (allow_if(ctx, SCMP_SYS(fcntl), "fcntl", ARG_HAS(1, INT, commands[i]), e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]); i++)
        if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOLCK), SCMP_SYS(fcntl), 1,
                                   ARG_HAS(1, INT, locks[i])),
                  "fcntl", e) < 0)
            return -1;
    return 0;
}

/*
 * Filters of the pod's own, by either of the two calls: see socket_options. They are said not to
 * exist, which programs that would like one know how to live with.
 */
static int add_no_filters(scmp_filter_ctx ctx, struct err *e)
{
    if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(seccomp), 0), "seccomp", e) <
        0)
        return -1;
    if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                               ARG_HAS(0, INT, PR_SET_SECCOMP)),
              "prctl", e) < 0)
        return -1;
    return allow_unless(ctx, SCMP_SYS(prctl), "prctl", 0, PR_SET_SECCOMP, e);
}

/*
 * Watches. All pods share the files of /usr, and a watch there tells when somebody else starts a
 * program: their server waking, for one. Programs that like to watch fall back on looking.
 */
static int add_no_watches(scmp_filter_ctx ctx, struct err *e)
{
    static const int calls[] = {SCMP_SYS(inotify_init), SCMP_SYS(inotify_init1),
                                SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch)};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), calls[i], 0), "inotify", e) < 0)
            return -1;
    return 0;
}

/*
 * What all pods share of the host's files is in the page cache once. Nobody empties it for the
 * others (the advice is taken and not followed), asks what is in it, or has a file system that is
 * not theirs alone written out.
 */
static int add_cache(scmp_filter_ctx ctx, struct err *e)
{
    if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), SCMP_SYS(fadvise64), 1,
                               ARG_HAS(3, INT, POSIX_FADV_DONTNEED)),
              "fadvise64", e) < 0 ||
        allow_unless(ctx, SCMP_SYS(fadvise64), "fadvise64", 3, POSIX_FADV_DONTNEED, e) < 0)
        return -1;
    if (check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(preadv2), 1,
                               ARG_HAS(5, RWF_NOWAIT, RWF_NOWAIT)),
              "preadv2", e) < 0 ||
        allow_if(ctx, SCMP_SYS(preadv2), "preadv2", ARG_HAS(5, RWF_NOWAIT, 0), e) < 0)
        return -1;
    return check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(syncfs), 0), "syncfs", e);
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
    if (add_no_filters(ctx, e) < 0 || add_no_watches(ctx, e) < 0 || add_fcntl(ctx, e) < 0 ||
        add_cache(ctx, e) < 0)
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
