/* Targets that are too small, by every few kilobytes. Needs root, for small file systems. */
#include "t_backup.h"

#include <sched.h>
#include <sys/mount.h>

static void a_full_target_leaves_no_half_backup_and_says_what_is_missing(void)
{
    int image = image_new(4 * MIB, 100, 1);
    unsigned refused = 0, done = 0;

    for (unsigned kib = 8; kib <= 512; kib += 4) {
        AUTO_FREE char *size = mem_printf("size=%uk", kib);

        target_new();
        T_EQ(mount("tmpfs", target, "tmpfs", 0, size), 0);
        memset(&e, 0, sizeof(e));
        if (make("a", 1, &image, 1, &e) == 0) {
            check("a", &image, 1);
            done++;
        } else {
            T_EQ(e.kind, ERR_NO_SPACE);
            T_OK(strstr(e.msg, target) != NULL && strstr(e.msg, "more are needed") != NULL);
            T_OK(strstr(e.msg, "are free") != NULL && e.hint[0] != '\0');
            T_STR(listed(), "");
            T_EQ(entries(false), 0); /* and the room is free again */
            refused++;
            if (refused == 10)
                printf("# %s\n", e.msg);
        }
        T_EQ(umount(target), 0);
        target_gone();
    }
    printf("# %u too small, %u large enough\n", refused, done);
    T_OK(refused > 20 && done > 20);
    close_fd(&image);
}

static void room_that_is_missing_for_an_image_is_no_image(void)
{
    int image = image_new(4 * MIB, 100, 1), out;
    AUTO_FREE char *small = mem_printf("%s/small", scratch);
    AUTO_FREE char *file = mem_printf("%s/small/out", scratch);
    struct backup *b = NULL;

    target_new();
    T_DO(make("a", 1, &image, 1, &e));
    T_EQ(mkdir(small, 0700), 0);
    T_EQ(mount("tmpfs", small, "tmpfs", 0, "size=64k"), 0);
    out = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    T_DO(backup_open(target, "a", &b, &e));
    T_REFUSED(backup_extract_image(b, "vol0.img", out, NULL, NULL, &e), ERR_NO_SPACE);
    T_EQ(lseek(out, 0, SEEK_END), 0);
    backup_close(b);
    close_fd(&out);
    close_fd(&image);
    T_EQ(umount(small), 0);
    T_EQ(rmdir(small), 0);
    target_gone();
}

int main(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        printf("1..0 # SKIP small file systems are mounted by root\n");
        return EXIT_SUCCESS;
    }
    if (mkdtemp(scratch) == NULL)
        return EXIT_FAILURE;
    T_RUN(a_full_target_leaves_no_half_backup_and_says_what_is_missing);
    T_RUN(room_that_is_missing_for_an_image_is_no_image);
    return tests_end();
}
