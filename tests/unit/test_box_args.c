#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/box.h"
#include "t.h"

static const struct box_host host = {
    .names = {{"/usr", ""}, {"/bin", "usr/bin"}, {"/etc/ld.so.cache", ""}},
    .masks = {{"keys", false}, {"fs", true}},
    .n = 3,
    .n_masks = 2};
static const char *const env[] = {"PATH=/usr/bin", "EMPTY=", "ODD=a=b \"c\"\n--bind", NULL};
static const char *const payload[] = {"/usr/bin/postgres", "-D", "/data", NULL};

static void plan_of(struct box_plan *p)
{
    box_plan_init(p);
    p->uid = p->gid = 231001;
    p->user = "alice";
    p->home = "/home/alice";
    p->hostname = "alice";
    p->cwd = "/data";
    p->host = &host;
    p->env = env;
    p->argv = payload;
    p->tmp_size = 1u << 20;
    p->shm_size = 2u << 20;
    box_plan_bind(p, "/pool/v1/data", "/data", 0);
    box_plan_bind(p, "/srv/data", "/srv/data", BOX_READ_ONLY);
    box_plan_bind(p, "/srv/maybe", "/srv/maybe", BOX_READ_ONLY | BOX_IF_THERE);
    box_plan_bind(p, NULL, "/home/alice", 0);
    p->binds[3].by_fd = true;
    p->binds[3].fd = 40;
    box_plan_file(p, "/etc/motd", "hello");
}

static const struct box_fds fds = {
    .lock = 10, .seccomp = 11, .etc = {12, 13, 14, 15}, .files = {16}, .binds = {-1, -1, -1, 17}};

/* One option a line, its values after it. */
static char *lines(const struct buf *args)
{
    static char text[16384];
    size_t n = 0;

    for (size_t at = 0; at < buf_len(args);) {
        const char *word = (const char *)buf_data(args) + at;
        bool option = str_starts(word, "--") && strchr(word, ' ') == NULL;

        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
                              n == 0 ? "" : (option ? "\n" : " "), word);
        at += strlen(word) + 1;
    }
    return text;
}

static char *args_of(const struct box_plan *p, const struct box_fds *f)
{
    struct buf args;
    char *text;

    buf_init(&args, 65536);
    T_OK(box_args(p, f, &args));
    text = lines(&args);
    buf_done(&args);
    return text;
}

static void the_options_of_a_plan_are_these(void)
{
    struct box_plan p;

    plan_of(&p);
    T_STR(args_of(&p, &fds), "--unshare-user\n"
                             "--unshare-pid\n"
                             "--unshare-net\n"
                             "--unshare-ipc\n"
                             "--unshare-uts\n"
                             "--unshare-cgroup\n"
                             "--uid 1000\n"
                             "--gid 1000\n"
                             "--hostname alice\n"
                             "--new-session\n"
                             "--clearenv\n"
                             "--setenv PATH /usr/bin\n"
                             "--setenv EMPTY \n"
                             "--setenv ODD a=b \"c\"\n--bind\n"
                             "--ro-bind /usr /usr\n"
                             "--symlink usr/bin /bin\n"
                             "--ro-bind /etc/ld.so.cache /etc/ld.so.cache\n"
                             "--proc /proc\n"
                             "--ro-bind /dev/null /proc/keys\n"
                             "--perms 0555\n"
                             "--size 4096\n"
                             "--tmpfs /proc/fs\n"
                             "--remount-ro /proc/fs\n"
                             "--tmpfs /dev\n"
                             "--dev-bind /dev/null /dev/null\n"
                             "--dev-bind /dev/zero /dev/zero\n"
                             "--dev-bind /dev/full /dev/full\n"
                             "--dev-bind /dev/random /dev/random\n"
                             "--dev-bind /dev/urandom /dev/urandom\n"
                             "--dev-bind /dev/tty /dev/tty\n"
                             "--symlink /proc/self/fd /dev/fd\n"
                             "--symlink /proc/self/fd/0 /dev/stdin\n"
                             "--symlink /proc/self/fd/1 /dev/stdout\n"
                             "--symlink /proc/self/fd/2 /dev/stderr\n"
                             "--perms 1777\n"
                             "--size 2097152\n"
                             "--tmpfs /dev/shm\n"
                             "--perms 1777\n"
                             "--size 1048576\n"
                             "--tmpfs /tmp\n"
                             "--dir /run\n"
                             "--perms 0444\n"
                             "--file 12 /etc/passwd\n"
                             "--perms 0444\n"
                             "--file 13 /etc/group\n"
                             "--perms 0444\n"
                             "--file 14 /etc/nsswitch.conf\n"
                             "--perms 0444\n"
                             "--file 15 /etc/hosts\n"
                             "--perms 0444\n"
                             "--file 16 /etc/motd\n"
                             "--bind /pool/v1/data /data\n"
                             "--ro-bind /srv/data /srv/data\n"
                             "--ro-bind-try /srv/maybe /srv/maybe\n"
                             "--bind-fd 17 /home/alice\n"
                             "--remount-ro /dev\n"
                             "--remount-ro /\n"
                             "--chdir /data\n"
                             "--sync-fd 10\n"
                             "--seccomp 11");
}

