/* Directories of the host shown to a pod. Needs root and a mount namespace of its own. */
#include "vol/host.h"

#include "t_vol.h"

/* Not in /tmp, which everybody can write to: a disk of our own where nobody else looks. */
#define ROOT "/mnt"

static struct vol_host want;

static bool there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void start(const char *type)
{
    T_EQ(mount("none", ROOT, type, 0, NULL), 0);
    T_EQ(chmod(ROOT, 0755), 0);
    (void)snprintf(at_a, sizeof(at_a), "%s/a", scratch);
    (void)snprintf(at_b, sizeof(at_b), "%s/b", scratch);
    want =
        (struct vol_host){.path = ROOT "/srv/data", .mountpoint = at_a, .uid = ALICE, .gid = ALICE};
}

static void stop(void)
{
    T_DO(vol_host_detach(at_a, &e));
    T_DO(vol_host_detach(at_b, &e));
    T_OK(!there(at_a));
    T_EQ(umount(ROOT), 0);
}

static void make(const char *path, uid_t uid, mode_t mode)
{
    T_EQ(mkdir(path, mode), 0);
    T_EQ(chmod(path, mode), 0);
    T_EQ(chown(path, uid, uid), 0);
}

static int write_file(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/f", at);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    return fd < 0 || write(fd, "x", 1) != 1 ? errno : 0;
}

static uid_t owner(const char *path)
{
    struct stat st = {0};

    T_EQ(lstat(path, &st), 0);
    return st.st_uid;
}

static void a_missing_path_is_made_for_its_owner(void)
{
    struct stat st;

    start("tmpfs");
    T_DO(vol_host_attach(&want, &e));
    T_EQ(as_user(ALICE, write_file, at_a), 0);
    T_EQ(as_user(BOB, write_file, at_a), EACCES);
    T_EQ(stat(ROOT "/srv/data", &st), 0);
    T_OK(st.st_uid == ALICE && st.st_gid == ALICE);
    T_EQ(st.st_mode & 07777, 0700);
    T_EQ(stat(ROOT "/srv", &st), 0);
    T_EQ(st.st_uid, 0);
    T_EQ(st.st_mode & 07777, 0711);
    T_EQ(stat(at_a, &st), 0);
    T_EQ(st.st_mode & 07777, 0711);
    T_DO(vol_host_attach(&want, &e)); /* already shown */
    want.read_only = true;
    T_REFUSED(vol_host_attach(&want, &e), ERR_EXISTS);
    stop();
}

static void data_of_somebody_else_is_shown_as_the_pods(void)
{
    start("tmpfs");
    make(ROOT "/srv", 0, 0755);
    make(ROOT "/srv/data", BOB, 0700);
    T_DO(vol_host_attach(&want, &e));
    T_EQ(as_user(ALICE, write_file, at_a), 0);
    T_EQ(owner(ROOT "/srv/data/f"), BOB);
    T_EQ(as_user(BOB, write_file, at_a), EACCES);
    T_DO(vol_host_attach(&want, &e));
    stop();
}

static void where_ids_cannot_be_mapped_the_chown_is_said(void)
{
    start("ramfs");
    make(ROOT "/srv", 0, 0755);
    make(ROOT "/srv/data", BOB, 0700);
    T_REFUSED(vol_host_attach(&want, &e), ERR_MISSING);
    T_STR(e.hint, "its file system cannot map ids: chown -R 200001:200001 /mnt/srv/data");
    T_EQ(chown(ROOT "/srv/data", ALICE, ALICE), 0);
    T_DO(vol_host_attach(&want, &e));
    T_EQ(as_user(ALICE, write_file, at_a), 0);
    stop();
}

static void roots_own_directory_is_shown_to_be_read_at_most(void)
{
    start("tmpfs");
    make(ROOT "/srv", 0, 0755);
    make(ROOT "/srv/data", 0, 0755);
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    T_STR(e.hint, "chown 200001:200001 /mnt/srv/data");
    want.read_only = true;
    T_DO(vol_host_attach(&want, &e));
    T_DO(vol_host_attach(&want, &e));
    T_EQ(as_user(ALICE, write_file, at_a), EROFS);
    stop();
}

static void a_link_in_the_path_is_refused(void)
{
    start("tmpfs");
    make(ROOT "/real", 0, 0755);
    make(ROOT "/real/data", ALICE, 0700);
    T_EQ(symlink("real", ROOT "/srv"), 0);
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    T_STR(e.msg, "\"srv\" in \"/mnt/srv/data\" is a link");
    want.path = ROOT "/last";
    T_EQ(symlink("real/data", ROOT "/last"), 0);
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    want.path = ROOT "/real/../real/data";
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    want.path = "/";
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    stop();
}

