/* What a volume's flush costs and what it is worth. Needs root. */
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <time.h>

#include "t_vol.h"

/* XFS' own way to lose power: nothing that is not in the log yet gets there. */
#define GOING_DOWN          _IOR('X', 125, uint32_t)
#define GOING_DOWN_NO_FLUSH 2u

#define SIZE (2 * MIB)

/* A file of the user's, full of one letter, overwritten in place and synced as a database does. */
static int fill(const char *at, char letter)
{
    AUTO_FREE char *path = mem_printf("%s/%s/f", at, VOL_DIR_POD);
    AUTO_FREE char *data = mem_new(SIZE);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    memset(data, letter, SIZE);
    return fd < 0 || pwrite(fd, data, SIZE, 0) != (ssize_t)SIZE || fdatasync(fd) < 0 ? errno : 0;
}

static int fill_with_a(const char *at)
{
    return fill(at, 'a');
}

static int fill_with_b(const char *at)
{
    return fill(at, 'b');
}

static int is_b(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/%s/f", at, VOL_DIR_POD);
    AUTO_FREE char *data = mem_new(SIZE);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || pread(fd, data, SIZE, 0) != (ssize_t)SIZE)
        return errno;
    return data[0] == 'b' && memcmp(data, data + 1, SIZE - 1) == 0 ? 0 : 98;
}

static void start(void)
{
    begin();
    T_DO(vol_image_make(&pool, "t", CAPACITY, &e));
    T_DO(attach("t", at_a, ALICE, 0));
    T_EQ(as_user(ALICE, fill_with_a, at_a), 0);
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_seal(&pool, "t", &e));
    T_DO(vol_clone(&pool, "t", "v", &e));
}

static bool pool_is_xfs(void)
{
    struct statfs fs;

    return fstatfs(pool.images_fd, &fs) == 0 && fs.f_type == XFS_SUPER_MAGIC;
}

static void writing_into_a_volume_leaves_the_times_of_its_image_alone(void)
{
    struct timespec times[2] = {{.tv_sec = 1100000000}, {.tv_sec = 1100000000}};
    struct stat st = {0};

    start();
    if (pool_is_xfs()) {
        T_EQ(utimensat(pool.images_fd, "v.img", times, AT_SYMLINK_NOFOLLOW), 0);
        T_DO(attach("v", at_a, ALICE, 0));
        T_EQ(as_user(ALICE, fill_with_b, at_a), 0);
        T_EQ(image_stat(&pool, "v", &st, &e), 1);
        T_EQ(st.st_mtim.tv_sec, 1100000000);
    }
    finish();
}

/* The first write into blocks that are shared with the template, and later ones. */
static void what_was_synced_in_a_volume_survives_the_loss_of_power(void)
{
    struct vol_pool_spec s = {.dir = pool_dir, .size = pool_size, .hub = "testhub"};
    uint32_t how = GOING_DOWN_NO_FLUSH;

    start();
    if (pool.how == VOL_XFS)
        for (int again = 0; again < 2; again++) {
            T_DO(attach("v", at_a, ALICE, 0));
            if (again == 1)
                T_EQ(as_user(ALICE, fill_with_a, at_a), 0);
            T_EQ(as_user(ALICE, fill_with_b, at_a), 0);
            T_EQ(ioctl(pool.images_fd, GOING_DOWN, &how), 0);
            T_DO(vol_detach(at_a, &e));
            vol_pool_done(&pool);
            T_DO(vol_pool_close(pool_dir, &e));
            T_DO(vol_pool_open(&s, &pool, &e));
            T_DO(attach("v", at_a, ALICE, 0));
            T_EQ(as_user(ALICE, is_b, at_a), 0);
            T_DO(vol_detach(at_a, &e));
        }
    finish();
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(writing_into_a_volume_leaves_the_times_of_its_image_alone);
    T_RUN(what_was_synced_in_a_volume_survives_the_loss_of_power);
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
