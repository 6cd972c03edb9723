/* Copying, counting and removing trees of users, hostile ones above all. Needs root. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "vol/tree.h"

#include "t_vol.h"

static int top = -1, from = -1, to = -1;

static void start(void)
{
    top = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_EQ(mkdirat(top, "from", 0755), 0);
    T_EQ(mkdirat(top, "to", 0700), 0);
    from = openat(top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    to = openat(top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void stop(void)
{
    T_DO(tree_remove(top, "from", &e));
    T_DO(tree_remove(top, "to", &e));
    T_EQ(faccessat(top, "from", F_OK, 0), -1);
    close_fd(&from);
    close_fd(&to);
    close_fd(&top);
}

static void put(const char *name, const char *text, mode_t mode)
{
    AUTO_CLOSE int fd = openat(from, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    T_OK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    T_EQ(fchmod(fd, mode), 0);
}

static struct stat look(int dir, const char *name)
{
    struct stat st = {0};

    T_EQ(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

static struct tree_copy alice(void)
{
    return (struct tree_copy){.uid = ALICE, .gid = BOB};
}

/* ---- copying ---- */

static void a_copy_has_modes_times_and_links_and_another_owner(void)
{
    const struct timespec times[] = {{.tv_sec = 1000000000, .tv_nsec = 5}, {.tv_sec = 1100000000}};
    struct tree_copy c = alice();
    AUTO_FREE char *text = NULL;
    char target[64] = "";
    struct stat st;

    start();
    T_EQ(mkdirat(from, "d", 0700), 0);
    put("d/a\nb", "words", 0640);
    put("s", "#!", 06755);
    T_EQ(symlinkat("/etc/shadow", from, "d/l"), 0);
    T_EQ(utimensat(from, "d/l", times, AT_SYMLINK_NOFOLLOW), 0);
    T_EQ(utimensat(from, "d/a\nb", times, 0), 0);
    T_EQ(fchmodat(from, "d", 03751, 0), 0);
    T_EQ(utimensat(from, "d", times, 0), 0);
    T_DO(tree_copy(from, to, &c, &e));
    st = look(to, "d/a\nb");
    T_OK(st.st_uid == ALICE && st.st_gid == BOB);
    T_EQ(st.st_mode & 07777, 0640);
    T_EQ(st.st_mtim.tv_sec, 1100000000);
    T_EQ(st.st_atim.tv_nsec, 5);
    T_DO(fd_read_file(to, "d/a\nb", 100, &text, &e));
    T_STR(text, "words");
    st = look(to, "d");
    T_EQ(st.st_mode & 07777, 03751);
    T_EQ(st.st_mtim.tv_sec, 1100000000);
    st = look(to, "d/l");
    T_OK(S_ISLNK(st.st_mode) && st.st_uid == ALICE && st.st_mtim.tv_sec == 1100000000);
    T_EQ(readlinkat(to, "d/l", target, sizeof(target)), 11);
    T_STR(target, "/etc/shadow");
    T_EQ(look(to, "s").st_mode & 07777, 0755); /* what would be set-user-id of somebody else */
    T_EQ(look(to, ".").st_mode & 07777, 0755);
    T_EQ(look(to, ".").st_uid, ALICE);
    stop();
}

