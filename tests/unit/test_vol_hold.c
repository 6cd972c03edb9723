/* Holding a volume, and bounding what it may have written and not on the disk. Needs root. */
#include <sys/sysmacros.h>

#include "vol/hold.h"

#include "t_vol.h"

/* ---- what the volume's user does ---- */

static int put(const char *at, const char *name, size_t size)
{
    AUTO_FREE char *path = mem_printf("%s/pod/%s", at, name);
    AUTO_FREE char *data = mem_new(size);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    memset(data, 'x', size);
    for (size_t done = 0; fd >= 0 && done < size;) {
        ssize_t n = write(fd, data + done, size - done);

        if (n < 0)
            return errno;
        done += (size_t)n;
    }
    return fd < 0 || fsync(fd) < 0 ? errno : 0;
}

static int put_first(const char *at)
{
    return put(at, "first", 8 * MIB);
}

static int put_second(const char *at)
{
    return put(at, "second", 4 * MIB);
}

static int put_third(const char *at)
{
    return put(at, "third", 12 * MIB);
}

static int delete_first(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/first", at);

    return unlink(path) < 0 ? errno : 0;
}

static int delete_second(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/second", at);

    return unlink(path) < 0 ? errno : 0;
}

/* ---- hold ---- */

static uint64_t room(void)
{
    struct vol_space space = {0};

    T_DO(vol_usage(at_a, &space, &e));
    return space.free;
}

static void start(void)
{
    begin();
    T_DO(vol_image_make(&pool, "v", CAPACITY, &e));
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(as_user(ALICE, put_first, at_a), 0);
}

static void a_held_volume_cannot_grow_until_it_is_let_go(void)
{
    uint64_t before;

    start();
    before = room();
    T_OK(before > 16 * MIB);
    T_EQ(vol_held(at_a, &e), 0);
    T_DO(vol_hold(at_a, true, &e));
    T_EQ(vol_held(at_a, &e), 1);
    T_DO(vol_hold(at_a, true, &e));
    T_EQ(room(), 0);
    T_EQ(as_user(ALICE, put_second, at_a), ENOSPC);
    T_DO(vol_hold(at_a, false, &e));
    T_EQ(vol_held(at_a, &e), 0);
    T_DO(vol_hold(at_a, false, &e));
    T_OK(room() > before - MIB);
    T_EQ(as_user(ALICE, put_third, at_a), 0);
    finish();
}

static void a_hold_costs_the_pool_nothing(void)
{
    uint64_t before;

    start();
    before = image_blocks("v");
    T_DO(vol_hold(at_a, true, &e));
    T_OK(room() == 0);
    T_DO(vol_detach(at_a, &e)); /* all of it is written */
    T_OK(image_blocks("v") < before + MIB);
    T_DO(attach("v", at_a, ALICE, 0));
    T_EQ(vol_held(at_a, &e), 1);
    T_EQ(as_user(ALICE, put_second, at_a), ENOSPC);
    finish();
}

static void who_is_held_can_delete_and_use_that_until_the_next_hold(void)
{
    start();
    T_DO(vol_hold(at_a, true, &e));
    T_EQ(as_user(ALICE, delete_first, at_a), 0);
    T_EQ(as_user(ALICE, put_second, at_a), 0);
    T_EQ(as_user(ALICE, put_third, at_a), ENOSPC);
    T_EQ(as_user(ALICE, delete_second, at_a), 0);
    T_DO(vol_hold(at_a, true, &e));
    T_EQ(as_user(ALICE, put_second, at_a), ENOSPC);
    finish();
}

static void nothing_but_a_volume_is_held(void)
{
    begin();
    T_EQ(vol_hold(mounts, true, &e), -1);
    T_EQ(vol_hold(at_a, true, &e), -1);
    T_EQ(vol_held(at_a, &e), -1);
    T_EQ(vol_bound_dirty(at_a, MIB, &e), -1);
    finish();
}

/* ---- what is written and not yet on the disk ---- */

static dev_t device(void)
{
    struct stat st = {0};

    T_EQ(stat(at_a, &st), 0);
    return st.st_dev;
}

/* Of the device's bdi; -1 where this kernel does not have the file. */
static int64_t limit(dev_t dev, const char *name)
{
    AUTO_FREE char *path = mem_printf("/sys/class/bdi/%u:%u/%s", major(dev), minor(dev), name);
    unsigned long long value;
    struct err ignored;

    return fd_get_u64(AT_FDCWD, path, &value, &ignored) < 0 ? -1 : (int64_t)value;
}

/* Exactly: a limit in bytes. Else the kernel only knows a part of all memory. */
static void expect_bound(dev_t dev, bool exactly)
{
    if (exactly) {
        T_EQ(limit(dev, "strict_limit"), 1);
        T_OK(limit(dev, "max_bytes") > 0 && limit(dev, "max_bytes") <= (int64_t)(16 * MIB));
    } else {
        T_EQ(limit(dev, "max_ratio"), 1);
    }
}

static void expect_free(dev_t dev, bool exactly)
{
    T_EQ(limit(dev, "strict_limit"), exactly ? 0 : -1);
    T_EQ(limit(dev, "max_ratio"), 100);
}

static void the_bound_goes_with_the_volume(void)
{
    dev_t dev;
    int exactly;

    start();
    dev = device();
    exactly = vol_bound_dirty(at_a, 16 * MIB, &e);
    T_OK(exactly >= 0);
    expect_bound(dev, exactly == 1);
    T_EQ(vol_bound_dirty(at_a, 16 * MIB, &e), exactly);
    expect_bound(dev, exactly == 1);
    T_DO(vol_detach(at_a, &e));
    expect_free(dev, exactly == 1);
    finish();
}

/* As when dormd was killed between the bound and the detach, and the kernel gave the device back.
 */
static void a_bound_that_nobody_took_off_does_not_hurt_the_next(void)
{
    dev_t dev;
    int exactly;

    start();
    dev = device();
    exactly = vol_bound_dirty(at_a, 16 * MIB, &e);
    T_OK(exactly >= 0);
    T_EQ(umount2(at_a, 0), 0);
    T_DO(attach("v", at_a, ALICE, 0));
    if (device() == dev)
        expect_free(dev, exactly == 1);
    finish();
}

static void a_volume_that_stays_stays_bound(void)
{
    AUTO_CLOSE int fd = -1;
    dev_t dev;
    int exactly;

    start();
    dev = device();
    exactly = vol_bound_dirty(at_a, 16 * MIB, &e);
    T_OK(exactly >= 0);
    fd = open(at_a, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_REFUSED(vol_detach(at_a, &e), ERR_BUSY);
    expect_bound(dev, exactly == 1);
    close_fd(&fd);
    T_DO(vol_detach(at_a, &e));
    expect_free(dev, exactly == 1);
    finish();
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(a_held_volume_cannot_grow_until_it_is_let_go);
    T_RUN(a_hold_costs_the_pool_nothing);
    T_RUN(who_is_held_can_delete_and_use_that_until_the_next_hold);
    T_RUN(nothing_but_a_volume_is_held);
    T_RUN(the_bound_goes_with_the_volume);
    T_RUN(a_bound_that_nobody_took_off_does_not_hurt_the_next);
    T_RUN(a_volume_that_stays_stays_bound);
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
