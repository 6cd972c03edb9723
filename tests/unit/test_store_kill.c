/*
 * Every change is cut off at each of its writes: the process dies before its first, second, ...
 * call that changes the file. What is found then is the record before the change or after it, and
 * after it if that had been acknowledged.
 */
#include "t_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/fd.h"

static int writes_left;

static void one_more(void)
{
    if (writes_left-- == 0)
        (void)raise(SIGKILL);
}

static ssize_t cut_pwrite(int fd, const void *at, size_t n, off_t offset)
{
    one_more();
    return pwrite(fd, at, n, offset);
}

static ssize_t cut_write(int fd, const void *at, size_t n)
{
    one_more();
    return write(fd, at, n);
}

static int cut_ftruncate(int fd, off_t size)
{
    one_more();
    return ftruncate(fd, size);
}

static int cut_unlink(const char *path)
{
    one_more();
    return unlink(path);
}

/* SQLite's own way of being tested: its system calls can be replaced by name. */
static void cut_after(int writes)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {{"pwrite", (sqlite3_syscall_ptr)cut_pwrite},
                 {"pwrite64", (sqlite3_syscall_ptr)cut_pwrite},
                 {"write", (sqlite3_syscall_ptr)cut_write},
                 {"ftruncate", (sqlite3_syscall_ptr)cut_ftruncate},
                 {"unlink", (sqlite3_syscall_ptr)cut_unlink}};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

    writes_left = writes;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        (void)vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call);
}

/* What the operations below work on. */
static char user[ID_SIZE], server[ID_SIZE], data[ID_SIZE], extra[ID_SIZE], pv[ID_SIZE];
static const char first[ID_SIZE] = "snapshot----1", second[ID_SIZE] = "snapshot----2";

static int add_user(struct store *s)
{
    struct store_user_new new = wish("bob");

    return store_user_add(s, &new, NULL, &e);
}

static int add_user_on_static(struct store *s)
{
    struct store_user_new new = wish("carl");

    new.volume = pv;
    return store_user_add(s, &new, NULL, &e);
}

static int add_volume(struct store *s)
{
    struct store_volume v = {
        .claim = "new", .component = "c", .capacity = 1, .modes = 1, .created = 1};

    return store_volume_add(s, &v, &e);
}

static int add_disk(struct store *s)
{
    struct store_disk d = {.place = 2, .mount = "/pv"};

    memcpy(d.server, server, ID_SIZE);
    memcpy(d.volume, pv, ID_SIZE);
    return store_disk_add(s, &d, &e);
}

static int remove_disk(struct store *s)
{
    return store_disk_remove(s, server, extra, &e);
}

static int bind_static(struct store *s)
{
    return store_volume_bind(s, pv, server, STORE_BOUND, &e);
}

static int bind_disks(struct store *s)
{
    return store_disks_bound(s, server, &e);
}

static int grow(struct store *s)
{
    return store_volume_set_capacity(s, extra, 99, &e);
}

static int move(struct store *s)
{
    return store_volume_set_moving(s, extra, "ssd", &e);
}

static int arrive(struct store *s)
{
    return store_volume_moved(s, extra, &e);
}

static int remove_volume(struct store *s)
{
    return store_volume_remove(s, extra, 2000, &e);
}

static int restore_volume(struct store *s)
{
    return store_volume_restore(s, extra, &e);
}

static int purge_volume(struct store *s)
{
    return store_volume_purge(s, extra, &e);
}

static int add_snapshot(struct store *s, const char *id)
{
    struct store_snapshot n = {.capacity = 1, .taken_at = 1};

    memcpy(n.id, id, ID_SIZE);
    memcpy(n.volume, extra, ID_SIZE);
    return store_snapshot_add(s, &n, &e);
}

static int add_second_snapshot(struct store *s)
{
    return add_snapshot(s, second);
}

static int keep_snapshot(struct store *s)
{
    return store_snapshot_set_keep(s, first, 5000, &e);
}

static int remove_snapshot(struct store *s)
{
    return store_snapshot_remove(s, first, &e);
}

static int add_undo(struct store *s)
{
    struct store_undo u = {.text = "x", .until = 3000};

    memcpy(u.volume, extra, ID_SIZE);
    memcpy(u.snapshot, first, ID_SIZE);
    return store_undo_add(s, &u, &e);
}

static int remove_undo(struct store *s)
{
    return store_undo_remove(s, 1, &e);
}

static int expire_undos(struct store *s)
{
    return store_undo_expire(s, 4000, &e);
}

