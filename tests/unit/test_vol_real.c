/* Pools, images and mounts on this machine's own kernel. Needs root, loop devices and mkfs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "vol/run.h"
#include "vol/shared.h"
#include "vol/vol-int.h"

#include "t_vol.h"

/* XFS' own way to lose power: nothing that is not in the log yet gets there. */
#define GOING_DOWN          _IOR('X', 125, uint32_t)
#define GOING_DOWN_NO_FLUSH 2u

static struct vol_pool_spec spec(void)
{
    return (struct vol_pool_spec){.dir = pool_dir, .size = 400 * MIB, .hub = "testhub"};
}

/* A file in the user's directory, written and read as that user: root may do more than they. */
static int file_of(uid_t id, const char *at, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_printf("%s/%s/%s", at, VOL_DIR_POD, name);
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        char got[64] = "";
        int fd;

        if (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
            _exit(99);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            _exit(errno);
        if (read(fd, got, sizeof(got) - 1) < 0)
            _exit(errno);
        if (got[0] == '\0')
            _exit(write(fd, text, strlen(text)) < 0 || fsync(fd) < 0 ? errno : 0);
        _exit(str_is(got, text) ? 0 : 98);
    }
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make_template(const char *name)
{
    T_DO(vol_image_make(&pool, name, CAPACITY, &e));
    T_DO(attach(name, at_a, ALICE, 0));
    T_EQ(file_of(ALICE, at_a, "f", "from the template"), 0);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_seal(&pool, name, &e));
}

/* ---- the pool ---- */

static void a_pool_is_made_once_and_found_again(void)
{
    struct vol_pool_spec s = spec();
    struct vol_pool again = {.dir_fd = -1, .images_fd = -1};
    struct vol_space room = {0};

    begin();
    T_DO(vol_pool_room(&pool, &room, &e));
    T_OK(room.total > 250 * MIB && room.free > 200 * MIB);
    s.id = pool.id;
    T_DO(vol_pool_open(&s, &again, &e));
    T_STR(again.id, pool.id);
    T_EQ(again.how, pool.how);
    vol_pool_done(&again);
    vol_pool_done(&pool);
    T_DO(vol_pool_close(pool_dir, &e));
    T_DO(vol_pool_close(pool_dir, &e));
    T_OK(!kernel_knows_scratch());
    T_DO(vol_pool_open(&s, &pool, &e));
    finish();
}

static void a_pool_file_is_allocated_whole_and_closed_to_others(void)
{
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *line = NULL;
    struct stat st = {0};

    begin();
    if (pool.how == VOL_XFS) {
        T_EQ(fstatat(pool.dir_fd, "pool.xfs", &st, 0), 0);
        T_OK((uint64_t)st.st_blocks * 512 >= 400 * MIB);
        T_DO(fd_read_file(AT_FDCWD, "/proc/self/mountinfo", 1u << 24, &text, &e));
        line = mem_printf("%s/images rw,nosuid,nodev,noatime", pool_dir);
        T_OK(strstr(text, line) != NULL);
    }
    T_EQ(fstat(pool.images_fd, &st), 0);
    T_EQ(st.st_mode & 07777, 0700);
    finish();
}

