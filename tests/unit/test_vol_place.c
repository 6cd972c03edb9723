/* Storage classes of each driver on this machine's own kernel. Needs root. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "vol/host.h"
#include "vol/place.h"

#include "t_vol.h"

static char disk[64], class_dir[80], nfs_point[80];
static struct vol_place place, images;
static struct vol_place_spec spec;

/* ---- fixture: a disk, a class on it, an image class beside it ---- */

static struct vol_place_spec image_spec(void)
{
    return (struct vol_place_spec){.class = "images",
                                   .driver = VOL_IMAGE,
                                   .pool = {.dir = pool_dir, .size = 400 * MIB, .hub = "testhub"}};
}

/* type: of the file system of the disk; NULL: what /tmp is on. */
static void disk_up(const char *type)
{
    (void)snprintf(disk, sizeof(disk), "%s/disk", scratch);
    (void)snprintf(class_dir, sizeof(class_dir), "%s/class", disk);
    (void)snprintf(pool_dir, sizeof(pool_dir), "%s/pool", scratch);
    (void)snprintf(mounts, sizeof(mounts), "%s/m", scratch);
    (void)snprintf(at_a, sizeof(at_a), "%s/a", mounts);
    (void)snprintf(at_b, sizeof(at_b), "%s/b", mounts);
    T_EQ(mkdir(disk, 0755), 0);
    T_EQ(mkdir(mounts, 0711), 0);
    if (type != NULL)
        T_EQ(mount("none", disk, type, 0, NULL), 0);
    T_EQ(chmod(disk, 0755), 0);
    spec = (struct vol_place_spec){
        .class = "ssd", .driver = VOL_DIRECTORY, .path = class_dir, .hub = "testhub"};
}

static void start(const char *type)
{
    disk_up(type);
    T_DO(vol_place_open(&spec, &place, &e));
}

/* What a test left there: whose it is, its driver says. */
static void take_off(const char *at)
{
    if (images.ops == NULL || vol_place_detach(&images, at, &e) < 0)
        T_DO(vol_place_detach(&place, at, &e));
}

static int drop(void *owner, const struct vol_image *v, struct err *err)
{
    return vol_place_destroy(owner, v->name, err);
}

