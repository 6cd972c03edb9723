/* What a full volume still has, and what a pool gets back, on this machine's own kernel. */
#include "t_vol.h"

/* ---- what the owner of a volume does; each returns 0 or errno ---- */

static int put(const char *at, const char *name, uint64_t bytes)
{
    AUTO_FREE char *path = mem_printf("%s/pod/%s", at, name);
    AUTO_FREE char *block = mem_new(1 << 16);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno;
    memset(block, 'x', 1 << 16);
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = write(fd, block, 1 << 16);

        if (n < 0)
            return errno;
        done += (uint64_t)n;
    }
    return fsync(fd) < 0 ? errno : 0;
}

static int fill(const char *at)
{
    for (int i = 0;; i++) {
        AUTO_FREE char *name = mem_printf("fill%d", i);
        int r = put(at, name, MIB);

        if (r != 0)
            return r;
    }
}

static int put_some(const char *at)
{
    return put(at, "some", 2 * MIB);
}

static int put_three(const char *at)
{
    return put(at, "three", 3 * MIB);
}

static int put_twenty(const char *at)
{
    return put(at, "twenty", 20 * MIB);
}

static int make_files(const char *at, const char *prefix, int n)
{
    for (int i = 0; i < n; i++) {
        AUTO_FREE char *path = mem_printf("%s/pod/%s%d", at, prefix, i);
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
            return errno;
    }
    return 0;
}

static int use_all_inodes(const char *at)
{
    return make_files(at, "i", 100000);
}

static int make_thirty(const char *at)
{
    return make_files(at, "late", 30);
}

static int remove_all(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod", at);
    AUTO_CLOSEDIR DIR *dir = opendir(path);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    return 0;
}

static int remove_sixteen(const char *at)
{
    for (int i = 0; i < 16; i++) {
        AUTO_FREE char *path = mem_printf("%s/pod/fill%d", at, i);

        if (unlink(path) < 0)
            return errno;
    }
    return 0;
}

static int remove_twenty(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/twenty", at);

    return unlink(path) < 0 ? errno : 0;
}

/* ---- looking ---- */