static void a_directory_that_clones_needs_no_pool_file(void)
{
    AUTO_FREE char *dir = mem_printf("%s/pool/images/inner", scratch);
    struct vol_pool_spec s = {.dir = dir, .size = 400 * MIB, .hub = "h"};
    struct vol_pool outer;
    uint64_t used = 0, capacity;

    begin();
    if (pool.how == VOL_XFS) {
        outer = pool;
        T_DO(vol_pool_open(&s, &pool, &e));
        T_EQ(pool.how, VOL_REFLINK);
        make_template("t");
        T_DO(vol_clone(&pool, "t", "a", &e));
        T_DO(attach("a", at_a, ALICE, 0));
        T_EQ(file_of(ALICE, at_a, "f", "from the template"), 0);
        T_DO(vol_detach(at_a, &e));
        T_DO(vol_used(&pool, "a", &used, &capacity, &e));
        T_OK(used > 0);
        T_DO(vol_list(&pool, destroy_one, &pool, &e));
        vol_pool_done(&pool);
        T_DO(vol_pool_close(dir, &e));
        T_EQ(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        pool = outer;
    }
    finish();
}

static void where_nothing_clones_copies_are_as_good_and_stay_sparse(void)
{
    static const char identity[] = "dormouse-pool 1\nhub testhub\npool abcdefghijklm\nhow copy\n";
    uint64_t used = 0, capacity = 0;
    AUTO_CLOSE int dir = -1;

    (void)snprintf(pool_dir, sizeof(pool_dir), "%s/pool", scratch);
    dir = fd_open_dir(AT_FDCWD, pool_dir, 0700, &e);
    T_DO(fd_write_file(dir, "identity", 0600, 0, 0, identity, strlen(identity), &e));
    begin();
    T_EQ(pool.how, VOL_COPY);
    make_template("t");
    T_DO(vol_clone(&pool, "t", "a", &e));
    T_DO(vol_used(&pool, "a", &used, &capacity, &e));
    T_EQ(capacity, CAPACITY);
    T_OK(used > 0 && used < 6 * MIB);
    T_DO(attach("a", at_a, ALICE, 0));
    T_EQ(file_of(ALICE, at_a, "f", "from the template"), 0);
    finish();
}

static void a_pool_of_another_hub_is_refused(void)
{
    struct vol_pool_spec s = spec();
    struct vol_pool other;

    begin();
    s.hub = "otherhub";
    T_REFUSED(vol_pool_open(&s, &other, &e), ERR_CONFIG);
    T_OK(strstr(e.msg, "belongs to another hub (testhub)") != NULL);
    s = spec();
    s.id = "aaaaaaaaaaaaa";
    T_REFUSED(vol_pool_open(&s, &other, &e), ERR_CONFIG);
    finish();
}

static void a_pool_whose_disk_is_not_mounted_is_not_made_anew(void)
{
    AUTO_FREE char *empty = mem_printf("%s/empty", scratch);
    struct vol_pool_spec s = {.dir = empty, .size = 400 * MIB, .hub = "h", .id = "aaaaaaaaaaaaa"};
    struct vol_pool other;

    T_REFUSED(vol_pool_open(&s, &other, &e), ERR_MISSING);
    T_EQ(rmdir(empty), 0); /* still empty */
}

static void a_pool_others_can_write_to_is_refused(void)
{
    AUTO_FREE char *open_to_all = mem_printf("%s/open", scratch);
    struct vol_pool_spec s = {.dir = open_to_all, .size = 400 * MIB, .hub = "h"};
    struct vol_pool other;

    T_EQ(mkdir(open_to_all, 0700), 0);
    T_EQ(chmod(open_to_all, 0777), 0);
    T_REFUSED(vol_pool_open(&s, &other, &e), ERR_CONFIG);
    T_EQ(rmdir(open_to_all), 0);
}

static void what_an_interrupted_run_left_is_begun_anew(void)
{
    AUTO_FREE char *left = mem_printf("%s/pool/pool.xfs.new", scratch);
    AUTO_CLOSE int fd = -1;

    (void)snprintf(pool_dir, sizeof(pool_dir), "%s/pool", scratch);
    T_EQ(mkdir(pool_dir, 0700), 0);
    fd = open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T_OK(fd >= 0 && write(fd, "half", 4) == 4);
    begin();
    T_OK(pool.how != VOL_XFS || faccessat(pool.dir_fd, "pool.xfs.new", F_OK, 0) < 0);
    finish();
}

static void a_foreign_mount_in_place_of_the_pool_is_refused(void)
{
    AUTO_FREE char *images = mem_printf("%s/pool/images", scratch);
    AUTO_FREE char *second = mem_printf("%s/second", scratch);
    AUTO_FREE char *second_images = mem_printf("%s/images", second);
    struct vol_pool_spec s = spec();
    struct vol_pool other;

    begin();
    if (pool.how == VOL_XFS) {
        vol_pool_done(&pool);
        T_DO(vol_pool_close(pool_dir, &e));
        T_EQ(mount("none", images, "tmpfs", 0, NULL), 0);
        T_REFUSED(vol_pool_open(&s, &other, &e), ERR_EXISTS);
        T_REFUSED(vol_pool_close(pool_dir, &e), ERR_EXISTS);
        T_EQ(umount2(images, 0), 0);
        /* Nor is the pool file of another pool. */
        s.dir = second;
        T_DO(vol_pool_open(&s, &other, &e));
        vol_pool_done(&other);
        T_EQ(mount(second_images, images, NULL, MS_BIND, NULL), 0);
        s.dir = pool_dir;
        T_REFUSED(vol_pool_open(&s, &other, &e), ERR_EXISTS);
        T_EQ(umount2(images, 0), 0);
        T_DO(vol_pool_close(second, &e));
        T_EQ(nftw(second, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        T_DO(vol_pool_open(&s, &pool, &e));
    }
    finish();
}

static void a_lost_pool_file_is_missed_and_not_replaced(void)
{
    struct vol_pool_spec s = spec();
    struct vol_pool other;

    begin();
    if (pool.how == VOL_XFS) {
        int dir_fd = dup3(pool.dir_fd, 200, O_CLOEXEC);

        vol_pool_done(&pool);
        T_DO(vol_pool_close(pool_dir, &e));
        T_EQ(renameat(dir_fd, "pool.xfs", dir_fd, "away"), 0);
        T_REFUSED(vol_pool_open(&s, &other, &e), ERR_OS);
        T_OK(faccessat(dir_fd, "pool.xfs", F_OK, 0) < 0);
        T_EQ(renameat(dir_fd, "away", dir_fd, "pool.xfs"), 0);
        (void)close(dir_fd);
        T_DO(vol_pool_open(&s, &pool, &e));
    }
    finish();
}

static void a_pool_with_an_attached_volume_stays(void)
{
    struct vol_pool_spec s = spec();

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    if (pool.how == VOL_XFS) {
        vol_pool_done(&pool);
        T_REFUSED(vol_pool_close(pool_dir, &e), ERR_BUSY);
        T_DO(vol_pool_open(&s, &pool, &e));
    }
    finish();
}

/* ---- images ---- */

static void an_image_is_sparse_and_holds_our_directories(void)
{
    struct stat st = {0};
    struct vol_space space = {0};
    uint64_t used = 0, capacity = 0;
    AUTO_CLOSE int fd = -1;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(vol_used(&pool, "v", &used, &capacity, &e));
    T_EQ(capacity, CAPACITY);
    T_OK(used < 2 * MIB);
    T_DO(attach("v", at_a, ALICE, 0));
    fd = open(at_a, O_PATH | O_CLOEXEC);
    T_EQ(fstat(fd, &st), 0);
    T_EQ(st.st_mode & 07777, 0711);
    T_EQ(st.st_uid, 0);
    T_EQ(fstatat(fd, VOL_DIR_POD, &st, 0), 0);
    T_EQ(st.st_mode & 07777, 0700);
    T_EQ(st.st_uid, ALICE);
    T_EQ(st.st_gid, ALICE);
    T_EQ(fstatat(fd, VOL_DIR_KEEP, &st, 0), 0);
    T_EQ(st.st_mode & 07777, 0700);
    T_EQ(st.st_uid, 0);
    close_fd(&fd);
    T_DO(vol_usage(at_a, &space, &e));
    T_OK(space.total > 50 * MIB && space.total <= CAPACITY && space.free < space.total);
    T_OK(space.inodes >= 4096 && space.inodes_free > 4000);
    finish();
}

static void making_an_image_twice_is_making_it_once(void)
{
    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(file_of(ALICE, at_a, "f", "mine"), 0);
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_EQ(file_of(ALICE, at_a, "f", "mine"), 0);
    T_REFUSED(vol_image_make(&pool, "v", CAPACITY * 2, &e), ERR_EXISTS);
    T_REFUSED(vol_image_make(&pool, "w", 1 * MIB, &e), ERR_INPUT);
    T_REFUSED(vol_image_make(&pool, "w", CAPACITY + 1, &e), ERR_INPUT);
    T_REFUSED(vol_image_make(&pool, "../w", CAPACITY, &e), ERR_INPUT);
    finish();
}

static void a_clone_has_what_the_template_had_and_shares_nothing_that_is_written(void)
{
    begin();
    make_template("t");
    T_DO(vol_clone(&pool, "t", "a", &e));
    T_DO(vol_clone(&pool, "t", "b", &e));
    T_DO(attach("a", at_a, ALICE, 0));
    T_EQ(file_of(ALICE, at_a, "f", "from the template"), 0);
    T_EQ(file_of(ALICE, at_a, "g", "only alice's"), 0);
    T_DO(vol_clone(&pool, "t", "a", &e)); /* again: her file stays */
    T_EQ(file_of(ALICE, at_a, "g", "only alice's"), 0);
    T_DO(attach("b", at_b, BOB, 0));
    T_EQ(file_of(BOB, at_b, "f", "from the template"), 0);
    T_EQ(file_of(BOB, at_b, "g", "only bob's"), 0);
    finish();
}

static void only_a_sealed_image_is_cloned(void)
{
    begin();
    T_DO(vol_image_make(&pool, "t", CAPACITY, &e));
    T_REFUSED(vol_clone(&pool, "t", "a", &e), ERR_INTERNAL);
    T_REFUSED(vol_clone(&pool, "nothing", "a", &e), ERR_OS);
    T_EQ(vol_exists(&pool, "a", &e), 0);
    finish();
}

static void a_sealed_image_can_only_be_read_but_can_be_destroyed(void)
{
    begin();
    make_template("t");
    T_DO(vol_seal(&pool, "t", &e));
    T_REFUSED(attach("t", at_a, ALICE, 0), ERR_INPUT);
    T_DO(attach("t", at_a, ALICE, VOL_READ_ONLY));
    T_DO(attach("t", at_b, BOB, VOL_READ_ONLY));
    T_EQ(file_of(BOB, at_b, "new", "x"), EROFS);
    T_REFUSED(vol_destroy(&pool, "t", &e), ERR_BUSY);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_detach(at_b, &e));
    T_DO(vol_destroy(&pool, "t", &e));
    T_EQ(vol_exists(&pool, "t", &e), 0);
    T_DO(vol_destroy(&pool, "t", &e));
    finish();
}

static int count_one(void *owner, const struct vol_image *image, struct err *err)
{
    (void)err;
    T_OK(str_is(image->name, "t") == image->sealed);
    T_EQ(image->capacity, CAPACITY);
    ++*(int *)owner;
    return 0;
}

static void the_list_names_each_image_once(void)
{
    AUTO_CLOSE int foreign = -1;
    int n = 0;

    begin();
    make_template("t");
    T_DO(vol_clone(&pool, "t", "a", &e));
    T_DO(vol_clone(&pool, "t", "b", &e));
    foreign = openat(pool.images_fd, "Not Ours.img", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    T_OK(foreign >= 0);
    T_DO(vol_list(&pool, count_one, &n, &e));
    T_EQ(n, 3);
    T_EQ(unlinkat(pool.images_fd, "Not Ours.img", 0), 0);
    close_fd(&foreign);
    finish();
}

static void a_clone_that_was_reported_survives_the_loss_of_power(void)
{
    struct vol_pool_spec s = spec();
    uint32_t how = GOING_DOWN_NO_FLUSH;

    begin();
    make_template("t");
    if (pool.how == VOL_XFS) {
        T_DO(vol_clone(&pool, "t", "a", &e));
        T_DO(vol_clone(&pool, "t", "b", &e));
        T_EQ(ioctl(pool.images_fd, GOING_DOWN, &how), 0);
        vol_pool_done(&pool);
        T_DO(vol_pool_close(pool_dir, &e));
        T_DO(vol_pool_open(&s, &pool, &e));
        T_EQ(vol_exists(&pool, "a", &e), 1);
        T_DO(attach("b", at_a, ALICE, 0));
        T_EQ(file_of(ALICE, at_a, "f", "from the template"), 0);
    }
    finish();
}

/* ---- attach ---- */

static void nobody_but_the_owner_gets_in(void)
{
    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(file_of(ALICE, at_a, "f", "mine"), 0);
    T_EQ(file_of(BOB, at_a, "f", "mine"), EACCES);
    T_EQ(file_of(VOL_DISK_UID, at_a, "f", "mine"), EACCES);
    T_REFUSED(attach("v", at_b, 0, 0), ERR_INPUT);
    T_DO(vol_detach(at_a, &e));
    /* On disk it is the same owner: another host id sees the same files as its own. */
    T_DO(attach("v", at_a, BOB, 0));
    T_EQ(file_of(BOB, at_a, "f", "mine"), 0);
    T_EQ(file_of(ALICE, at_a, "f", "mine"), EACCES);
    finish();
}

static void attaching_again_is_success_only_when_it_is_the_same(void)
{
    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(vol_image_make(&pool, "w", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_DO(attach("v", at_a, ALICE, 0));
    T_REFUSED(attach("w", at_a, ALICE, 0), ERR_EXISTS);
    T_REFUSED(attach("v", at_a, BOB, 0), ERR_EXISTS);
    T_REFUSED(attach("v", at_a, ALICE, VOL_READ_ONLY), ERR_EXISTS);
    T_REFUSED(attach("v", at_b, ALICE, 0), ERR_BUSY);
    T_OK(faccessat(AT_FDCWD, at_b, F_OK, 0) < 0);
    T_REFUSED(vol_destroy(&pool, "v", &e), ERR_BUSY);
    T_REFUSED(vol_seal(&pool, "v", &e), ERR_BUSY);
    finish();
}

static void an_image_that_is_no_file_system_says_so_and_leaves_nothing(void)
{
    AUTO_CLOSE int fd = -1;

    begin();
    fd = openat(pool.images_fd, "v.img", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    T_OK(fd >= 0 && ftruncate(fd, (off_t)CAPACITY) == 0);
    T_EQ(attach("v", at_a, ALICE, 0), -1);
    T_OK(strstr(e.msg, "could not mount ext4") != NULL);
    T_OK(faccessat(AT_FDCWD, at_a, F_OK, 0) < 0);
    close_fd(&fd);
    T_DO(vol_destroy(&pool, "v", &e)); /* nothing holds it */
    finish();
}

static void a_volume_in_use_is_not_detached(void)
{
    AUTO_CLOSE int fd = -1;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    fd = open(at_a, O_RDONLY | O_CLOEXEC);
    T_REFUSED(vol_detach(at_a, &e), ERR_BUSY);
    T_OK(strstr(e.msg, "\"v\"") != NULL);
    close_fd(&fd);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_detach(at_a, &e));
    T_EQ(mkdir(at_a, 0711), 0);
    T_DO(vol_detach(at_a, &e)); /* a mountpoint without a mount: removed */
    T_OK(faccessat(AT_FDCWD, at_a, F_OK, 0) < 0);
    finish();
}

static void what_is_not_a_volume_is_not_detached(void)
{
    struct vol_space space;

    begin();
    T_EQ(mkdir(at_a, 0711), 0);
    T_REFUSED(vol_usage(at_a, &space, &e), ERR_OS);
    T_EQ(mount("none", at_a, "tmpfs", 0, NULL), 0);
    T_REFUSED(vol_detach(at_a, &e), ERR_EXISTS);
    T_EQ(umount2(at_a, 0), 0);
    T_EQ(rmdir(at_a), 0);
    finish();
}

static void a_volume_held_by_another_mount_namespace_is_busy(void)
{
    int to_child[2], from_child[2];
    char c;
    pid_t pid;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(pipe2(to_child, O_CLOEXEC), 0);
    T_EQ(pipe2(from_child, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        (void)close(to_child[1]);
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(1);
        vol_pool_done(&pool);
        (void)!write(from_child[1], "r", 1);
        (void)!read(to_child[0], &c, 1);
        _exit(0);
    }
    (void)close(to_child[0]);
    T_EQ(read(from_child[0], &c, 1), 1);
    T_REFUSED(vol_detach(at_a, &e), ERR_BUSY);
    T_REFUSED(attach("v", at_b, ALICE, 0), ERR_BUSY);
    (void)close(to_child[1]);
    (void)close(from_child[0]);
    (void)close(from_child[1]);
    (void)waitpid(pid, NULL, 0);
    T_DO(vol_detach(at_a, &e));
    T_DO(attach("v", at_b, ALICE, 0));
    finish();
}

static void a_shared_volume_is_mounted_until_its_last_view_goes(void)
{
    struct vol_shared a = {.image = "v", .mountpoint = at_a, .uid = ALICE, .gid = ALICE};
    struct vol_shared b = {
        .image = "v", .mountpoint = at_b, .uid = BOB, .gid = BOB, .read_only = true};
    AUTO_FREE char *base = NULL;

    begin();
    a.base = b.base = base = mem_printf("%s/base", mounts);
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(vol_shared_attach(&pool, &a, &e));
    T_DO(vol_shared_attach(&pool, &b, &e));
    T_DO(vol_shared_attach(&pool, &b, &e));
    T_EQ(file_of(ALICE, at_a, "f", "for all"), 0);
    T_EQ(file_of(BOB, at_b, "new", "x"), EROFS);
    T_DO(vol_shared_detach(at_a, base, &e));
    T_OK(faccessat(AT_FDCWD, at_a, F_OK, 0) < 0);
    T_EQ(faccessat(AT_FDCWD, base, F_OK, 0), 0);
    T_REFUSED(vol_destroy(&pool, "v", &e), ERR_BUSY);
    T_DO(vol_shared_detach(at_b, base, &e));
    T_OK(faccessat(AT_FDCWD, base, F_OK, 0) < 0);
    T_DO(vol_shared_detach(at_b, base, &e));
    T_DO(vol_destroy(&pool, "v", &e));
    finish();
}

static int see_one(void *owner, const struct vol_mount *m, struct err *err)
{
    unsigned *seen = owner;

    (void)err;
    if (str_is(m->mountpoint, at_a) && str_is(m->image, "v") && !m->read_only)
        *seen |= 1;
    else if (str_is(m->mountpoint, at_b) && str_is(m->image, "t") && m->read_only)
        *seen |= 2;
    else
        *seen |= 4;
    return 0;
}

static int detach_and_count(void *owner, const struct vol_mount *m, struct err *err)
{
    ++*(int *)owner;
    return vol_detach(m->mountpoint, err);
}

static void what_is_attached_is_found_by_its_directory(void)
{
    AUTO_FREE char *other = mem_printf("%s/c", mounts);
    unsigned seen = 0;
    int detached = 0;

    begin();
    make_template("t");
    T_DO(vol_clone(&pool, "t", "v", &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_DO(attach("t", at_b, BOB, VOL_READ_ONLY));
    T_EQ(mkdir(other, 0700), 0);
    T_EQ(mount("none", other, "tmpfs", 0, NULL), 0);
    T_DO(vol_attached(mounts, see_one, &seen, &e));
    T_EQ(seen, 3);
    T_DO(vol_attached(mounts, detach_and_count, &detached, &e));
    T_EQ(detached, 2);
    T_EQ(umount2(other, 0), 0);
    T_EQ(rmdir(other), 0);
    T_DO(vol_attached("/nonexistent", see_one, &seen, &e));
    finish();
}

/* ---- locks ---- */

static void a_lock_lasts_as_long_as_any_process_holds_it(void)
{
    AUTO_CLOSE int dir = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, second = -1;
    int hold[2];
    pid_t pid;

    T_EQ(vol_lock_held(dir, "k", &e), 0);
    T_DO(vol_lock(dir, "k", &fd, &e));
    T_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    T_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    T_REFUSED(vol_lock(dir, "k", &second, &e), ERR_BUSY);
    T_STR(e.msg, "volume \"k\" is in use");
    T_EQ(second, -1);
    T_EQ(pipe2(hold, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        char c;

        (void)close(hold[1]);
        (void)!read(hold[0], &c, 1);
        _exit(0);
    }
    (void)close(hold[0]);
    close_fd(&fd);
    T_EQ(vol_lock_held(dir, "k", &e), 1);
    (void)close(hold[1]);
    (void)waitpid(pid, NULL, 0);
    T_EQ(vol_lock_held(dir, "k", &e), 0);
    T_DO(vol_lock(dir, "k", &fd, &e));
    T_REFUSED(vol_lock(dir, "../k", &second, &e), ERR_INPUT);
    T_EQ(unlinkat(dir, "k", 0), 0);
}

static void a_lock_file_that_was_removed_does_not_lock_its_successor(void)
{
    AUTO_CLOSE int dir = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC), old = -1, new = -1;

    T_DO(vol_lock(dir, "k", &old, &e));
    T_EQ(unlinkat(dir, "k", 0), 0);
    T_EQ(vol_lock_held(dir, "k", &e), 0);
    T_DO(vol_lock(dir, "k", &new, &e));
    T_EQ(vol_lock_held(dir, "k", &e), 1);
    T_EQ(unlinkat(dir, "k", 0), 0);
}

/* ---- programs ---- */

static void a_missing_program_names_its_package(void)
{
    const char *argv[] = {"mkfs.dormouse", NULL};
    struct vol_run run = {.package = "dormouse-progs", .argv = argv, .fd = -1, .deadline_ms = 9000};

    T_REFUSED(vol_run(&run, &e), ERR_MISSING);
    T_OK(strstr(e.hint, "dormouse-progs") != NULL);
}

static void a_program_that_fails_is_quoted(void)
{
    const char *argv[] = {"mkfs.ext4", "-q", "--", "/nonexistent/file", NULL};
    struct vol_run run = {.package = "e2fsprogs", .argv = argv, .fd = -1, .deadline_ms = 9000};

    T_REFUSED(vol_run(&run, &e), ERR_OS);
    T_OK(strstr(e.msg, "exit status 1") != NULL && strstr(e.msg, "/nonexistent/file") != NULL);
}

static void a_program_that_does_not_end_is_ended(void)
{
    const char *argv[] = {"chroot", "/", "/bin/sleep", "1000", NULL};
    struct vol_run run = {.package = "coreutils", .argv = argv, .fd = -1, .deadline_ms = 50};

    T_REFUSED(vol_run(&run, &e), ERR_OS);
    T_OK(strstr(e.msg, "did not end within") != NULL);
}

/* ---- killed anywhere, then run again ---- */

static int whole_life(struct err *err)
{
    struct vol_pool_spec s = spec();
    struct vol_pool p;
    struct vol_attach want = {.image = "v", .mountpoint = at_a, .uid = ALICE, .gid = ALICE};
    int r;

    if (vol_pool_open(&s, &p, err) < 0)
        return -1;
    r = vol_image_make(&p, "t", CAPACITY, err) < 0 || vol_seal(&p, "t", err) < 0 ||
                vol_clone(&p, "t", "v", err) < 0 || vol_attach(&p, &want, err) < 0
            ? -1
            : 0;
    vol_pool_done(&p);
    return r;
}

static int whole_death(struct err *err)
{
    if (vol_detach(at_a, err) < 0 || vol_destroy(&pool, "v", err) < 0 ||
        vol_destroy(&pool, "t", err) < 0)
        return -1;
    return 0;
}

/* Run it in a child. With us > 0 kill it after so many microseconds. True if it was killed. */
static bool child_killed(int (*life)(struct err *), long us)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct err err;

        _exit(life(&err) < 0 ? 1 : 0);
    }
    if (us > 0) {
        (void)nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000},
                        NULL);
        (void)kill(pid, SIGKILL);
    }
    (void)waitpid(pid, &status, 0);
    return WIFSIGNALED(status);
}

static void whatever_a_kill_interrupts_a_second_run_finishes(void)
{
    int killed = 0;

    for (long us = 200; us < 120000; us += us / 4 + 300) {
        begin();
        killed += child_killed(whole_life, us);
        T_DO(whole_life(&e));
        T_EQ(file_of(ALICE, at_a, "f", "alive"), 0);
        killed += child_killed(whole_death, us / 8 + 50);
        T_DO(whole_death(&e));
        T_EQ(vol_exists(&pool, "v", &e), 0);
        finish();
    }
    printf("# killed %d times\n", killed);
    T_OK(killed > 5);
}

#ifdef DORM_INJECT
static void a_kill_at_each_named_place_is_survived(void)
{
    static const char *const places[] = {
        "vol.pool.allocated", "vol.pool.formatted", "vol.pool.named", "vol.pool.looped",
        "vol.formatted",      "vol.complete",       "vol.named",      "vol.sealing",
        "vol.cloned",         "vol.looped",         "vol.mounted",    "vol.mapped",
        "vol.placed",         "vol.unmounting",     "vol.unmounted",  "vol.destroying",
        "vol.destroyed"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        AUTO_FREE char *wish = mem_printf("%s=kill", places[i]);
        struct vol_pool_spec s = spec();
        bool killed;

        T_EQ(mkdir(mounts, 0711), 0);
        T_EQ(setenv("DORM_INJECT", wish, 1), 0);
        killed = child_killed(whole_life, 0);
        T_EQ(unsetenv("DORM_INJECT"), 0);
        T_DO(vol_pool_open(&s, &pool, &e));
        T_DO(whole_life(&e));
        T_EQ(setenv("DORM_INJECT", wish, 1), 0);
        killed |= child_killed(whole_death, 0);
        T_EQ(unsetenv("DORM_INJECT"), 0);
        T_DO(whole_death(&e));
        if (!killed)
            printf("# never reached: %s\n", places[i]);
        T_OK(killed || pool.how != VOL_XFS);
        finish();
    }
}
#endif

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(a_pool_is_made_once_and_found_again);
    T_RUN(a_pool_file_is_allocated_whole_and_closed_to_others);
    T_RUN(a_directory_that_clones_needs_no_pool_file);
    T_RUN(where_nothing_clones_copies_are_as_good_and_stay_sparse);
    T_RUN(a_pool_of_another_hub_is_refused);
    T_RUN(a_pool_whose_disk_is_not_mounted_is_not_made_anew);
    T_RUN(a_pool_others_can_write_to_is_refused);
    T_RUN(what_an_interrupted_run_left_is_begun_anew);
    T_RUN(a_foreign_mount_in_place_of_the_pool_is_refused);
    T_RUN(a_lost_pool_file_is_missed_and_not_replaced);
    T_RUN(a_pool_with_an_attached_volume_stays);
    T_RUN(an_image_is_sparse_and_holds_our_directories);
    T_RUN(making_an_image_twice_is_making_it_once);
    T_RUN(a_clone_has_what_the_template_had_and_shares_nothing_that_is_written);
    T_RUN(only_a_sealed_image_is_cloned);
    T_RUN(a_sealed_image_can_only_be_read_but_can_be_destroyed);
    T_RUN(the_list_names_each_image_once);
    T_RUN(a_clone_that_was_reported_survives_the_loss_of_power);
    T_RUN(nobody_but_the_owner_gets_in);
    T_RUN(attaching_again_is_success_only_when_it_is_the_same);
    T_RUN(an_image_that_is_no_file_system_says_so_and_leaves_nothing);
    T_RUN(a_volume_in_use_is_not_detached);
    T_RUN(what_is_not_a_volume_is_not_detached);
    T_RUN(a_volume_held_by_another_mount_namespace_is_busy);
    T_RUN(a_shared_volume_is_mounted_until_its_last_view_goes);
    T_RUN(what_is_attached_is_found_by_its_directory);
    T_RUN(a_lock_lasts_as_long_as_any_process_holds_it);
    T_RUN(a_lock_file_that_was_removed_does_not_lock_its_successor);
    T_RUN(a_missing_program_names_its_package);
    T_RUN(a_program_that_fails_is_quoted);
    T_RUN(a_program_that_does_not_end_is_ended);
    T_RUN(whatever_a_kill_interrupts_a_second_run_finishes);
#ifdef DORM_INJECT
    T_RUN(a_kill_at_each_named_place_is_survived);
#endif
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
