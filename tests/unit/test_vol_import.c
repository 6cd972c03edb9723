/* Images from elsewhere. */
#include "t_vol.h"

static int from_image(const char *name, const char *as, off_t size, bool sealed)
{
    AUTO_CLOSE int from = image_open(&pool, name, O_RDONLY, &e);
    AUTO_CLOSE int fd = vol_import_begin(&pool, as, &e);
    struct stat st;

    if (from < 0 || fd < 0 || fstat(from, &st) < 0 || draft_copy_sparse(from, fd, st.st_size) < 0)
        return -2;
    if (size != 0 && ftruncate(fd, size) < 0)
        return -2;
    return vol_import_finish(&pool, fd, as, sealed, &e);
}

static void what_is_whole_becomes_a_volume(void)
{
    uint64_t extents;

    begin();
    T_DO(vol_image_make(&pool, "source", CAPACITY, &e));
    T_DO(from_image("source", "copy", 0, false));
    T_DO(attach("copy", at_a, ALICE, 0));
    T_DO(vol_detach(at_a, &e));
    T_DO(vol_snapshot(&pool, "copy", "shot", &extents, &e));
    finish();
}

static void what_is_sealed_can_be_cloned_and_read(void)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    begin();
    T_DO(vol_image_make(&pool, "source", CAPACITY, &e));
    T_REFUSED(vol_sealed_open(&pool, "source", &e), ERR_INTERNAL);
    T_DO(from_image("source", "copy", 0, true));
    T_EQ(image_stat(&pool, "copy", &st, &e), 1);
    T_EQ(st.st_mode & 07777, 0400);
    T_DO(vol_clone(&pool, "copy", "clone", &e));
    T_DO(vol_replace(&pool, "source", "copy", "kept", &e));
    fd = vol_sealed_open(&pool, "copy", &e);
    T_OK(fd >= 0);
    close_fd(&fd);
    finish();
}

static void what_is_no_file_system_of_its_size_is_refused(void)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    begin();
    T_DO(vol_image_make(&pool, "source", CAPACITY, &e));
    T_REFUSED(from_image("source", "cut", (off_t)(CAPACITY / 2), true), ERR_INPUT);
    T_REFUSED(from_image("source", "odd", (off_t)CAPACITY + 1, true), ERR_INPUT);
    T_REFUSED(from_image("source", "tiny", 4096, true), ERR_INPUT);
    fd = vol_import_begin(&pool, "zeros", &e);
    T_EQ(ftruncate(fd, (off_t)CAPACITY), 0);
    T_REFUSED(vol_import_finish(&pool, fd, "zeros", true, &e), ERR_OS);
    T_REFUSED(vol_import_begin(&pool, "../x", &e), ERR_INPUT);
    T_EQ(image_stat(&pool, "cut", &st, &e), 0);
    T_EQ(image_stat(&pool, "zeros", &st, &e), 0);
    close_fd(&fd);
    finish();
}

static void a_name_that_is_there_stays_what_it_is(void)
{
    struct stat before, after;

    begin();
    T_DO(vol_image_make(&pool, "source", CAPACITY, &e));
    T_DO(from_image("source", "copy", 0, true));
    T_EQ(image_stat(&pool, "copy", &before, &e), 1);
    T_DO(from_image("source", "copy", 0, true));
    T_EQ(image_stat(&pool, "copy", &after, &e), 1);
    T_EQ(before.st_ino, after.st_ino);
    finish();
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(what_is_whole_becomes_a_volume);
    T_RUN(what_is_sealed_can_be_cloned_and_read);
    T_RUN(what_is_no_file_system_of_its_size_is_refused);
    T_RUN(a_name_that_is_there_stays_what_it_is);
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