static int remove_user(struct store *s)
{
    return store_user_remove(s, user, 6000, &e);
}

static int restore_user(struct store *s)
{
    return store_user_restore(s, user, &e);
}

static int purge_user(struct store *s)
{
    return store_user_purge(s, user, NULL, NULL, &e);
}

/* In this order; what has no name is done without being cut off, to prepare for the next. */
static const struct {
    const char *name;
    int (*op)(struct store *s);
} ops[] = {{"user add", add_user},
           {NULL, add_undo},
           {"undo remove", remove_undo},
           {"undo add", add_undo},
           {"undo expire", expire_undos},
           {NULL, add_undo},
           {"volume add", add_volume},
           {"disk add", add_disk},
           {"disks bound", bind_disks},
           {"disk remove", remove_disk},
           {"volume bind", bind_static},
           {"volume grow", grow},
           {"volume move", move},
           {"volume moved", arrive},
           {"volume remove", remove_volume},
           {"volume restore", restore_volume},
           {"snapshot add", add_second_snapshot},
           {"snapshot keep", keep_snapshot},
           {"user remove", remove_user},
           {"user restore", restore_user},
           {NULL, remove_user},
           {"user purge", purge_user}},
  volume_ops[] = {{"user add, static", add_user_on_static},
                  {NULL, add_undo},
                  {"snapshot remove", remove_snapshot},
                  {NULL, add_second_snapshot},
                  {NULL, remove_volume},
                  {"volume purge", purge_volume}};

static void prepare(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_volume v = {.claim = "extra",
                             .component = "c",
                             .capacity = 1,
                             .modes = 1,
                             .created = 1},
                        w = {.claim = "pv",
                             .path = "/pv",
                             .component = "c",
                             .capacity = 1,
                             .modes = 1,
                             .phase = STORE_AVAILABLE,
                             .created = 1};
    struct store_disk d = {.place = 1, .mount = "/extra"};

    memcpy(v.server, a.server.id, ID_SIZE);
    T_EQ(store_volume_add(s, &v, &e), 0);
    T_EQ(store_volume_add(s, &w, &e), 0);
    memcpy(user, a.user.id, ID_SIZE);
    memcpy(server, a.server.id, ID_SIZE);
    memcpy(data, a.volume.id, ID_SIZE);
    memcpy(extra, v.id, ID_SIZE);
    memcpy(pv, w.id, ID_SIZE);
    memcpy(d.server, server, ID_SIZE);
    memcpy(d.volume, extra, ID_SIZE);
    T_EQ(store_disk_add(s, &d, &e), 0);
    T_EQ(add_snapshot(s, first), 0);
    store_close(s);
}

/* All of the record but ids, which are drawn anew each time. */
static char *content(struct store *s)
{
    static const char text[] =
        "SELECT (SELECT group_concat(login || removed_at) FROM (SELECT * FROM users ORDER BY "
        "login)),"
        "(SELECT group_concat(name || removed_at) FROM (SELECT * FROM servers ORDER BY name)),"
        "(SELECT group_concat(claim || class || '>' || moving_to || path || capacity || phase ||"
        "    (server IS NULL) || removed_at) FROM (SELECT * FROM volumes ORDER BY claim)),"
        "(SELECT group_concat(place || mount) FROM (SELECT * FROM disks ORDER BY place, mount)),"
        "(SELECT group_concat(id || keep_until) FROM (SELECT * FROM snapshots ORDER BY id)),"
        "(SELECT group_concat(number || text) FROM (SELECT * FROM undos ORDER BY number))";
    sqlite3_stmt *st = NULL;
    char *all;

    T_EQ(sqlite3_prepare_v2(s->db, text, -1, &st, NULL), SQLITE_OK);
    T_EQ(sqlite3_step(st), SQLITE_ROW);
    all =
        sqlite3_mprintf("%s|%s|%s|%s|%s|%s", sqlite3_column_text(st, 0), sqlite3_column_text(st, 1),
                        sqlite3_column_text(st, 2), sqlite3_column_text(st, 3),
                        sqlite3_column_text(st, 4), sqlite3_column_text(st, 5));
    (void)sqlite3_finalize(st);
    return all;
}

static void put_record(const char *bytes, int len)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    empty_dir();
    T_EQ(fd_write_file(fd, "record.db", 0600, getuid(), getgid(), bytes, (size_t)len, &e), 0);
}

static int get_record(char **ret_bytes)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd_read_file(fd, "record.db", 1 << 24, ret_bytes, &e);
}

