#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "store/store.h"

/*
 * One file per hub of this machine, named by hub id: "FIRST-LAST STATE-DIRECTORY". Two hubs must
 * never give the same uid to two people.
 */
#define HUBS_DIR "/var/lib/dormouse-hubs"

struct uid_range {
    uint32_t first, last;
};

/* A directory with somebody's files in it is not made into a hub: a purge would be near them. */
static int refuse_foreign(const struct hub *h, struct err *e)
{
    static const char *const ours[] = {".",
                                       "..",
                                       "hub.yaml",
                                       "dormd.log",
                                       "lost+found",
                                       "record.db.lock",
                                       "record.db-wal",
                                       "record.db-shm",
                                       "restore.begun.new"};
    AUTO_CLOSEDIR DIR *dir = opendir(h->state_dir);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        bool known = false;

        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
            known = known || str_is(entry->d_name, ours[i]);
        if (!known) {
            (void)err_set(e, ERR_CONFIG, "\"%.200s\" is not empty, and not a hub's", h->state_dir);
            return err_hint(e, "give a directory that does not exist yet, or an empty one");
        }
    }
    return 0;
}

static int open_dir(struct hub *h, struct err *e)
{
    struct stat st;

    if (mkdir(h->state_dir, 0711) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make the state directory \"%s\"", h->state_dir);
    h->state_fd = open(h->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->state_fd < 0 || fstat(h->state_fd, &st) < 0)
        return err_set_os(e, errno, "could not open the state directory \"%s\"", h->state_dir);
    if (st.st_uid != 0 || (st.st_mode & 022) != 0) {
        (void)err_set(e, ERR_CONFIG,
                      "the state directory \"%s\" can be written by others than root",
                      h->state_dir);
        return err_hint(e, "chown root:root %s && chmod 711 %s", h->state_dir, h->state_dir);
    }
    return 0;
}

static bool has(const struct hub *h, const char *file)
{
    return faccessat(h->state_fd, file, F_OK, 0) == 0;
}

/* The lock of what is the record now, and copies of it that a newer release made before it changed
 * something. */