static void what_is_no_file_is_counted_and_not_opened(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    AUTO_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct tree_copy c = alice();

    start();
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/from/sock", scratch);
    T_EQ(bind(sock, (struct sockaddr *)&name, sizeof(name)), 0);
    T_EQ(mkfifoat(from, "fifo", 0666), 0);
    T_EQ(mknodat(from, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
    put("file", "", 0600);
    (void)alarm(20); /* opening the FIFO would never end */
    T_DO(tree_copy(from, to, &c, &e));
    (void)alarm(0);
    T_EQ(c.skipped, 3);
    T_EQ(look(to, "file").st_size, 0);
    T_EQ(faccessat(to, "fifo", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    T_EQ(faccessat(to, "null", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    stop();
}

static void holes_stay_holes(void)
{
    struct tree_copy c = alice();
    AUTO_CLOSE int fd = -1;
    uint64_t used = 0;
    char got[5] = "";
    struct stat st;

    start();
    fd = openat(from, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    T_EQ(ftruncate(fd, 1 << 30), 0);
    T_EQ(pwrite(fd, "deep", 4, 900 << 20), 4);
    T_DO(tree_copy(from, to, &c, &e));
    st = look(to, "sparse");
    T_EQ(st.st_size, 1 << 30);
    T_OK(st.st_blocks * 512 < 64 << 10);
    close_fd(&fd);
    fd = openat(to, "sparse", O_RDONLY | O_CLOEXEC);
    T_EQ(pread(fd, got, 4, 900 << 20), 4);
    T_STR(got, "deep");
    T_DO(tree_used(to, &used, &e));
    T_OK(used > 0 && used < 64 << 10);
    stop();
}

static void what_is_mounted_in_a_tree_is_neither_copied_nor_removed(void)
{
    AUTO_FREE char *inner = mem_printf("%s/from/m", scratch);
    struct tree_copy c = alice();

    start();
    T_EQ(mkdirat(from, "m", 0700), 0);
    T_EQ(mount("none", inner, "tmpfs", 0, NULL), 0);
    put("m/theirs", "x", 0600);
    T_REFUSED(tree_copy(from, to, &c, &e), ERR_OS);
    T_REFUSED(tree_remove(top, "from", &e), ERR_BUSY);
    T_EQ(look(from, "m/theirs").st_size, 1);
    T_EQ(umount(inner), 0);
    stop();
}

/* ---- depth ---- */

static void dig(unsigned depth)
{
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (unsigned i = 0; i < depth && fd >= 0; i++) {
        int next =
            mkdirat(fd, "d", 0700) < 0 ? -1 : openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void)close(fd);
        fd = next;
    }
    T_OK(fd >= 0);
    (void)close(fd);
}

static void a_tree_as_deep_as_is_allowed_is_copied(void)
{
    struct tree_copy c = alice();

    start();
    dig(TREE_DEPTH_MAX);
    T_DO(tree_copy(from, to, &c, &e));
    stop();
}

static void a_bottomless_tree_is_refused_and_can_be_removed_and_counted(void)
{
    struct rlimit before, few;
    struct tree_copy c = alice();
    uint64_t used;

    start();
    T_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = TREE_DEPTH_MAX + 50;
    dig(5000);
    T_REFUSED(tree_copy(from, to, &c, &e), ERR_LIMIT);
    T_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    T_DO(tree_used(from, &used, &e));
    T_DO(tree_remove(top, "from", &e));
    T_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    stop();
}

/* ---- sharing ---- */

static void where_blocks_are_shared_a_copy_takes_none(void)
{
    AUTO_FREE char *image = mem_printf("%s/xfs", scratch), *at = mem_printf("%s/at", scratch);
    const char *argv[] = {"mkfs.xfs", "-q", "-s", "size=4096", "--", image, NULL};
    struct vol_run run = {.package = "xfsprogs", .argv = argv, .fd = -1, .deadline_ms = 60000};
    AUTO_CLOSE int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600), mnt = -1, point = -1;
    AUTO_FREE char *block = mem_new(MIB);
    struct tree_copy c = alice();
    struct statfs before, after;
    struct loopdev loop;

    if (!vol_run_found("mkfs.xfs") || !mnt_type_known("xfs")) {
        T_EQ(unlink(image), 0);
        printf("# no XFS here\n");
        return;
    }
    T_EQ(ftruncate(fd, 320 << 20), 0);
    T_DO(vol_run(&run, &e));
    T_DO(loopdev_take(fd, "t", false, &loop, &e));
    mnt = mnt_make("xfs", loop.path, false, 0, &e);
    T_OK(mnt >= 0);
    T_EQ(mkdir(at, 0700), 0);
    point = open(at, O_PATH | O_CLOEXEC);
    T_DO(mnt_place(mnt, point, at, &e));
    T_EQ(mkdirat(mnt, "from", 0700), 0);
    T_EQ(mkdirat(mnt, "to", 0700), 0);
    from = openat(mnt, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    to = openat(mnt, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_OK(tree_shares(from));
    close_fd(&fd);
    fd = openat(from, "big", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 40; i++)
        T_EQ(write(fd, block, MIB), MIB);
    T_EQ(syncfs(fd), 0);
    T_EQ(fstatfs(fd, &before), 0);
    T_DO(tree_copy(from, to, &c, &e));
    T_EQ(syncfs(fd), 0);
    T_EQ(fstatfs(fd, &after), 0);
    T_OK((before.f_bfree - after.f_bfree) * (uint64_t)before.f_bsize < MIB);
    T_EQ(look(to, "big").st_size, 40 * MIB);
    close_fd(&fd);
    close_fd(&from);
    close_fd(&to);
    close_fd(&mnt);
    close_fd(&loop.fd);
    T_DO(mnt_undo(at, loop.dev, "it", &e));
    T_EQ(rmdir(at), 0);
    T_EQ(unlink(image), 0);
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(a_copy_has_modes_times_and_links_and_another_owner);
    T_RUN(what_is_no_file_is_counted_and_not_opened);
    T_RUN(holes_stay_holes);
    T_RUN(what_is_mounted_in_a_tree_is_neither_copied_nor_removed);
    T_RUN(a_tree_as_deep_as_is_allowed_is_copied);
    T_RUN(a_bottomless_tree_is_refused_and_can_be_removed_and_counted);
    T_RUN(where_blocks_are_shared_a_copy_takes_none);
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