static void a_path_that_others_can_write_to_is_refused(void)
{
    start("tmpfs");
    make(ROOT "/srv", 0, 0755);
    T_EQ(chmod(ROOT "/srv", 01777), 0);
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    T_STR(e.msg, "\"srv\" in \"/mnt/srv/data\" can be written to by others");
    T_OK(!there(ROOT "/srv/data"));
    T_EQ(chmod(ROOT "/srv", 0755), 0);
    T_EQ(chown(ROOT "/srv", BOB, BOB), 0);
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    T_EQ(chown(ROOT "/srv", 0, BOB), 0);
    T_EQ(chmod(ROOT "/srv", 0775), 0);
    T_REFUSED(vol_host_attach(&want, &e), ERR_CONFIG);
    T_EQ(chown(ROOT "/srv", ALICE, ALICE), 0); /* their own is theirs */
    T_DO(vol_host_attach(&want, &e));
    stop();
}

static void what_is_mounted_below_is_not_shown(void)
{
    AUTO_FREE char *seen = mem_printf("%s/pod/inner/secret", at_a);
    AUTO_CLOSE int fd = -1;

    start("tmpfs");
    make(ROOT "/srv", 0, 0755);
    make(ROOT "/srv/data", ALICE, 0700);
    make(ROOT "/srv/data/inner", ALICE, 0700);
    T_EQ(mount("none", ROOT "/srv/data/inner", "tmpfs", 0, NULL), 0);
    fd = open(ROOT "/srv/data/inner/secret", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    T_OK(fd >= 0);
    close_fd(&fd);
    T_DO(vol_host_attach(&want, &e));
    T_OK(!there(seen));
    T_EQ(umount(ROOT "/srv/data/inner"), 0);
    stop();
}

static void two_names_of_one_directory_have_one_lock(void)
{
    char one[VOL_NAME_MAX + 1], two[VOL_NAME_MAX + 1], three[VOL_NAME_MAX + 1];

    start("tmpfs");
    T_REFUSED(vol_host_lock_name(want.path, one, &e), ERR_OS);
    T_DO(vol_host_attach(&want, &e));
    make(ROOT "/bound", 0, 0755);
    T_EQ(mount(want.path, ROOT "/bound", NULL, MS_BIND, NULL), 0);
    T_DO(vol_host_lock_name(want.path, one, &e));
    T_DO(vol_host_lock_name(ROOT "/bound", two, &e));
    T_DO(vol_host_lock_name(ROOT "/srv", three, &e));
    T_OK(vol_name_ok(one));
    T_STR(one, two);
    T_OK(strcmp(one, three) != 0);
    T_EQ(umount(ROOT "/bound"), 0);
    stop();
}

static void what_is_in_use_or_not_ours_is_not_detached(void)
{
    AUTO_FREE char *shown = mem_printf("%s/pod", at_a);
    AUTO_CLOSE int fd = -1;

    start("tmpfs");
    T_DO(vol_host_attach(&want, &e));
    fd = open(shown, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_REFUSED(vol_host_detach(at_a, &e), ERR_BUSY);
    close_fd(&fd);
    T_REFUSED(vol_host_detach(ROOT, &e), ERR_EXISTS);
    want.path = ROOT "/srv/other";
    T_REFUSED(vol_host_attach(&want, &e), ERR_EXISTS);
    T_EQ(mkdir(at_b, 0711), 0);
    T_DO(vol_host_detach(at_b, &e)); /* of a run that was killed before it mounted */
    T_OK(!there(at_b));
    stop();
}

static int show(struct err *err)
{
    return vol_host_attach(&want, err);
}

static int hide(struct err *err)
{
    return vol_host_detach(at_a, err);
}

static void a_kill_at_each_named_place_is_survived(void)
{
#ifdef DORM_INJECT
    static const char *const places[] = {"host.making", "host.made", "host.mapped", "host.placed"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        start("tmpfs");
        if (i == 0)
            make(ROOT "/srv", 0, 0755); /* so that it is the directory itself that is half made */
        T_OK(killed_at(places[i], show));
        T_DO(vol_host_attach(&want, &e));
        T_EQ(as_user(ALICE, write_file, at_a), 0);
        T_OK(killed_at(i == 0 ? "tree.unmounting" : "tree.unmounted", hide));
        T_DO(vol_host_detach(at_a, &e));
        stop();
    }
#else
    (void)show;
    (void)hide;
#endif
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(a_missing_path_is_made_for_its_owner);
    T_RUN(data_of_somebody_else_is_shown_as_the_pods);
    T_RUN(where_ids_cannot_be_mapped_the_chown_is_said);
    T_RUN(roots_own_directory_is_shown_to_be_read_at_most);
    T_RUN(a_link_in_the_path_is_refused);
    T_RUN(a_path_that_others_can_write_to_is_refused);
    T_RUN(what_is_mounted_below_is_not_shown);
    T_RUN(two_names_of_one_directory_have_one_lock);
    T_RUN(what_is_in_use_or_not_ours_is_not_detached);
    T_RUN(a_kill_at_each_named_place_is_survived);
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