static uint64_t ballast(void)
{
    AUTO_FREE char *path = mem_printf("%s/keep/ballast", at_a);
    struct stat st;

    return lstat(path, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

static enum vol_reserve state(void)
{
    enum vol_reserve got = (enum vol_reserve)99;

    T_DO(vol_reserve_get(at_a, &got, &e));
    return got;
}

static int set(enum vol_reserve to)
{
    return vol_reserve_set(at_a, ALICE, to, &e);
}

static void begin_attached(void)
{
    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
}

static void the_reserve_has_room_for_a_wal_segment_unless_the_volume_is_tiny(void)
{
    T_EQ(reserve_bytes(64 * MIB), 8 * MIB);
    T_EQ(reserve_bytes(1024 * MIB), 24 * MIB);
    T_EQ(reserve_bytes(10240 * MIB), 10240 * MIB / 50 / VOL_BLOCK * VOL_BLOCK);
}

static void a_large_volume_holds_back_two_segments(void)
{
    struct stat st = {0};
    AUTO_FREE char *last = mem_printf("%s/m/a/keep/inodes/63", scratch);

    begin();
    T_DO(vol_image_make(&pool, "v", 1024 * MIB, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_OK(ballast() >= 18 * MIB && ballast() < 19 * MIB);
    T_EQ(lstat(last, &st), 0);
    T_OK(image_blocks("v") < 4 * MIB); /* of the pool it takes nothing */
    finish();
}

static void a_full_volume_has_two_helpings_more(void)
{
    uint64_t full;

    begin_attached();
    full = ballast();
    T_OK(full > 3 * MIB && full < 5 * MIB);
    T_EQ(state(), VOL_RESERVE_CLOSED);
    T_EQ(as_user(ALICE, fill, at_a), ENOSPC);
    T_EQ(as_user(ALICE, put_some, at_a), ENOSPC);
    T_DO(set(VOL_RESERVE_OPEN));
    T_DO(set(VOL_RESERVE_OPEN));
    T_EQ(state(), VOL_RESERVE_OPEN);
    T_EQ(as_user(ALICE, put_some, at_a), 0);
    T_EQ(as_user(ALICE, fill, at_a), ENOSPC);
    T_EQ(as_user(ALICE, put_three, at_a), ENOSPC);
    T_DO(set(VOL_RESERVE_SPENT));
    T_DO(set(VOL_RESERVE_SPENT));
    T_EQ(state(), VOL_RESERVE_SPENT);
    T_EQ(ballast(), 0);
    T_EQ(as_user(ALICE, put_three, at_a), 0);
    /* No room: the ballast is not made anew, and nothing is let in any more. */
    T_DO(set(VOL_RESERVE_CLOSED));
    T_EQ(state(), VOL_RESERVE_CLOSED);
    T_EQ(ballast(), 0);
    T_EQ(as_user(ALICE, put_three, at_a), ENOSPC);
    T_EQ(as_user(ALICE, remove_all, at_a), 0);
    T_DO(set(VOL_RESERVE_CLOSED));
    T_EQ(ballast(), full);
    T_EQ(as_user(ALICE, fill, at_a), ENOSPC);
    T_EQ(as_user(ALICE, put_some, at_a), ENOSPC);
    finish();
}

static void the_owner_gets_the_first_use_of_room_that_was_made(void)
{
    begin_attached();
    T_DO(set(VOL_RESERVE_SPENT));
    T_EQ(as_user(ALICE, fill, at_a), ENOSPC);
    T_EQ(as_user(ALICE, remove_sixteen, at_a), 0); /* root's eight, and eight */
    T_EQ(syncfs(pool.images_fd), 0);
    T_DO(set(VOL_RESERVE_CLOSED));
    T_EQ(ballast(), 0);
    T_EQ(as_user(ALICE, put_three, at_a), 0);
    finish();
}

static void an_opened_reserve_is_nobody_elses(void)
{
    begin_attached();
    T_EQ(as_user(ALICE, fill, at_a), ENOSPC);
    T_DO(vol_reserve_set(at_a, BOB, VOL_RESERVE_OPEN, &e));
    T_EQ(as_user(ALICE, put_some, at_a), ENOSPC);
    T_DO(set(VOL_RESERVE_OPEN));
    T_EQ(as_user(ALICE, put_some, at_a), 0);
    T_REFUSED(vol_reserve_set(at_a, 0, VOL_RESERVE_OPEN, &e), ERR_INPUT);
    /* It ends with the mount. */
    T_DO(vol_detach(at_a, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(state(), VOL_RESERVE_CLOSED);
    finish();
}

static void a_volume_without_inodes_has_some_more(void)
{
    begin_attached();
    T_EQ(as_user(ALICE, use_all_inodes, at_a), ENOSPC);
    T_EQ(as_user(ALICE, make_thirty, at_a), ENOSPC);
    T_DO(set(VOL_RESERVE_SPENT));
    T_EQ(as_user(ALICE, make_thirty, at_a), 0);
    T_EQ(as_user(ALICE, use_all_inodes, at_a), ENOSPC);
    T_DO(set(VOL_RESERVE_CLOSED));
    T_EQ(as_user(ALICE, remove_all, at_a), 0);
    T_DO(set(VOL_RESERVE_CLOSED));
    T_EQ(as_user(ALICE, use_all_inodes, at_a), ENOSPC);
    T_DO(set(VOL_RESERVE_SPENT));
    T_EQ(as_user(ALICE, make_thirty, at_a), 0);
    finish();
}

static void an_image_from_before_gets_a_ballast_when_it_is_closed(void)
{
    AUTO_FREE char *inodes = mem_printf("%s/m/a/keep/inodes", scratch);
    AUTO_FREE char *file = mem_printf("%s/m/a/keep/ballast", scratch);

    begin_attached();
    T_EQ(unlink(file), 0);
    T_EQ(nftw(inodes, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    T_EQ(state(), VOL_RESERVE_CLOSED);
    T_DO(set(VOL_RESERVE_SPENT));
    T_EQ(state(), VOL_RESERVE_SPENT);
    T_DO(set(VOL_RESERVE_CLOSED));
    T_OK(ballast() > 3 * MIB);
    T_EQ(faccessat(AT_FDCWD, inodes, F_OK, 0), 0);
    finish();
}

static void what_is_not_ours_in_keep_is_not_followed(void)
{
    AUTO_FREE char *inodes = mem_printf("%s/m/a/keep/inodes", scratch);
    AUTO_FREE char *file = mem_printf("%s/m/a/keep/ballast", scratch);
    AUTO_FREE char *outside = mem_printf("%s/outside", scratch);
    AUTO_FREE char *victim = mem_printf("%s/00", outside);
    int fd;

    begin_attached();
    T_EQ(mkdir(outside, 0700), 0);
    fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T_OK(fd >= 0);
    close_fd(&fd);
    T_EQ(nftw(inodes, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    T_EQ(symlink(outside, inodes), 0);
    T_REFUSED(set(VOL_RESERVE_SPENT), ERR_OS);
    T_EQ(faccessat(AT_FDCWD, victim, F_OK, 0), 0);
    T_EQ(symlink(victim, file), 0);
    T_REFUSED(set(VOL_RESERVE_CLOSED), ERR_OS);
    T_EQ(unlink(file), 0);
    T_EQ(mkfifo(file, 0600), 0);
    T_REFUSED(set(VOL_RESERVE_CLOSED), ERR_OS);
    T_EQ(unlink(victim), 0);
    T_EQ(rmdir(outside), 0);
    finish();
}

static void only_an_attached_volume_has_a_reserve_or_is_trimmed(void)
{
    enum vol_reserve got;
    uint64_t bytes;

    begin();
    T_REFUSED(vol_reserve_get(at_a, &got, &e), ERR_OS);
    T_REFUSED(vol_reserve_get(scratch, &got, &e), ERR_OS);
    T_REFUSED(vol_reserve_set("/", ALICE, VOL_RESERVE_OPEN, &e), ERR_OS);
    T_REFUSED(vol_trim("/tmp", &bytes, &e), ERR_OS);
    finish();
}

#ifdef DORM_INJECT
static int spend(struct err *err)
{
    return vol_reserve_set(at_a, ALICE, VOL_RESERVE_SPENT, err);
}

static void a_kill_while_it_is_spent_is_survived(void)
{
    static const char *const places[] = {"vol.reserve.given", "vol.reserve.spending"};

    for (size_t i = 0; i < 2; i++) {
        begin_attached();
        T_OK(killed_at(places[i], spend));
        T_EQ(state(), i == 0 ? VOL_RESERVE_OPEN : VOL_RESERVE_SPENT);
        T_DO(spend(&e));
        T_EQ(state(), VOL_RESERVE_SPENT);
        T_EQ(as_user(ALICE, use_all_inodes, at_a), ENOSPC);
        T_EQ(as_user(ALICE, remove_all, at_a), 0);
        T_DO(set(VOL_RESERVE_CLOSED));
        T_EQ(state(), VOL_RESERVE_CLOSED);
        T_OK(ballast() > 3 * MIB);
        finish();
    }
}
#endif

/* ---- trimming ---- */

static uint64_t pool_free(void)
{
    struct vol_space room = {0};

    T_EQ(syncfs(pool.images_fd), 0);
    T_DO(vol_pool_room(&pool, &room, &e));
    return room.free;
}

static uint64_t host_blocks(void)
{
    struct stat st = {0};

    if (pool.how == VOL_XFS)
        T_EQ(fstatat(pool.dir_fd, "pool.xfs", &st, 0), 0);
    return (uint64_t)st.st_blocks;
}

static int look_for_twenty(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/twenty", at);
    AUTO_FREE char *block = mem_new(1 << 16);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t bytes = 0;
    ssize_t n;

    while (fd >= 0 && (n = read(fd, block, 1 << 16)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (block[i] != 'x')
                return 1;
        bytes += (uint64_t)n;
    }
    return bytes == 20 * MIB ? 0 : 1;
}

static void what_is_freed_goes_back_to_the_pool_but_not_to_the_host(void)
{
    uint64_t bytes = 0, before, written, host;

    begin_attached();
    host = host_blocks();
    before = pool_free();
    T_EQ(as_user(ALICE, put_twenty, at_a), 0);
    written = pool_free();
    T_OK(before - written >= 20 * MIB);
    T_EQ(as_user(ALICE, remove_twenty, at_a), 0);
    T_DO(vol_trim(at_a, &bytes, &e));
    T_OK(bytes >= 20 * MIB && bytes < 30 * MIB);
    T_OK(pool_free() >= written + 19 * MIB);
    T_DO(vol_trim(at_a, &bytes, &e));
    T_OK(bytes < MIB);
    T_OK(ballast() > 3 * MIB);
    T_EQ(host_blocks(), host);
    finish();
}

static void what_is_shared_stays_with_those_who_share_it(void)
{
    uint64_t bytes = 0, before, template_blocks, host;

    begin_attached();
    T_EQ(as_user(ALICE, put_twenty, at_a), 0);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_seal(&pool, "v", &e));
    T_DO(vol_clone(&pool, "v", "w", &e));
    T_DO(attach("w", at_a, ALICE, 0));
    template_blocks = image_blocks("v");
    before = pool_free();
    host = host_blocks();
    T_EQ(as_user(ALICE, remove_twenty, at_a), 0);
    T_DO(vol_trim(at_a, &bytes, &e));
    T_OK(bytes >= 20 * MIB);
    T_EQ(image_blocks("v"), template_blocks);
    if (pool.how != VOL_COPY)
        T_OK(pool_free() < before + MIB); /* the template has them still */
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_clone(&pool, "v", "x", &e));
    T_DO(attach("x", at_a, BOB, 0));
    T_EQ(as_user(BOB, look_for_twenty, at_a), 0);
    T_EQ(host_blocks(), host);
    finish();
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(the_reserve_has_room_for_a_wal_segment_unless_the_volume_is_tiny);
    T_RUN(a_large_volume_holds_back_two_segments);
    T_RUN(a_full_volume_has_two_helpings_more);
    T_RUN(the_owner_gets_the_first_use_of_room_that_was_made);
    T_RUN(an_opened_reserve_is_nobody_elses);
    T_RUN(a_volume_without_inodes_has_some_more);
    T_RUN(an_image_from_before_gets_a_ballast_when_it_is_closed);
    T_RUN(what_is_not_ours_in_keep_is_not_followed);
    T_RUN(only_an_attached_volume_has_a_reserve_or_is_trimmed);
#ifdef DORM_INJECT
    T_RUN(a_kill_while_it_is_spent_is_survived);
#endif
    T_RUN(what_is_freed_goes_back_to_the_pool_but_not_to_the_host);
    T_RUN(what_is_shared_stays_with_those_who_share_it);
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