static bool volumes_empty(void)
{
    AUTO_CLOSE int fd = openat(place.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool empty = dir != NULL;

    (void)take_fd(&fd);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (!str_is(entry->d_name, ".") && !str_is(entry->d_name, "..")) {
            printf("# left: %s\n", entry->d_name);
            empty = false;
        }
    return empty;
}

static void disk_down(void)
{
    (void)umount(disk);
    T_EQ(nftw(disk, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    T_EQ(rmdir(mounts), 0);
}

static void stop(void)
{
    take_off(at_a);
    take_off(at_b);
    T_DO(vol_place_list(&place, drop, &place, &e));
    T_OK(volumes_empty());
    vol_place_done(&place);
    T_DO(vol_place_close(&spec, &e));
    if (images.ops != NULL) {
        struct vol_place_spec s = image_spec();

        T_DO(vol_place_list(&images, drop, &images, &e));
        vol_place_done(&images);
        T_DO(vol_place_close(&s, &e));
        T_EQ(nftw(pool_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
    disk_down();
}

static void with_images(void)
{
    struct vol_place_spec s = image_spec();

    T_DO(vol_place_open(&s, &images, &e));
}

static int on(const struct vol_place *p, const char *id, const char *at, uid_t uid, unsigned flags)
{
    struct vol_attach want = {
        .image = id, .mountpoint = at, .uid = uid, .gid = uid, .flags = flags};

    return vol_place_attach(p, &want, &e);
}

static const char *said; /* what as_user() is to write or find */

static int write_said(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/f", at);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    return fd < 0 || write(fd, said, strlen(said)) < 0 ? errno : 0;
}

static int find_said(const char *at)
{
    AUTO_FREE char *path = mem_printf("%s/pod/f", at);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char got[64] = "";

    if (fd < 0 || read(fd, got, sizeof(got) - 1) < 0)
        return errno;
    return str_is(got, said) ? 0 : 98;
}

static void say(const struct vol_place *p, const char *id, uid_t uid, const char *text)
{
    said = text;
    T_DO(on(p, id, at_a, uid, 0));
    T_EQ(as_user(uid, write_said, at_a), 0);
    T_DO(vol_place_detach(p, at_a, &e));
}

static bool says(const struct vol_place *p, const char *id, uid_t uid, const char *text,
                 unsigned flags)
{
    int r;

    said = text;
    T_DO(on(p, id, at_b, uid, flags));
    r = as_user(uid, find_said, at_b);
    T_DO(vol_place_detach(p, at_b, &e));
    if (r != 0)
        printf("# %s: %d\n", id, r);
    return r == 0;
}

static void make_template(const struct vol_place *p, const char *name, const char *text)
{
    T_DO(vol_place_make(p, "unfit", CAPACITY, ALICE, ALICE, &e));
    say(p, "unfit", ALICE, text);
    T_DO(vol_place_publish(p, "unfit", name, &e));
    T_DO(vol_place_publish(p, "unfit", name, &e));
    T_DO(vol_place_publish(p, name, name, &e));
    T_EQ(vol_place_exists(p, "unfit", &e), 0);
}

static bool there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* ---- the place ---- */

static void a_place_is_made_once_and_found_again(void)
{
    struct vol_place again;
    char id[ID_SIZE];
    struct stat st;

    start(NULL);
    T_STR(vol_driver_name(place.driver), "directory");
    T_STR(place.path, class_dir);
    T_OK(place.idmaps);
    T_OK(!vol_place_enforces(&place));
    memcpy(id, place.id, sizeof(id));
    spec.id = id;
    T_DO(vol_place_open(&spec, &again, &e));
    T_STR(again.id, id);
    vol_place_done(&again);
    vol_place_done(&again);
    T_EQ(fstat(place.dir_fd, &st), 0);
    T_EQ(st.st_mode & 07777, 0700); /* on the disk all volumes may be one host user's */
    stop();
}

static void a_disk_that_is_not_mounted_is_missed_and_nothing_is_made_in_its_place(void)
{
    AUTO_FREE char *want = NULL;
    char id[ID_SIZE];

    disk_up("tmpfs");
    spec.path = disk;
    T_DO(vol_place_open(&spec, &place, &e));
    memcpy(id, place.id, sizeof(id));
    vol_place_done(&place);
    T_EQ(umount(disk), 0);
    spec.id = id;
    want = mem_printf("disk %s is not there", disk);
    T_REFUSED(vol_place_open(&spec, &place, &e), ERR_MISSING);
    T_STR(e.msg, want);
    T_STR(e.hint, "mount it, or remove the storage class \"ssd\" from the hub file");
    T_OK(place.ops == NULL);
    T_EQ(rmdir(disk), 0); /* nothing is in it */
    T_REFUSED(vol_place_open(&spec, &place, &e), ERR_MISSING);
    T_STR(e.msg, want);
    T_OK(!there(disk));
    T_EQ(mkdir(disk, 0755), 0);
    disk_down();
}

static void another_disk_is_not_taken_for_the_one_that_was_there(void)
{
    AUTO_FREE char *want = NULL;
    struct vol_place other;

    start("tmpfs");
    want = mem_printf("disk %s is not there", class_dir);
    spec.id = "abcdefghijklm";
    T_REFUSED(vol_place_open(&spec, &other, &e), ERR_MISSING);
    T_STR(e.msg, want);
    T_OK(strstr(e.hint, "abcdefghijklm") != NULL);
    spec.id = NULL;
    spec.hub = "anotherhub";
    T_REFUSED(vol_place_open(&spec, &other, &e), ERR_CONFIG);
    T_OK(strstr(e.msg, "belongs to another hub (testhub)") != NULL);
    spec.hub = "testhub";
    stop();
}

static void a_pool_whose_disk_is_gone_says_the_same(void)
{
    struct vol_place_spec s;
    AUTO_FREE char *want = NULL;
    struct vol_place p;

    disk_up("tmpfs");
    s = image_spec();
    s.pool.dir = disk;
    s.pool.id = "abcdefghijklm";
    want = mem_printf("disk %s is not there", disk);
    T_REFUSED(vol_place_open(&s, &p, &e), ERR_MISSING);
    T_STR(e.msg, want);
    T_EQ(umount(disk), 0);
    T_EQ(rmdir(disk), 0);
    T_REFUSED(vol_place_open(&s, &p, &e), ERR_MISSING);
    T_STR(e.msg, want);
    T_OK(!there(disk));
    T_EQ(mkdir(disk, 0755), 0);
    disk_down();
}

static void directories_are_not_taken_for_images_nor_the_other_way(void)
{
    struct vol_place_spec s;
    struct vol_place p;

    start("tmpfs");
    s = image_spec();
    s.pool.dir = class_dir;
    T_REFUSED(vol_place_open(&s, &p, &e), ERR_CONFIG);
    T_OK(strstr(e.msg, "are directories") != NULL);
    with_images();
    s = spec;
    s.path = pool_dir;
    T_REFUSED(vol_place_open(&s, &p, &e), ERR_CONFIG);
    T_OK(strstr(e.msg, "are images") != NULL);
    stop();
}

static void a_place_others_can_write_to_is_refused(void)
{
    disk_up("tmpfs");
    T_EQ(mkdir(class_dir, 0755), 0);
    T_EQ(chmod(class_dir, 01777), 0);
    T_REFUSED(vol_place_open(&spec, &place, &e), ERR_CONFIG);
    disk_down();
}

static void an_export_that_cannot_be_mounted_says_so_at_once_and_leaves_nothing(void)
{
    uint64_t before = clock_ms();
    struct vol_place p;

    disk_up(NULL);
    (void)snprintf(nfs_point, sizeof(nfs_point), "%s/nfs/fast", disk);
    spec = (struct vol_place_spec){.class = "fast",
                                   .driver = VOL_NFS,
                                   .server = "192.0.2.1",
                                   .export_path = "/export",
                                   .options = "vers=4.2",
                                   .mountpoint = nfs_point,
                                   .hub = "testhub"};
    if (mnt_type_known("nfs4") == 1) {
        printf("# this kernel has an NFS client\n");
    } else {
        T_REFUSED(vol_place_open(&spec, &p, &e), ERR_MISSING);
        T_STR(e.msg, "could not mount \"192.0.2.1:/export\": this kernel has no NFS client");
        T_OK(clock_ms() - before < 2000);
    }
    nfs_point[strlen(disk) + 4] = '\0';
    T_OK(!there(nfs_point));
    nfs_point[strlen(disk) + 4] = '/';
    spec.server = "-o";
    T_REFUSED(vol_place_open(&spec, &p, &e), ERR_CONFIG);
    spec.server = "192.0.2.1";
    T_DO(vol_place_close(&spec, &e));
    disk_down();
}

/* ---- volumes ---- */

/* counts: its file system says how much room there is. */
static void whole_life(const struct vol_place *p, bool counts)
{
    uint64_t used, capacity;
    struct vol_space space;

    make_template(p, "t", "from the template");
    T_DO(vol_place_clone(p, "t", "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_clone(p, "t", "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_clone(p, "t", "b", CAPACITY, BOB, BOB, &e));
    T_EQ(vol_place_exists(p, "a", &e), 1);
    T_OK(says(p, "a", ALICE, "from the template", 0));
    say(p, "a", ALICE, "hers");
    T_OK(says(p, "b", BOB, "from the template", 0));
    T_OK(says(p, "t", ALICE, "from the template", VOL_READ_ONLY) ||
         !p->idmaps); /* made for her: nobody else's without a map */
    T_DO(vol_place_used(p, "a", &used, &capacity, &e));
    T_OK(used > 0);
    T_DO(on(p, "a", at_a, ALICE, 0));
    T_DO(on(p, "a", at_a, ALICE, 0));
    T_EQ(as_user(BOB, find_said, at_a), EACCES);
    T_REFUSED(on(p, "a", at_b, ALICE, 0), ERR_BUSY);
    T_OK(!there(at_b));
    T_REFUSED(vol_place_destroy(p, "a", &e), ERR_BUSY);
    T_DO(vol_place_detach(p, at_a, &e));
    T_OK(!there(at_a));
    T_DO(vol_place_detach(p, at_a, &e));
    T_REFUSED(on(p, "t", at_a, ALICE, 0), ERR_INPUT); /* sealed */
    T_REFUSED(on(p, "a", at_a, 0, 0), ERR_INPUT);
    T_DO(vol_place_destroy(p, "a", &e));
    T_DO(vol_place_destroy(p, "a", &e));
    T_EQ(vol_place_exists(p, "a", &e), 0);
    T_DO(vol_place_room(p, &space, &e));
    T_OK(space.free > 0 || !counts);
}

static void volumes_live_alike_whatever_the_driver(void)
{
    static const char *const types[] = {NULL, "tmpfs", "ramfs"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        start(types[i]);
        T_EQ(place.idmaps, i < 2); /* ramfs has no id maps: a volume is its owner's */
        whole_life(&place, i < 2);
        stop();
    }
    start("tmpfs");
    with_images();
    T_OK(vol_place_enforces(&images));
    whole_life(&images, true);
    stop();
}

static void a_mount_has_what_an_images_has(void)
{
    AUTO_FREE char *pod = NULL;
    struct stat st, raw;

    start(NULL);
    T_DO(vol_place_make(&place, "a", CAPACITY, ALICE, ALICE, &e));
    T_EQ(mknodat(place.dir_fd, "a/pod/null", S_IFCHR | 0666, makedev(1, 3)), 0);
    T_DO(on(&place, "a", at_a, ALICE, 0));
    pod = mem_printf("%s/pod", at_a);
    T_EQ(stat(at_a, &st), 0);
    T_OK(st.st_uid == 0 && (st.st_mode & 07777) == 0711);
    T_EQ(stat(pod, &st), 0);
    T_OK(st.st_uid == ALICE && st.st_gid == ALICE && (st.st_mode & 07777) == 0700);
    T_EQ(fstatat(place.dir_fd, "a/pod", &raw, 0), 0);
    T_OK(raw.st_uid == VOL_DISK_UID && raw.st_gid == VOL_DISK_GID);
    T_EQ(fstatat(place.dir_fd, "a/keep", &raw, 0), 0);
    T_OK(raw.st_uid == 0 && (raw.st_mode & 07777) == 0700);
    free(pod);
    pod = mem_printf("%s/pod/null", at_a);
    T_EQ(open(pod, O_RDONLY | O_CLOEXEC), -1);
    T_EQ(errno, EACCES); /* nodev */
    stop();
}

static void files_of_the_disks_own_user_are_not_their_users(void)
{
    start(NULL);
    T_DO(vol_place_make(&place, "a", CAPACITY, ALICE, ALICE, &e));
    (void)snprintf(at_a, sizeof(at_a), "%s/volumes/a", class_dir);
    T_EQ(as_user(VOL_DISK_UID, write_said, at_a), EACCES);
    (void)snprintf(at_a, sizeof(at_a), "%s/a", mounts);
    stop();
}

static void what_is_mounted_is_only_taken_off_when_it_is_a_volume(void)
{
    AUTO_FREE char *alike = NULL;

    start("tmpfs");
    T_EQ(mkdir(at_a, 0711), 0);
    T_EQ(mount("none", at_a, "tmpfs", 0, NULL), 0);
    T_REFUSED(vol_place_detach(&place, at_a, &e), ERR_EXISTS);
    T_EQ(umount(at_a), 0);
    T_DO(vol_place_make(&place, "a", CAPACITY, ALICE, ALICE, &e));
    T_EQ(mount(disk, at_a, NULL, MS_BIND, NULL), 0);
    T_REFUSED(vol_place_detach(&place, at_a, &e), ERR_EXISTS);
    T_REFUSED(on(&place, "a", at_a, ALICE, 0), ERR_EXISTS);
    T_EQ(umount(at_a), 0);
    alike = mem_printf("%s/volumes", disk);
    T_EQ(mkdir(alike, 0700), 0);
    free(alike);
    alike = mem_printf("%s/volumes/a", disk); /* of another place, or of nobody's */
    T_EQ(mkdir(alike, 0711), 0);
    T_EQ(mount(alike, at_a, NULL, MS_BIND, NULL), 0);
    T_REFUSED(vol_place_detach(&place, at_a, &e), ERR_EXISTS);
    T_EQ(umount(at_a), 0);
    T_EQ(rmdir(at_a), 0);
    stop();
}

/* ---- snapshots and what is done with them ---- */

static void snapshots(const struct vol_place *p)
{
    struct vol_shot shot = {.took_us = 9};

    make_template(p, "t", "old");
    T_DO(vol_place_clone(p, "t", "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_snapshot(p, "a", "s1", NULL, &shot, &e));
    T_OK(shot.took_us > 0);
    T_DO(vol_place_snapshot(p, "a", "s1", NULL, &shot, &e));
    T_EQ(shot.took_us, 0);
    say(p, "a", ALICE, "new");
    T_OK(says(p, "s1", ALICE, "old", VOL_READ_ONLY));
    T_DO(vol_place_replace(p, "a", "s1", "k1", ALICE, ALICE, &e));
    T_DO(vol_place_replace(p, "a", "s1", "k1", ALICE, ALICE, &e));
    T_OK(says(p, "a", ALICE, "old", 0));
    T_OK(says(p, "k1", ALICE, "new", VOL_READ_ONLY));
    T_DO(vol_place_replace(p, "a", "k1", "k2", ALICE, ALICE, &e));
    T_OK(says(p, "a", ALICE, "new", 0));
    T_OK(says(p, "k2", ALICE, "old", VOL_READ_ONLY));
    T_DO(vol_place_replace(p, "a", NULL, "k3", ALICE, ALICE, &e));
    T_DO(vol_place_replace(p, "a", NULL, "k3", ALICE, ALICE, &e));
    T_EQ(vol_place_exists(p, "a", &e), 0);
    T_OK(says(p, "k3", ALICE, "new", VOL_READ_ONLY));
    T_REFUSED(on(p, "k3", at_a, ALICE, 0), ERR_INPUT);
    T_DO(vol_place_replace(p, "a", "k3", "k4", ALICE, ALICE, &e));
    T_OK(says(p, "a", ALICE, "new", 0));
    T_EQ(vol_place_exists(p, "k4", &e), 0); /* there was nothing to keep */
}

static void a_volume_goes_back_to_a_snapshot_and_keeps_what_it_was(void)
{
    start(NULL);
    snapshots(&place);
    stop();
    start("ramfs");
    with_images();
    snapshots(&place);
    snapshots(&images);
    stop();
}

static void a_directory_that_is_attached_is_not_copied(void)
{
    struct vol_shot shot;

    start("tmpfs");
    make_template(&place, "t", "x");
    T_DO(vol_place_clone(&place, "t", "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(on(&place, "a", at_a, ALICE, 0));
    T_REFUSED(vol_place_snapshot(&place, "a", "s", at_a, &shot, &e), ERR_BUSY);
    T_STR(e.hint, "stop its server first");
    T_REFUSED(vol_place_replace(&place, "a", "t", "k", ALICE, ALICE, &e), ERR_BUSY);
    T_EQ(vol_place_exists(&place, "s", &e), 0);
    T_DO(vol_place_detach(&place, at_a, &e));
    T_DO(vol_place_snapshot(&place, "a", "s", at_a, &shot, &e));
    stop();
}

static void an_attached_image_is_flushed_into_its_snapshot(void)
{
    struct vol_shot shot;

    start("tmpfs");
    with_images();
    T_DO(vol_place_make(&images, "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(on(&images, "a", at_a, ALICE, 0));
    said = "not synced by anybody";
    T_EQ(as_user(ALICE, write_said, at_a), 0);
    if (images.pool.how == VOL_COPY) {
        T_REFUSED(vol_place_snapshot(&images, "a", "s", at_a, &shot, &e), ERR_BUSY);
    } else {
        T_DO(vol_place_snapshot(&images, "a", "s", at_a, &shot, &e));
        T_OK(shot.extents > 0);
        /* its journal has to be played back, and it is sealed */
        T_DO(vol_place_copy(&images, &place, "s", 0, ALICE, ALICE, &e));
        T_OK(says(&place, "s", ALICE, said, VOL_READ_ONLY));
        T_DO(vol_place_clone(&place, "s", "b", 0, BOB, BOB, &e));
        T_OK(says(&place, "b", BOB, said, 0));
    }
    stop();
}

/* ---- from one place to another ---- */

static void a_volume_moves_between_drivers_and_back(void)
{
    uint64_t used, capacity;

    start("ramfs");
    with_images();
    make_template(&place, "t", "moved");
    T_DO(vol_place_clone(&place, "t", "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_copy(&place, &images, "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_copy(&place, &images, "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_used(&images, "a", &used, &capacity, &e));
    T_EQ(capacity, CAPACITY);
    T_OK(says(&images, "a", ALICE, "moved", 0));
    T_OK(says(&place, "a", ALICE, "moved", 0)); /* the source stays */
    T_DO(vol_place_destroy(&place, "a", &e));
    T_DO(vol_place_copy(&images, &place, "a", 0, BOB, BOB, &e));
    T_OK(says(&place, "a", BOB, "moved", 0));
    /* a sealed one stays sealed, and can be cloned from */
    T_DO(vol_place_copy(&place, &images, "t", 0, ALICE, ALICE, &e));
    T_DO(vol_place_clone(&images, "t", "b", 0, BOB, BOB, &e));
    T_DO(vol_place_copy(&place, &images, "t", 0, ALICE, ALICE, &e));
    T_OK(says(&images, "b", BOB, "moved", 0));
    stop();
}

static void an_attached_volume_is_not_copied_elsewhere(void)
{
    start("tmpfs");
    with_images();
    T_DO(vol_place_make(&place, "a", CAPACITY, ALICE, ALICE, &e));
    T_DO(vol_place_make(&images, "i", CAPACITY, ALICE, ALICE, &e));
    T_DO(on(&place, "a", at_a, ALICE, 0));
    T_DO(on(&images, "i", at_b, ALICE, 0));
    T_REFUSED(vol_place_copy(&place, &images, "a", CAPACITY, ALICE, ALICE, &e), ERR_BUSY);
    T_REFUSED(vol_place_copy(&images, &place, "i", CAPACITY, ALICE, ALICE, &e), ERR_BUSY);
    T_EQ(vol_place_exists(&images, "a", &e), 0);
    T_EQ(vol_place_exists(&place, "i", &e), 0);
    stop();
}

static void what_does_not_fit_is_not_there(void)
{
    AUTO_FREE char *block = mem_new(MIB);
    AUTO_CLOSE int fd = -1;

    start("tmpfs");
    with_images();
    T_DO(vol_place_make(&place, "a", CAPACITY, ALICE, ALICE, &e));
    fd = openat(place.dir_fd, "a/pod/big", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(block, 'x', MIB);
    for (int i = 0; i < 64; i++)
        T_EQ(write(fd, block, MIB), MIB);
    close_fd(&fd);
    T_REFUSED(vol_place_copy(&place, &images, "a", 32 * MIB, ALICE, ALICE, &e), ERR_NO_SPACE);
    T_EQ(vol_place_exists(&images, "a", &e), 0);
    T_DO(vol_place_copy(&place, &images, "a", 0, ALICE, ALICE, &e)); /* with room for it */
    stop();
}

/* ---- killed anywhere, then run again ---- */

static int life(struct err *err)
{
    struct vol_place p;
    struct vol_attach want = {.image = "v", .mountpoint = at_a, .uid = ALICE, .gid = ALICE};
    int r;

    if (vol_place_open(&spec, &p, err) < 0)
        return -1;
    r = vol_place_exists(&p, "t", err);
    if (r == 0)
        r = vol_place_make(&p, "unfit", CAPACITY, ALICE, ALICE, err);
    if (r < 0 || vol_place_publish(&p, "unfit", "t", err) < 0 ||
        vol_place_clone(&p, "t", "v", CAPACITY, ALICE, ALICE, err) < 0 ||
        vol_place_attach(&p, &want, err) < 0)
        r = -1;
    vol_place_done(&p);
    return r;
}

static int death(struct err *err)
{
    return vol_place_detach(&place, at_a, err) < 0 || vol_place_destroy(&place, "v", err) < 0 ||
                   vol_place_destroy(&place, "t", err) < 0
               ? -1
               : 0;
}

static int back(struct err *err)
{
    return vol_place_replace(&place, "v", "s", "k", ALICE, ALICE, err);
}

static int to_image(struct err *err)
{
    return vol_place_copy(&place, &images, "v", CAPACITY, ALICE, ALICE, err);
}

static int to_tree(struct err *err)
{
    return vol_place_copy(&images, &place, "i", CAPACITY, ALICE, ALICE, err);
}

static void a_life_killed_at_each_named_place_goes_on(void)
{
    static const char *const places[] = {"tree.place",     "tree.drafted",   "tree.complete",
                                         "tree.named",     "tree.published", "tree.sealing",
                                         "tree.mapped",    "tree.placed",    "tree.unmounting",
                                         "tree.unmounted", "tree.condemned"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        bool killed;

        disk_up("tmpfs");
        killed = killed_at(places[i], life);
        T_DO(vol_place_open(&spec, &place, &e));
        T_DO(life(&e));
        said = "alive";
        T_EQ(as_user(ALICE, write_said, at_a), 0);
        killed |= killed_at(places[i], death);
        T_DO(death(&e));
        T_EQ(vol_place_exists(&place, "v", &e), 0);
        if (!killed)
            printf("# never reached: %s\n", places[i]);
        T_OK(killed);
        stop();
    }
}

/* Names that cannot be exchanged, as on NFS. */
static void forbid_exchange(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RENAME_EXCHANGE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        _exit(97);
}

static int back_without_exchange(struct err *err)
{
    forbid_exchange();
    return back(err);
}

static void kill_replacement(const char *at, int (*how)(struct err *))
{
    struct vol_shot shot;

    start("tmpfs");
    T_DO(vol_place_make(&place, "v", CAPACITY, ALICE, ALICE, &e));
    say(&place, "v", ALICE, "then");
    T_DO(vol_place_snapshot(&place, "v", "s", NULL, &shot, &e));
    say(&place, "v", ALICE, "now");
    if (!killed_at(at, how)) {
        printf("# never reached: %s\n", at);
        T_OK(false);
    }
    if (str_is(at, "tree.exchanged")) {
        T_DO(vol_place_settle(&place, "v", &e));
        T_DO(vol_place_settle(&place, "v", &e));
        T_EQ(vol_place_exists(&place, "k", &e), 1);
    }
    T_EQ(vol_place_exists(&place, "v", &e), 1); /* never neither */
    T_DO(back(&e));
    T_OK(says(&place, "v", ALICE, "then", 0));
    T_OK(says(&place, "k", ALICE, "now", VOL_READ_ONLY));
    T_DO(back(&e));
    T_OK(says(&place, "k", ALICE, "now", VOL_READ_ONLY));
    stop();
}

static void a_replacement_killed_at_each_named_place_ends_the_same(void)
{
    kill_replacement("tree.drafted", back);
    kill_replacement("tree.complete", back);
    kill_replacement("tree.named", back);
    kill_replacement("tree.next", back);
    kill_replacement("tree.exchanged", back);
    kill_replacement("tree.sealing", back);
    kill_replacement("tree.next", back_without_exchange);
    kill_replacement("tree.put.away", back_without_exchange);
    kill_replacement("tree.sealing", back_without_exchange);
}

static void a_replacement_that_was_given_up_does_not_spoil_the_next(void)
{
    static const char *const places[] = {"tree.next", "tree.exchanged"};
    struct vol_shot shot;

    for (size_t i = 0; i < 2; i++) {
        start("tmpfs");
        make_template(&place, "other", "other");
        T_DO(vol_place_make(&place, "v", CAPACITY, ALICE, ALICE, &e));
        say(&place, "v", ALICE, "then");
        T_DO(vol_place_snapshot(&place, "v", "s", NULL, &shot, &e));
        say(&place, "v", ALICE, "now");
        T_OK(killed_at(places[i], back));
        T_DO(vol_place_replace(&place, "v", "other", "k2", ALICE, ALICE, &e));
        T_OK(says(&place, "v", ALICE, "other", 0));
        T_OK(says(&place, "k2", ALICE, i == 0 ? "now" : "then", VOL_READ_ONLY));
        if (i == 1)
            T_REFUSED(on(&place, "k", at_a, ALICE, 0), ERR_INPUT); /* sealed */
        stop();
    }
}

static void a_copy_killed_at_each_named_place_is_whole_or_not_there(void)
{
    static const char *const places[] = {"copy.filled", "copy.named", "vol.formatted"};

    start("tmpfs");
    with_images();
    T_DO(vol_place_make(&place, "v", CAPACITY, ALICE, ALICE, &e));
    say(&place, "v", ALICE, "words");
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        T_OK(killed_at(places[i], to_image));
        T_EQ(vol_place_exists(&images, "v", &e), i == 1);
        T_DO(to_image(&e));
        T_OK(says(&images, "v", ALICE, "words", 0));
        T_DO(vol_place_destroy(&images, "v", &e));
    }
    T_DO(vol_place_make(&images, "i", CAPACITY, ALICE, ALICE, &e));
    say(&images, "i", ALICE, "words");
    T_OK(killed_at("copy.filled", to_tree));
    T_EQ(vol_place_exists(&place, "i", &e), 0);
    T_DO(to_tree(&e));
    T_OK(says(&place, "i", ALICE, "words", 0));
    stop();
}

int main(void)
{
    const char *why = prepare();

    if (why != NULL)
        return skip(why);
    T_RUN(a_place_is_made_once_and_found_again);
    T_RUN(a_disk_that_is_not_mounted_is_missed_and_nothing_is_made_in_its_place);
    T_RUN(another_disk_is_not_taken_for_the_one_that_was_there);
    T_RUN(a_pool_whose_disk_is_gone_says_the_same);
    T_RUN(directories_are_not_taken_for_images_nor_the_other_way);
    T_RUN(a_place_others_can_write_to_is_refused);
    T_RUN(an_export_that_cannot_be_mounted_says_so_at_once_and_leaves_nothing);
    T_RUN(volumes_live_alike_whatever_the_driver);
    T_RUN(a_mount_has_what_an_images_has);
    T_RUN(files_of_the_disks_own_user_are_not_their_users);
    T_RUN(what_is_mounted_is_only_taken_off_when_it_is_a_volume);
    T_RUN(a_volume_goes_back_to_a_snapshot_and_keeps_what_it_was);
    T_RUN(a_directory_that_is_attached_is_not_copied);
    T_RUN(an_attached_image_is_flushed_into_its_snapshot);
    T_RUN(a_volume_moves_between_drivers_and_back);
    T_RUN(an_attached_volume_is_not_copied_elsewhere);
    T_RUN(what_does_not_fit_is_not_there);
    T_RUN(a_replacement_that_was_given_up_does_not_spoil_the_next);
#ifdef DORM_INJECT
    T_RUN(a_life_killed_at_each_named_place_goes_on);
    T_RUN(a_replacement_killed_at_each_named_place_ends_the_same);
    T_RUN(a_copy_killed_at_each_named_place_is_whole_or_not_there);
#endif
    T_EQ(rmdir(scratch), 0);
    return t_end();
}
