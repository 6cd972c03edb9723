/* Snapshots, replacements, growth and copies of images on this machine's own kernel. */
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "vol/ext4.h"
#include "vol/place-int.h"

#include "t_vol.h"

#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t)

#define LARGER (5 * CAPACITY)

/* ---- what is in a volume ---- */

static const char *text; /* for as_user() */

static int write_text(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/f", at);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    return fd < 0 || write(fd, text, strlen(text)) < 0 || fsync(fd) < 0 ? 1 : 0;
}

static int same_text(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/f", at);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char got[32] = "";

    return fd < 0 || read(fd, got, sizeof(got) - 1) < 0 || !str_is(got, text) ? 1 : 0;
}

static void put(const char *image, const char *what)
{
    text = what;
    T_DO(attach(image, at_a, ALICE, 0));
    T_EQ(as_user(ALICE, write_text, at_a), 0);
    T_DO(vol_detach(at_a, &e));
}

/* A sealed image is looked at through a clone: its journal may have to be replayed. */
static bool has(const char *image, const char *what)
{
    struct stat st = {0};
    bool sealed, same;

    text = what;
    T_EQ(image_stat(&pool, image, &st, &e), 1);
    sealed = (st.st_mode & 0222) == 0;
    if (sealed)
        T_DO(vol_clone(&pool, image, "look", &e));
    T_DO(attach(sealed ? "look" : image, at_b, BOB, 0));
    same = as_user(BOB, same_text, at_b) == 0;
    T_DO(vol_detach(at_b, &e));
    if (sealed)
        T_DO(vol_destroy(&pool, "look", &e));
    return same;
}

static bool sound(const char *image)
{
    static const char *const argv[] = {"e2fsck", "-f", "-n", "--", "/proc/self/fd/3", NULL};
    AUTO_CLOSE int fd = image_open(&pool, image, O_RDONLY, &e);
    struct vol_run run = {.package = "e2fsprogs", .argv = argv, .fd = fd, .deadline_ms = 60000};

    if (fd >= 0 && vol_run(&run, &e) == 0)
        return true;
    printf("# %s: %s\n", image, e.msg);
    return false;
}

static bool is_sealed(const char *image)
{
    AUTO_CLOSE int fd = image_open(&pool, image, O_RDONLY, &e);
    struct stat st = {0};
    int flags = 0;

    return fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0400 &&
           (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || (flags & FS_IMMUTABLE_FL) != 0);
}

/* ---- snapshots ---- */

static void a_snapshot_keeps_what_was_and_is_taken_once(void)
{
    uint64_t extents = 0;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "before");
    T_DO(vol_snapshot(&pool, "v", "s", &extents, &e));
    T_OK(extents > 0 || pool.how == VOL_COPY);
    put("v", "after");
    T_DO(vol_snapshot(&pool, "v", "s", &extents, &e));
    T_EQ(extents, 0);
    T_OK(is_sealed("s"));
    T_OK(has("s", "before"));
    T_OK(has("v", "after"));
    T_REFUSED(vol_snapshot(&pool, "s", "v", &extents, &e), ERR_EXISTS);
    T_REFUSED(vol_snapshot(&pool, "nothing", "s2", &extents, &e), ERR_OS);
    T_REFUSED(vol_snapshot(&pool, "v", "../s", &extents, &e), ERR_INPUT);
    finish();
}

/* Counts in a file, each number synced before it is told, between files that come and go. */
static void write_forever(int tell, const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/count", at);
    AUTO_FREE char *bulk = mem_new(64 << 10);
    int fd;

    if (setresgid(ALICE, ALICE, ALICE) < 0 || setresuid(ALICE, ALICE, ALICE) < 0)
        _exit(99);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (uint64_t n = 1;; n++) {
        AUTO_FREE char *name = mem_printf("%s/pod/x%u", at, (unsigned)(n % 7));
        AUTO_CLOSE int x = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (write(x, bulk, 64 << 10) < 0 || pwrite(fd, &n, sizeof(n), 0) < 0 || fsync(fd) < 0 ||
            write(tell, &n, sizeof(n)) < 0)
            _exit(1);
        if (n % 3 == 0)
            (void)unlink(name);
    }
}

static uint64_t count_in(const char *image)
{
    AUTO_FREE char *path = mem_printf("%s/pod/count", at_b);
    AUTO_CLOSE int fd = -1;
    uint64_t n = 0;

    T_DO(vol_clone(&pool, image, "look", &e));
    T_DO(attach("look", at_b, BOB, 0));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    T_OK(fd >= 0 && pread(fd, &n, sizeof(n), 0) == sizeof(n));
    close_fd(&fd);
    T_DO(vol_detach(at_b, &e));
    T_OK(sound("look"));
    T_DO(vol_destroy(&pool, "look", &e));
    return n;
}