/* Opens the record (a process that is cut off in that, too), changes it, says so. */
static _Noreturn void be_cut_off(int (*op)(struct store *s), int writes, int tell)
{
    struct store *s;

    if (op == NULL)
        cut_after(writes);
    s = reopen(NULL);
    if (op != NULL) {
        cut_after(writes);
        if (op(s) < 0)
            _exit(1);
    }
    writes_left = -1;
    (void)!write(tell, "x", 1);
    store_close(s);
    _exit(0);
}

/* 1 when it had done its work before it died, or did not die. */
static bool cut(int (*op)(struct store *s), int writes, bool *ret_died)
{
    int tell[2], status = 0;
    char told;
    bool done;
    pid_t pid;

    T_EQ(pipe2(tell, O_CLOEXEC), 0);
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0)
        be_cut_off(op, writes, tell[1]);
    (void)close(tell[1]);
    done = read(tell[0], &told, 1) == 1;
    (void)close(tell[0]);
    T_EQ(waitpid(pid, &status, 0), pid);
    *ret_died = WIFSIGNALED(status);
    T_OK(*ret_died || status == 0);
    return done;
}

/* Cuts the change off at each of its writes, then makes it. Returns how many writes there were. */
static int try_all(const char *name, int (*op)(struct store *s))
{
    AUTO_FREE char *start = NULL;
    struct store *s = reopen(NULL);
    char *before = content(s), *after, *found;
    int len, writes = 0;
    bool died = true, done;

    store_close(s);
    len = get_record(&start);
    s = reopen(NULL);
    T_EQ(op(s), 0);
    after = content(s);
    store_close(s);
    for (; name != NULL && died; writes++) {
        put_record(start, len);
        done = cut(op, writes, &died);
        s = reopen(NULL);
        T_EQ(store_check(s, &e), 0);
        found = content(s);
        if (strcmp(found, after) != 0 && (done || strcmp(found, before) != 0)) {
            printf("# %s, cut at write %d (%s): %s, not %s\n", name, writes,
                   done ? "told" : "not told", found, after);
            t_failures++;
        }
        sqlite3_free(found);
        store_close(s);
    }
    T_OK(name == NULL || writes > 2); /* else the writes are not seen */
    if (strcmp(before, after) == 0) {
        printf("# %s changed nothing\n", name == NULL ? "a preparation" : name);
        t_failures++;
    }
    sqlite3_free(before);
    sqlite3_free(after);
    return writes;
}

static void a_change_that_is_cut_off_at_any_write_is_whole_or_not_there(void)
{
    int writes = 0;

    prepare();
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        writes += try_all(ops[i].name, ops[i].op);
    prepare();
    for (size_t i = 0; i < sizeof(volume_ops) / sizeof(volume_ops[0]); i++)
        writes += try_all(volume_ops[i].name, volume_ops[i].op);
    printf("# cut off at %d writes\n", writes);
}

static void an_older_record_survives_a_cut_at_any_write_on_its_way(void)
{
    AUTO_FREE char *start = NULL;
    struct store_schema one = {store_schema.steps, 1};
    struct store *s = NULL;
    struct store_volume v;
    int len, writes = 0;
    bool died = true;

    empty_dir();
    T_EQ(store_open_as(in_dir("record.db"), &one, &s, &e), 0);
    T_EQ(sqlite3_exec(s->db,
                      "INSERT INTO users VALUES ('user---------', 'a', '', '', '', 1, 'user', 1, 0,"
                      "    1, 0);"
                      "INSERT INTO servers VALUES ('server-------', 'user---------', 'a',"
                      "    'personal', 17, 'a', 0, 1, 0, 0);"
                      "INSERT INTO volumes VALUES ('volume-------', 'server-------', 'x', '', '',"
                      "    1, 'bound', 1, 0)",
                      NULL, NULL, NULL),
         SQLITE_OK);
    store_close(s);
    len = get_record(&start);
    for (; died; writes++) {
        put_record(start, len);
        (void)cut(NULL, writes, &died);
        s = reopen(NULL);
        T_EQ(store_check(s, &e), 0);
        T_EQ(store_volume_of(s, "server-------", &v, &e), 0);
        T_STR(v.claim, "x");
        store_close(s);
    }
    T_OK(writes > 10);
    printf("# cut off at %d writes\n", writes);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    T_RUN(a_change_that_is_cut_off_at_any_write_is_whole_or_not_there);
    T_RUN(an_older_record_survives_a_cut_at_any_write_on_its_way);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