static void a_devpts_comes_only_when_asked_for(void)
{
    struct box_plan p;
    char *text;

    plan_of(&p);
    p.terminals = true;
    text = args_of(&p, &fds);
    T_OK(strstr(text, "\n--dev /dev\n--perms 1777\n--size 2097152\n--tmpfs /dev/shm") != NULL);
    T_OK(strstr(text, "--dev-bind") == NULL);
}

static void a_network_that_was_made_is_kept(void)
{
    struct box_plan p;

    plan_of(&p);
    p.own_net = true;
    T_OK(strstr(args_of(&p, &fds), "--unshare-net") == NULL);
    T_OK(strstr(args_of(&p, &fds), "--share-net") == NULL);
}

static void what_is_not_given_is_not_passed(void)
{
    struct box_fds none = fds;
    struct box_plan p;
    char *text;

    plan_of(&p);
    p.env = NULL;
    none.lock = none.seccomp = -1;
    text = args_of(&p, &none);
    T_OK(strstr(text, "--sync-fd") == NULL && strstr(text, "--seccomp") == NULL);
    T_OK(strstr(text, "--setenv") == NULL && strstr(text, "--clearenv") != NULL);
    T_OK(strstr(text, "--die-with-parent") == NULL && strstr(text, "--as-pid-1") == NULL);
}

static void options_that_do_not_fit_are_refused(void)
{
    struct box_plan p;

    plan_of(&p);
    for (size_t max = 0; max < 1000; max += 7) {
        struct buf args;

        buf_init(&args, max);
        T_OK(!box_args(&p, &fds, &args));
        buf_done(&args);
    }
}