static void a_snapshot_under_a_writer_is_as_after_a_power_cut(void)
{
    uint64_t told = 0, extents, at_snapshot;
    int ends[2];
    pid_t pid;

    begin();
    if (pool.how == VOL_COPY)
        return finish();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0)
        write_forever(ends[1], at_a);
    (void)close(ends[1]);
    for (int i = 0; i < 12; i++) {
        struct pollfd more = {.fd = ends[0], .events = POLLIN};

        do
            T_EQ(read(ends[0], &told, sizeof(told)), sizeof(told));
        while (poll(&more, 1, 0) == 1);
        at_snapshot = told;
        T_DO(vol_snapshot(&pool, "v", "s", &extents, &e));
        T_OK(count_in("s") >= at_snapshot);
        T_REFUSED(attach("s", at_b, BOB, VOL_READ_ONLY), ERR_INPUT);
        T_DO(vol_destroy(&pool, "s", &e));
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(ends[0]);
    printf("# the writer got to %ju\n", (uintmax_t)told);
    T_DO(vol_detach(at_a, &e));
    T_OK(sound("v"));
    finish();
}

static void where_nothing_is_shared_only_a_sleeping_volume_has_snapshots(void)
{
    uint64_t extents = 1;

    begin_copying();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "before");
    T_DO(attach("v", at_a, ALICE, 0));
    T_REFUSED(vol_snapshot(&pool, "v", "s", &extents, &e), ERR_BUSY);
    T_OK(e.hint[0] != '\0');
    T_EQ(vol_exists(&pool, "s", &e), 0);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_snapshot(&pool, "v", "s", &extents, &e));
    T_OK(is_sealed("s"));
    T_OK(image_blocks("s") < 8 * MIB);
    T_OK(has("s", "before"));
    finish();
}

static int take_snapshot(struct err *err)
{
    uint64_t extents;

    return vol_snapshot(&pool, "v", "s", &extents, err);
}

/* ---- replacing ---- */

static void begin_old_and_new(void)
{
    uint64_t extents;

    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "new");
    T_DO(vol_snapshot(&pool, "v", "s", &extents, &e));
    put("v", "old");
}

static int restore(struct err *err)
{
    return vol_replace(&pool, "v", "s", "kept", err);
}

static int put_away(struct err *err)
{
    return vol_replace(&pool, "v", NULL, "kept", err);
}

static void a_replaced_volume_is_kept_sealed(void)
{
    begin();
    begin_old_and_new();
    T_DO(attach("v", at_a, ALICE, 0));
    T_REFUSED(restore(&e), ERR_BUSY);
    T_DO(vol_detach(at_a, &e));
    T_DO(restore(&e));
    T_OK(has("v", "new") && has("kept", "old") && is_sealed("kept"));
    T_DO(restore(&e));
    T_OK(has("v", "new") && has("kept", "old"));
    /* What the user does with it afterwards is not undone by another run. */
    put("v", "newer");
    T_DO(restore(&e));
    T_OK(has("v", "newer") && has("kept", "old"));
    /* And back: what arrived by a replacement can leave by one. */
    T_DO(vol_replace(&pool, "v", "kept", "kept2", &e));
    T_OK(has("v", "old") && has("kept2", "newer"));
    T_REFUSED(vol_replace(&pool, "v", "v", "kept3", &e), ERR_INTERNAL);
    T_OK(has("v", "old"));
    finish();
}

static void a_volume_that_is_put_away_leaves_nothing_in_its_place(void)
{
    begin();
    begin_old_and_new();
    T_DO(put_away(&e));
    T_DO(put_away(&e));
    T_EQ(vol_exists(&pool, "v", &e), 0);
    T_OK(has("kept", "old") && is_sealed("kept"));
    /* Where nothing is there is nothing to keep. */
    T_DO(vol_replace(&pool, "v", "s", "kept2", &e));
    T_DO(vol_replace(&pool, "v", "s", "kept2", &e));
    T_EQ(vol_grow(&pool, "v", LARGER, &e), 1);
    T_DO(vol_replace(&pool, "v", "s", "kept2", &e));
    T_OK(has("v", "new"));
    T_EQ(vol_exists(&pool, "kept2", &e), 0);
    finish();
}

/* ---- growing ---- */