void identity_restored(const struct hub *h)
{
    AUTO_CLOSEDIR DIR *dir = opendir(h->state_dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (str_starts(entry->d_name, IDENTITY_RESTORING))
            (void)unlinkat(h->state_fd, entry->d_name, 0);
    (void)unlinkat(h->state_fd, IDENTITY_BEGUN, 0);
}

int identity_open_state(struct hub *h, struct err *e)
{
    if (open_dir(h, e) < 0)
        return -1;
    if (has(h, "record.db")) {
        if (has(h, IDENTITY_BEGUN))
            identity_restored(h);
        return 0;
    }
    if (!has(h, IDENTITY_BEGUN))
        return refuse_foreign(h, e);
    (void)err_set(e, ERR_CONFIG, "a restore was begun in \"%.200s\", and is not finished",
                  h->state_dir);
    return err_hint(e, "the same again finishes it: dorm backup restore BACKUP --hub");
}

int identity_open_to_restore(struct hub *h, struct err *e)
{
    if (open_dir(h, e) < 0)
        return -1;
    if (!has(h, "record.db"))
        return has(h, IDENTITY_BEGUN) ? 0 : refuse_foreign(h, e);
    (void)err_set(e, ERR_EXISTS, "there is a hub in \"%.200s\" already: nothing was restored",
                  h->state_dir);
    return err_hint(e, "dorm up starts it");
}

/* A secret of the state directory, made when it is not there; never replaced. */
static int secret(const struct hub *h, const char *name, uint8_t ret_key[HUB_KEY], struct err *e)
{
    AUTO_FREE char *text = NULL;
    char hex[2 * HUB_KEY + 1];
    int n = fd_read_file(h->state_fd, name, 4096, &text, e);

    if (n < 0 && e->os_errno != ENOENT)
        return -1;
    if (n >= 0) {
        text[strcspn(text, "\n")] = '\0';
        if (str_hex(text, ret_key, HUB_KEY))
            return 0;
        (void)err_set(e, ERR_CONFIG, "\"%s/%s\" does not hold a key", h->state_dir, name);
        return err_hint(e, "bring it back from a backup: every generated password depends on it");
    }
    rand_bytes(ret_key, HUB_KEY);
    str_to_hex(hex, ret_key, HUB_KEY);
    return fd_write_file(h->state_fd, name, 0600, 0, 0, hex, strlen(hex), e);
}

static int settle_run_dir(struct hub *h, struct err *e)
{
    char path[sizeof(h->run_dir) + 1];

    if (h->default_place)
        (void)snprintf(h->run_dir, sizeof(h->run_dir), "/run/dormouse");
    else
        (void)snprintf(h->run_dir, sizeof(h->run_dir), "/run/dormouse-%.8s", h->id);
    if (mkdir(h->run_dir, 0711) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make the run directory \"%s\"", h->run_dir);
    if (chmod(h->run_dir, 0711) < 0)
        return err_set_os(e, errno, "could not open the run directory \"%s\" to users", h->run_dir);
    (void)snprintf(path, sizeof(path), "%s\n", h->run_dir);
    return fd_write_file(h->state_fd, "run", 0644, 0, 0, path, strlen(path), e);
}

/* ---- uids ---- */

/* "FIRST-LAST"; cuts text at the separators. */
static bool parse_range(char *text, struct uid_range *ret)
{
    char *dash = strchr(text, '-');
    uint64_t first, last;

    if (dash == NULL)
        return false;
    *dash = '\0';
    if (!str_u64(text, &first) || !str_u64(dash + 1, &last) || first > last || last > UINT32_MAX)
        return false;
    *ret = (struct uid_range){(uint32_t)first, (uint32_t)last};
    return true;
}

static bool overlap(struct uid_range a, struct uid_range b)
{
    return a.first <= b.last && b.first <= a.last;
}

/* Who else has uids of this range? Their name into at, or false. */
static bool taken_by_account(struct uid_range r, char *at, size_t size)
{
    AUTO_FCLOSE FILE *passwd = fopen("/etc/passwd", "re");
    struct passwd *p;

    while (passwd != NULL && (p = fgetpwent(passwd)) != NULL)
        if (p->pw_uid >= r.first && p->pw_uid <= r.last) {
            (void)snprintf(at, size, "the account \"%s\" of /etc/passwd (uid %u)", p->pw_name,
                           p->pw_uid);
            return true;
        }
    return false;
}

/* A line "name:first:count". */
static bool subuid_line(char *line, struct uid_range *ret)
{
    char *rest = line;
    const char *name = strsep(&rest, ":"), *first_text = strsep(&rest, ":");
    uint64_t first, count;

    if (name == NULL || first_text == NULL || rest == NULL)
        return false;
    rest[strcspn(rest, "\n")] = '\0';
    if (!str_u64(first_text, &first) || !str_u64(rest, &count) || count == 0 ||
        first + count - 1 > UINT32_MAX)
        return false;
    *ret = (struct uid_range){(uint32_t)first, (uint32_t)(first + count - 1)};
    return true;
}

static bool taken_by_subuid(struct uid_range r, char *at, size_t size)
{
    AUTO_FCLOSE FILE *file = fopen("/etc/subuid", "re");
    char line[256];
    struct uid_range theirs;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (subuid_line(line, &theirs) && overlap(r, theirs)) {
            (void)snprintf(at, size, "the line of \"%s\" in /etc/subuid", line);
            return true;
        }
    return false;
}

/* Another hub whose state still exists. */
static bool taken_by_hub(const struct hub *h, int hubs_fd, struct uid_range r, char *at,
                         size_t size)
{
    AUTO_CLOSEDIR DIR *dir = opendir(HUBS_DIR);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        AUTO_FREE char *text = NULL;
        struct uid_range theirs;
        struct err e;
        char *path;

        if (entry->d_name[0] == '.' || str_is(entry->d_name, h->id) ||
            fd_read_file(hubs_fd, entry->d_name, 8192, &text, &e) < 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        path = text;
        if (!parse_range(strsep(&path, " "), &theirs) || path == NULL)
            continue;
        if (!overlap(r, theirs) || faccessat(AT_FDCWD, path, F_OK, 0) < 0)
            continue;
        (void)snprintf(at, size, "the hub in \"%s\"", path);
        return true;
    }
    return false;
}

static bool taken(const struct hub *h, int hubs_fd, struct uid_range r, char *at, size_t size)
{
    return taken_by_account(r, at, size) || taken_by_subuid(r, at, size) ||
           taken_by_hub(h, hubs_fd, r, at, size);
}

/* Did the operator write this key, or is it a default that may give way? */
static bool was_set(const struct conf *c, const char *path)
{
    for (size_t i = 0; i < c->item_n; i++)
        if (str_is(c->items[i].path, path))
            return !str_is(c->items[i].origin, "default");
    return false;
}

static int choose_range(const struct hub *h, int hubs_fd, struct uid_range *ret, struct err *e)
{
    struct uid_range r = {h->conf->machine.uids.first, h->conf->machine.uids.last};
    bool chosen = was_set(h->conf, "machine.uids");
    uint32_t count = r.last - r.first + 1;
    char who[PATH_MAX + 64];

    while (taken(h, hubs_fd, r, who, sizeof(who))) {
        if (chosen || r.last > UINT32_MAX - 2 * count) {
            (void)err_set(e, ERR_CONFIG, "the uids %u-%u are not free: %.160s has some of them",
                          r.first, r.last, who);
            return err_hint(e, "set machine.uids in %.150s to a range that is", h->conf_path);
        }
        r.first += count;
        r.last += count;
    }
    *ret = r;
    return 0;
}

static int register_range(const struct hub *h, int hubs_fd, struct uid_range r, struct err *e)
{
    AUTO_FREE char *line = mem_printf("%u-%u %s\n", r.first, r.last, h->state_dir);

    return fd_write_file(hubs_fd, h->id, 0644, 0, 0, line, strlen(line), e);
}

static int settle_uids(struct hub *h, struct err *e)
{
    AUTO_CLOSE int hubs_fd = fd_open_dir(AT_FDCWD, HUBS_DIR, 0755, e);
    struct uid_range r = {0};
    char value[64];
    int known;

    if (hubs_fd < 0)
        return -1;
    if (flock(hubs_fd, LOCK_EX) < 0) /* another hub may be choosing at this moment */
        return err_set_os(e, errno, "could not lock \"%s\"", HUBS_DIR);
    known = store_setting_get(h->store, "uids", value, sizeof(value), e);
    if (known < 0)
        return -1;
    /* once people have uids of a range it stays theirs, whatever the hub file says later */
    if (known == 1 && !parse_range(value, &r))
        return err_set(e, ERR_CONFIG, "the record does not say which uids this hub has");
    if (known == 0) {
        if (choose_range(h, hubs_fd, &r, e) < 0)
            return -1;
        (void)snprintf(value, sizeof(value), "%u-%u", r.first, r.last);
        if (store_setting_set(h->store, "uids", value, e) < 0)
            return -1;
    }
    h->uid_first = r.first;
    h->uid_last = r.last;
    return register_range(h, hubs_fd, r, e);
}

static int settle_id(struct hub *h, struct err *e)
{
    int known = store_setting_get(h->store, "hub.id", h->id, sizeof(h->id), e);

    if (known != 0)
        return known;
    rand_id(h->id);
    return store_setting_set(h->store, "hub.id", h->id, e);
}

/* Under the same id it would have the same control groups, run directory and uids as the other. */
static int check_not_here(const struct hub *h, int hubs_fd, struct err *e)
{
    AUTO_FREE char *text = NULL, *record = NULL;
    char *path;

    if (fd_read_file(hubs_fd, h->id, 8192, &text, e) < 0)
        return e->os_errno == ENOENT ? 0 : -1;
    text[strcspn(text, "\n")] = '\0';
    path = strchr(text, ' ');
    if (path == NULL || str_is(path + 1, h->state_dir))
        return 0;
    record = mem_printf("%s/record.db", path + 1);
    if (faccessat(AT_FDCWD, record, F_OK, 0) < 0)
        return 0;
    (void)err_set(e, ERR_EXISTS, "this hub is on this machine already, in \"%.160s\"", path + 1);
    return err_hint(e, "it cannot be there twice: restore it on another machine, or dorm purge");
}

int identity_check_alone(struct hub *h, struct err *e)
{
    AUTO_CLOSE int hubs_fd = fd_open_dir(AT_FDCWD, HUBS_DIR, 0755, e);
    struct uid_range r;
    char value[64], who[PATH_MAX + 64];

    if (hubs_fd < 0 || store_setting_get(h->store, "hub.id", h->id, sizeof(h->id), e) < 0 ||
        store_setting_get(h->store, "uids", value, sizeof(value), e) < 0)
        return -1;
    if (strlen(h->id) != ID_LEN || !parse_range(value, &r))
        return err_set(e, ERR_INPUT, "the record does not say which hub it is of");
    if (check_not_here(h, hubs_fd, e) < 0)
        return -1;
    if (!taken(h, hubs_fd, r, who, sizeof(who)))
        return 0;
    (void)err_set(e, ERR_CONFIG, "the uids %u-%u of this hub are not free here: %.160s has some",
                  r.first, r.last, who);
    return err_hint(e, "its users have these on every machine: free them, or take another machine");
}

int identity_settle(struct hub *h, struct err *e)
{
    if (settle_id(h, e) < 0 || settle_run_dir(h, e) < 0 ||
        secret(h, "password.key", h->password_key, e) < 0 ||
        secret(h, "mock.key", h->mock_key, e) < 0)
        return -1;
    return settle_uids(h, e);
}

void identity_forget(struct hub *h)
{
    AUTO_FREE char *path = mem_printf("%s/%s", HUBS_DIR, h->id);

    (void)unlink(path);
    (void)rmdir(HUBS_DIR); /* only if this was the last hub */
}