static void the_pods_passwd_names_its_user(void)
{
    struct box_plan p;
    struct buf text;

    plan_of(&p);
    buf_init(&text, 4096);
    T_OK(box_etc(&p, BOX_PASSWD, &text) && buf_put_u8(&text, 0));
    T_STR((char *)buf_data(&text), "alice:x:1000:1000::/home/alice:/bin/bash\n"
                                   "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
    buf_done(&text);
    for (int i = 0; i < BOX_ETC_N; i++) {
        buf_init(&text, 4096);
        T_OK(box_etc(&p, (enum box_etc_file)i, &text) && buf_len(&text) > 0);
        buf_done(&text);
    }
}

static enum err_kind refusal(const struct box_plan *p)
{
    struct err e = {.kind = ERR_NONE};

    return box_plan_check(p, &e) < 0 ? e.kind : ERR_NONE;
}

#define REFUSED(kind, change)        \
    do {                             \
        struct box_plan p;           \
        plan_of(&p);                 \
        T_EQ(refusal(&p), ERR_NONE); \
        change;                      \
        T_EQ(refusal(&p), kind);     \
    } while (0)

static void a_plan_that_cannot_be_meant_is_refused(void)
{
    static const char *const bad_env[] = {"A=1", "1B=2", NULL}, *const no_value[] = {"A", NULL};
    static const char *const relative[] = {"postgres", NULL}, *const nothing[] = {NULL};

    REFUSED(ERR_INTERNAL, p.uid = 0);
    REFUSED(ERR_INTERNAL, p.gid = 0);
    REFUSED(ERR_INTERNAL, p.uid = (uid_t)-1);
    REFUSED(ERR_INTERNAL, p.host = NULL);
    REFUSED(ERR_INPUT, p.user = "al:ice");
    REFUSED(ERR_INPUT, p.user = "");
    REFUSED(ERR_INPUT, p.user = NULL);
    REFUSED(ERR_INPUT, p.hostname = "-x");
    REFUSED(ERR_INPUT, p.hostname = "a b");
    REFUSED(ERR_INPUT, p.home = "/home/a\nroot:x");
    REFUSED(ERR_INPUT, p.home = "home");
    REFUSED(ERR_INPUT, p.cwd = "/data/../..");
    REFUSED(ERR_INPUT, p.binds[0].from = "/pool/../etc");
    REFUSED(ERR_INPUT, p.binds[0].from = "pool");
    REFUSED(ERR_INPUT, p.binds[0].to = "/");
    REFUSED(ERR_INPUT, p.binds[0].to = "/..");
    REFUSED(ERR_INPUT, p.binds[3].fd = -1);
    REFUSED(ERR_INPUT, p.files[0].to = "etc/motd");
    REFUSED(ERR_INPUT, p.env = bad_env);
    REFUSED(ERR_INPUT, p.env = no_value);
    REFUSED(ERR_INPUT, p.argv = relative);
    REFUSED(ERR_INPUT, p.argv = nothing);
    REFUSED(ERR_INPUT, p.tmp_size = 0);
    REFUSED(ERR_LIMIT, for (int i = 0; i < 30; i++) box_plan_bind(&p, "/a", "/a", 0));
    REFUSED(ERR_LIMIT, for (int i = 0; i < 30; i++) box_plan_file(&p, "/a", ""));
    REFUSED(ERR_NONE, p.cwd = "/data/..x/x..");
}

static void the_host_is_read_as_it_is(void)
{
    char root[] = "/tmp/box-host-XXXXXX";
    AUTO_CLOSE int dir = -1;
    struct box_host got;
    struct err e;

    T_OK(mkdtemp(root) != NULL);
    dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_EQ(box_host_read(root, &got, &e), -1);
    T_EQ(e.kind, ERR_MISSING);
    T_EQ(mkdirat(dir, "usr", 0755) | mkdirat(dir, "lib", 0755) | mkdirat(dir, "etc", 0755), 0);
    T_EQ(symlinkat("usr/bin", dir, "bin"), 0);
    T_EQ(symlinkat("../../secret", dir, "sbin"), 0);
    T_EQ(symlinkat("/usr/share/zoneinfo/UTC", dir, "etc/localtime"), 0);
    T_EQ(box_host_read(root, &got, &e), 0);
    T_EQ(got.n, 5);
    T_STR(got.names[0].path, "/usr");
    T_STR(got.names[0].link, "");
    T_STR(got.names[1].path, "/bin");
    T_STR(got.names[1].link, "usr/bin");
    T_STR(got.names[2].path, "/sbin");
    T_STR(got.names[2].link, ""); /* leads elsewhere: bound, not copied as a link */
    T_STR(got.names[3].path, "/lib");
    T_STR(got.names[4].link, "/usr/share/zoneinfo/UTC");
    T_EQ(unlinkat(dir, "etc/localtime", 0) | unlinkat(dir, "sbin", 0) | unlinkat(dir, "bin", 0), 0);
    T_EQ(unlinkat(dir, "etc", AT_REMOVEDIR) | unlinkat(dir, "lib", AT_REMOVEDIR), 0);
    T_EQ(unlinkat(dir, "usr", AT_REMOVEDIR) | rmdir(root), 0);
}

static bool is_masked(const struct box_host *h, const char *name)
{
    for (size_t i = 0; i < h->n_masks; i++)
        if (str_is(h->masks[i].name, name))
            return true;
    return false;
}

static void what_proc_tells_of_others_is_masked(void)
{
    struct box_host got;
    struct err e;
    size_t n;

    T_EQ(box_host_read("/", &got, &e), 0);
    T_OK(is_masked(&got, "keys") && is_masked(&got, "interrupts") && is_masked(&got, "kallsyms"));
    T_OK(!is_masked(&got, "cpuinfo") && !is_masked(&got, "self") && !is_masked(&got, "1"));
    /* One that a module took with it does not keep pods from starting. */
    n = got.n_masks;
    T_OK(str_copy(got.masks[0].name, sizeof(got.masks[0].name), "gone-with-its-module"));
    box_host_refresh(&got);
    T_EQ(got.n_masks, n - 1);
}

int main(void)
{
    T_RUN(the_options_of_a_plan_are_these);
    T_RUN(a_devpts_comes_only_when_asked_for);
    T_RUN(a_network_that_was_made_is_kept);
    T_RUN(what_is_not_given_is_not_passed);
    T_RUN(options_that_do_not_fit_are_refused);
    T_RUN(the_pods_passwd_names_its_user);
    T_RUN(a_plan_that_cannot_be_meant_is_refused);
    T_RUN(the_host_is_read_as_it_is);
    T_RUN(what_proc_tells_of_others_is_masked);
    return t_end();
}