static int grow(struct err *err)
{
    return vol_grow(&pool, "v", LARGER, err);
}

static bool has_grown(void)
{
    AUTO_CLOSE int fd = image_open(&pool, "v", O_RDONLY, &e);
    struct ext4_super s = {0};
    struct stat st = {0};

    T_EQ(fstat(fd, &st), 0);
    T_DO(ext4_super_read(fd, "v", &s, &e));
    T_EQ(s.reserved * s.block_size, reserve_bytes(LARGER));
    return (uint64_t)st.st_size == LARGER && s.blocks * s.block_size == LARGER;
}

static void a_volume_grows_with_its_reserve_but_never_shrinks(void)
{
    AUTO_FREE char *ballast = NULL;
    struct stat st = {0};
    uint64_t began_ms;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    T_EQ(vol_grow(&pool, "v", CAPACITY, &e), 0);
    T_REFUSED(vol_grow(&pool, "v", CAPACITY / 2, &e), ERR_INPUT);
    T_OK(strstr(e.msg, " of 64Mi in use") != NULL);
    T_REFUSED(vol_grow(&pool, "v", CAPACITY + 1, &e), ERR_INPUT);
    T_DO(attach("v", at_a, ALICE, 0));
    T_REFUSED(grow(&e), ERR_BUSY);
    T_DO(vol_detach(at_a, &e));
    began_ms = clock_ms();
    T_EQ(grow(&e), 1);
    printf("# grown in %ju ms\n", (uintmax_t)(clock_ms() - began_ms));
    T_EQ(grow(&e), 0);
    T_OK(has_grown() && sound("v") && has("v", "mine"));
    T_OK(image_blocks("v") < 12 * MIB);
    T_DO(attach("v", at_a, ALICE, 0));
    ballast = mem_printf("%s/keep/ballast", at_a);
    T_EQ(stat(ballast, &st), 0);
    T_OK((uint64_t)st.st_size > 17 * MIB);
    finish();
}

/* What enlarging while attached leaves where the kernel refuses is finished when it is not. */
static void an_attached_volume_grows_now_or_later(void)
{
    struct vol_space space = {0};
    int r;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(vol_grow_attached(&pool, "v", CAPACITY, at_a, &e), 0);
    T_REFUSED(vol_grow_attached(&pool, "v", CAPACITY / 2, at_a, &e), ERR_INPUT);
    T_REFUSED(vol_grow_attached(&pool, "v", LARGER, scratch, &e), ERR_OS);
    r = vol_grow_attached(&pool, "v", LARGER, at_a, &e);
    if (r == 1) {
        T_DO(vol_usage(at_a, &space, &e));
        T_OK(space.total > 4 * CAPACITY);
    } else {
        printf("# %s (%s)\n", e.msg, e.hint);
        T_EQ(e.kind, ERR_BUSY);
        T_DO(vol_detach(at_a, &e));
        T_EQ(grow(&e), 1);
        T_OK(has_grown() && sound("v") && has("v", "mine"));
    }
    finish();
}

/* The same, but then nobody wants it larger any more. */
static void a_growth_that_was_given_up_leaves_no_trace(void)
{
    uint64_t used, capacity = 0;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    if (vol_grow_attached(&pool, "v", LARGER, at_a, &e) < 0) {
        T_DO(vol_detach(at_a, &e));
        T_EQ(vol_grow(&pool, "v", CAPACITY, &e), 0);
        T_DO(vol_used(&pool, "v", &used, &capacity, &e));
        T_EQ(capacity, CAPACITY);
    }
    finish();
}

/* At whatever time: before the next run it is as it was, or done. */
static void growing_survives_a_kill(void)
{
    int killed = 0;
    bool copying = false;

    for (long us = 2000; us < 120000; us += us / 4, copying = !copying) {
        int status;
        pid_t pid;

        if (copying)
            begin_copying();
        else
            begin();
        T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
        put("v", "mine");
        pid = fork();
        if (pid == 0) {
            struct err err;

            _exit(grow(&err) < 0 ? 1 : 0);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        killed += WIFSIGNALED(status);
        T_OK(sound("v") && has("v", "mine"));
        T_DO(grow(&e));
        T_OK(has_grown() && sound("v") && has("v", "mine"));
        finish();
    }
    printf("# killed %d times\n", killed);
    T_OK(killed > 2);
}

/* ---- copies ---- */

static void an_image_moves_to_another_pool_whole_and_sparse(void)
{
    AUTO_FREE char *dir = mem_printf("%s/second", scratch);
    struct vol_pool_spec s = {.dir = dir, .size = 400 * MIB, .hub = "testhub"};
    struct vol_pool first, second;
    uint64_t extents;

    begin();
    first = pool;
    T_DO(vol_pool_open(&s, &second, &e));
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    T_DO(vol_snapshot(&pool, "v", "s", &extents, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_REFUSED(vol_copy_image(&first, &second, "v", &e), ERR_BUSY);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_copy_image(&first, &second, "v", &e));
    T_DO(vol_copy_image(&first, &second, "s", &e));
    T_DO(vol_copy_image(&first, &second, "v", &e));
    pool = second;
    T_OK(has("v", "mine") && has("s", "mine") && is_sealed("s"));
    T_OK(image_blocks("v") < 6 * MIB);
    T_OK(sound("v"));
    T_DO(vol_list(&pool, destroy_one, &pool, &e));
    vol_pool_done(&second);
    T_DO(vol_pool_close(dir, &e));
    T_EQ(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    pool = first;
    T_OK(has("v", "mine"));
    finish();
}

/* ---- what is damaged ---- */

static void debugfs(const char *image, const char *request)
{
    const char *argv[] = {"debugfs", "-w", "-R", request, "--", "/proc/self/fd/3", NULL};
    AUTO_CLOSE int fd = image_open(&pool, image, O_RDWR, &e);
    struct vol_run run = {.package = "e2fsprogs", .argv = argv, .fd = fd, .deadline_ms = 60000};

    T_DO(vol_run(&run, &e));
}

static void a_volume_that_has_seen_errors_is_mended_before_it_is_used(void)
{
    AUTO_CLOSE int fd = -1;
    struct ext4_super s;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    debugfs("v", "set_super_value state 2");
    debugfs("v", "set_super_value free_blocks_count 5");
    T_OK(has("v", "mine"));
    T_OK(sound("v"));
    fd = image_open(&pool, "v", O_RDONLY, &e);
    T_DO(ext4_super_read(fd, "v", &s, &e));
    T_OK(!s.damaged);
    close_fd(&fd);
    finish();
}

static void a_volume_that_cannot_be_mended_says_what_to_do(void)
{
    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    debugfs("v", "set_super_value state 2");
    debugfs("v", "clri <2>"); /* the root directory */
    T_REFUSED(attach("v", at_a, ALICE, 0), ERR_OS);
    T_OK(strstr(e.msg, "volume \"v\" is damaged: e2fsck failed") != NULL);
    T_OK(strstr(e.hint, "dorm snapshot list") != NULL);
    T_OK(faccessat(AT_FDCWD, at_a, F_OK, 0) < 0);
    T_DO(vol_destroy(&pool, "v", &e)); /* nothing holds it */
    finish();
}

static void a_mount_that_has_given_up_is_not_used_again(void)
{
    AUTO_CLOSE int root = -1;
    uint32_t how = 2; /* without a flush, as when the disk is gone */

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    T_DO(attach("v", at_a, ALICE, 0));
    root = open(at_a, O_RDONLY | O_CLOEXEC);
    T_EQ(ioctl(root, EXT4_SHUTDOWN, &how), 0);
    T_REFUSED(attach("v", at_a, ALICE, 0), ERR_BUSY); /* we are in it */
    close_fd(&root);
    T_DO(attach("v", at_a, ALICE, 0));
    text = "again";
    T_EQ(as_user(ALICE, write_text, at_a), 0);
    T_EQ(as_user(ALICE, same_text, at_a), 0);
    finish();
}

/* Its own sign of having been told of an error: errors=remount-ro. */
static void a_mount_that_found_an_error_is_checked_and_mounted_anew(void)
{
    AUTO_FREE char *trigger = NULL;
    char link[64], target[256] = "";
    struct err none;
    dev_t dev = 0;

    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    put("v", "mine");
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(mnt_is_root(AT_FDCWD, at_a, &dev), 1);
    (void)snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev), minor(dev));
    T_OK(readlink(link, target, sizeof(target) - 1) > 0);
    trigger = mem_printf("/sys/fs/ext4%s/trigger_fs_error", strrchr(target, '/'));
    if (fd_put(AT_FDCWD, trigger, "dormouse", &none) == 0) {
        T_OK(mnt_is_broken(dev, false, &e) == 1);
        text = "again";
        T_EQ(as_user(ALICE, write_text, at_a), 1);
        T_DO(attach("v", at_a, ALICE, 0));
        T_EQ(as_user(ALICE, write_text, at_a), 0);
        T_DO(vol_detach(at_a, &e));
        T_OK(sound("v"));
    } else {
        printf("# no error can be made: %s\n", none.msg);
    }
    finish();
}

/* ---- killed at each named place, then run again ---- */

#ifdef DORM_INJECT
static void a_kill_at_each_named_place_is_survived(void)
{
    static const struct {
        const char *place;
        int (*run)(struct err *);
    } cases[] = {{"vol.snapshot.taken", take_snapshot},
                 {"vol.complete", take_snapshot},
                 {"vol.named", take_snapshot},
                 {"vol.replace.made", restore},
                 {"vol.replace.exchanged", restore},
                 {"vol.replace.kept", restore},
                 {"vol.sealing", restore},
                 {"vol.replace.put.away", put_away},
                 {"vol.sealing", put_away},
                 {"vol.grow.longer", grow},
                 {"vol.grow.complete", grow},
                 {"vol.grow.named", grow},
                 {"vol.grown", grow}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool restored = cases[i].run == restore, away = cases[i].run == put_away;
        int killed;

        begin();
        begin_old_and_new();
        if (cases[i].run == take_snapshot)
            T_DO(vol_destroy(&pool, "s", &e));
        killed = killed_at(cases[i].place, cases[i].run);
        if (!killed)
            printf("# never reached: %s\n", cases[i].place);
        T_OK(killed || pool.how == VOL_COPY);
        /* Neither gone nor half: what has the name is the old or the new. */
        T_OK(away ? vol_exists(&pool, "kept", &e) == 1
                  : has("v", "old") || (restored && has("v", "new")));
        T_DO(cases[i].run(&e));
        T_DO(cases[i].run(&e));
        if (!away)
            T_OK(has("v", restored ? "new" : "old"));
        if (restored || away)
            T_OK(has("kept", "old") && is_sealed("kept"));
        if (cases[i].run == take_snapshot)
            T_OK(has("s", "old") && is_sealed("s"));
        if (cases[i].run == grow)
            T_OK(has_grown());
        finish();
    }
}

static void what_was_interrupted_is_settled_before_another_replacement(void)
{
    struct vol_place place = {.ops = &place_image_ops, .driver = VOL_IMAGE};

    begin();
    begin_old_and_new();
    T_OK(killed_at("vol.replace.exchanged", restore));
    T_DO(vol_replace(&pool, "v", "s", "other", &e));
    T_OK(has("kept", "old") && has("other", "new") && has("v", "new"));
    T_OK(is_sealed("kept") && is_sealed("other"));
    T_OK(killed_at("vol.replace.exchanged", put_away) == false);
    finish();
    begin();
    begin_old_and_new();
    T_OK(killed_at("vol.replace.exchanged", restore));
    place.pool = pool;
    T_EQ(vol_place_exists(&place, "kept", &e), 0);
    T_DO(vol_place_settle(&place, "v", &e));
    T_DO(vol_place_settle(&place, "v", &e));
    T_OK(has("kept", "old") && is_sealed("kept") && has("v", "new"));
    finish();
    begin();
    begin_old_and_new();
    T_OK(killed_at("vol.replace.exchanged", restore));
    T_DO(vol_destroy(&pool, "v", &e));
    T_OK(has("kept", "old") && vol_exists(&pool, "v", &e) == 0);
    finish();
}
#endif

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(a_snapshot_keeps_what_was_and_is_taken_once);
    T_RUN(a_snapshot_under_a_writer_is_as_after_a_power_cut);
    T_RUN(where_nothing_is_shared_only_a_sleeping_volume_has_snapshots);
    T_RUN(a_replaced_volume_is_kept_sealed);
    T_RUN(a_volume_that_is_put_away_leaves_nothing_in_its_place);
    T_RUN(a_volume_grows_with_its_reserve_but_never_shrinks);
    T_RUN(an_attached_volume_grows_now_or_later);
    T_RUN(a_growth_that_was_given_up_leaves_no_trace);
    T_RUN(growing_survives_a_kill);
    T_RUN(an_image_moves_to_another_pool_whole_and_sparse);
    T_RUN(a_volume_that_has_seen_errors_is_mended_before_it_is_used);
    T_RUN(a_volume_that_cannot_be_mended_says_what_to_do);
    T_RUN(a_mount_that_has_given_up_is_not_used_again);
    T_RUN(a_mount_that_found_an_error_is_checked_and_mounted_anew);
#ifdef DORM_INJECT
    T_RUN(a_kill_at_each_named_place_is_survived);
    T_RUN(what_was_interrupted_is_settled_before_another_replacement);
#endif
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
