/* err, log, fd, list, rand: the small things everything stands on. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "t.h"

static int open_temporary(void)
{
    char path[] = "/tmp/dormouse-test-XXXXXX";
    int fd;

    if (mkdtemp(path) == NULL)
        abort();
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

/* Files and links only, and one level of directories; then the directory itself. */
static void remove_all(int dir_fd, bool inner)
{
    char proc[64], path[200];
    ssize_t n;
    DIR *dir = fdopendir(fcntl(dir_fd, F_DUPFD_CLOEXEC, 3));
    struct dirent *entry;

    (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", dir_fd);
    n = readlink(proc, path, sizeof(path) - 1);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int child;

        if (entry->d_name[0] == '.' || unlinkat(dir_fd, entry->d_name, 0) == 0)
            continue;
        child = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child >= 0 && !inner)
            remove_all(child, true);
    }
    (void)closedir(dir);
    (void)close(dir_fd);
    path[n > 0 ? n : 0] = '\0';
    T_EQ(rmdir(path), 0);
}

static void a_failure_says_what_and_why(void)
{
    struct err e;

    T_EQ(err_set_os(&e, ENOSPC, "could not clone volume \"%s\"", "u42"), -1);
    T_EQ(e.kind, ERR_NO_SPACE);
    T_EQ(e.os_errno, ENOSPC);
    T_EQ(err_prefix(&e, "could not create server \"%s\"", "u42"), -1);
    T_STR(e.msg, "could not create server \"u42\": could not clone volume \"u42\": "
                 "No space left on device");
    T_STR(e.hint, "");
    T_EQ(err_hint(&e, "delete %d files", 3), -1);
    T_STR(e.hint, "delete 3 files");
    T_STR(err_sqlstate(e.kind), "53100");
    T_EQ(err_http(e.kind), 507);
    T_EQ(err_exit(e.kind), 73);
}

static void a_failure_may_be_raised_from_its_own_texts(void)
{
    struct err e;

    (void)err_set(&e, ERR_INPUT, "first");
    (void)err_hint(&e, "then");
    (void)err_prefix(&e, "before %s", e.msg);
    T_STR(e.msg, "before first: first");
    (void)err_hint(&e, "%s and %s", e.hint, e.hint);
    T_STR(e.hint, "then and then");
    (void)err_set(&e, ERR_CONFIG, "%s (%s)", e.msg, e.hint);
    T_STR(e.msg, "before first: first (then and then)");
    T_STR(e.hint, "");
}

static void a_failure_of_any_length_is_cut_not_overrun(void)
{
    struct err e;
    char endless[1000];

    memset(endless, 'a', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    (void)err_set_os(&e, EIO, "%s", endless);
    T_EQ(strlen(e.msg), sizeof(e.msg) - 1);
    (void)err_prefix(&e, "%s", endless);
    T_EQ(strlen(e.msg), sizeof(e.msg) - 1);
    (void)err_hint(&e, "%s", endless);
    T_EQ(strlen(e.hint), sizeof(e.hint) - 1);
}

static void every_kind_has_its_codes(void)
{
    for (int kind = ERR_NONE; kind < ERR_KIND_N; kind++) {
        T_EQ(strlen(err_sqlstate((enum err_kind)kind)), 5);
        T_OK(err_http((enum err_kind)kind) >= 200);
        T_EQ(err_exit((enum err_kind)kind) == 0, kind == ERR_NONE);
    }
}

/* stderr while fn runs, as text. The caller frees. */
static char *stderr_of(void (*fn)(void))
{
    AUTO_CLOSE int file = memfd_create("stderr", MFD_CLOEXEC);
    AUTO_CLOSE int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    char *text = mem_new(1 << 16);

    if (dup2(file, STDERR_FILENO) < 0)
        abort();
    fn();
    (void)dup2(before, STDERR_FILENO);
    if (pread(file, text, (1 << 16) - 1, 0) < 0)
        abort();
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

static void log_hostile_values(void)
{
    struct log hub = {.key = "hub", .value = "h"}, none = {.outer = &hub, .key = "none"},
               user = {.outer = &none, .key = "user", .value = "a\x1b[2J\nb \" server=x"};

    log_open("dormd", LOG_INFO_);
    log_info(&user, "no such user \"%s\"", "\r\n<0>forged");
    log_debug(&user, "not said");
}

static void a_log_line_cannot_be_forged(void)
{
    AUTO_FREE char *text = stderr_of(log_hostile_values);

    T_EQ(count(text, "\n"), 1);
    T_EQ(count(text, "\x1b"), 0);
    T_OK(str_starts(text, "<6>2"));
    T_OK(strstr(text,
                " dormd hub=h user=\"a\\x1b[2J\\x0ab ' server=x\" no such user \"\\x0d\\x0a<0>") !=
         NULL);
    T_EQ(count(text, "none="), 0);
    T_EQ(count(text, "not said"), 0);
}

static void log_endless_values(void)
{
    char endless[5000];
    struct log logs[12];

    memset(endless, '\x1b', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    for (int i = 0; i < 12; i++)
        logs[i] = (struct log){.outer = i == 0 ? NULL : &logs[i - 1], .key = "k", .value = endless};
    log_warn(&logs[11], "%s", endless);
}

static void a_log_line_is_bounded_and_ends(void)
{
    AUTO_FREE char *text = stderr_of(log_endless_values);

    T_EQ(count(text, "\n"), 1);
    T_EQ(text[strlen(text) - 1], '\n');
    T_OK(strlen(text) < 2200);
}

static void log_many(void)
{
    uint64_t second = clock_ms() / 1000;

    /* all within one second of the clock: wait for its start, by asking it */
    while (clock_ms() / 1000 == second)
        ;
    for (int i = 0; i < 100; i++)
        log_limited(NULL, LOG_WARN_, "stranger %d", i);
}

static void what_a_stranger_causes_is_logged_five_times_a_second(void)
{
    AUTO_FREE char *text = stderr_of(log_many);

    T_EQ(count(text, "\n"), 5);
    T_OK(strstr(text, "stranger 4\n") != NULL);
}

static void log_twice_with_a_pause(void)
{
    for (int turn = 0; turn < 2; turn++) {
        uint64_t second = clock_ms() / 1000;

        while (clock_ms() / 1000 == second)
            ;
        for (int i = 0; i < 8; i++)
            log_limited(NULL, LOG_WARN_, "turn %d", turn);
    }
}

static void what_was_withheld_is_counted(void)
{
    AUTO_FREE char *text = stderr_of(log_twice_with_a_pause);

    T_EQ(count(text, "\n"), 10);
    T_EQ(count(text, "turn 1 (3 such lines withheld before)\n"), 1);
}

static void a_file_is_replaced_whole(void)
{
    int dir = open_temporary();
    AUTO_FREE char *text = NULL;
    struct err e;
    struct stat st;
    int held;

    T_EQ(fd_write_file(dir, "f", 0640, getuid(), getgid(), "old", 3, &e), 0);
    held = openat(dir, "f", O_RDONLY | O_CLOEXEC);
    T_EQ(fd_write_file(dir, "f", 0600, getuid(), getgid(), "newer", 5, &e), 0);
    T_EQ(fd_read_file(dir, "f", 100, &text, &e), 5);
    T_STR(text, "newer");
    T_EQ(fstat(held, &st), 0);
    T_EQ(st.st_size, 3); /* who has the old one open reads on undisturbed */
    T_EQ(st.st_nlink, 0);
    T_EQ(fstatat(dir, "f", &st, 0), 0);
    T_EQ(st.st_mode & 07777, 0600);
    T_OK(fstatat(dir, "f.new", &st, 0) < 0);
    (void)close(held);
    remove_all(dir, false);
}

static void a_file_that_cannot_be_written_leaves_the_old_one(void)
{
    int dir = open_temporary();
    AUTO_FREE char *text = NULL;
    struct err e;
    struct stat st;

    T_EQ(mkdirat(dir, "f", 0700), 0);
    T_EQ(fd_write_file(dir, "f", 0600, getuid(), getgid(), "x", 1, &e), -1); /* rename refuses */
    T_OK(fstatat(dir, "f.new", &st, 0) < 0);
    T_EQ(fd_write_file(dir, "nowhere/f", 0600, getuid(), getgid(), "x", 1, &e), -1);
    T_OK(strstr(e.msg, "nowhere/f") != NULL);
    T_EQ(symlinkat("f/target", dir, "g.new"), 0); /* somebody waits for us to follow */
    T_EQ(fd_write_file(dir, "g", 0600, getuid(), getgid(), "x", 1, &e), 0);
    T_OK(fstatat(dir, "f/target", &st, 0) < 0);
    T_EQ(fd_write_file(dir, "f/inner", 0600, getuid(), getgid(), "abc", 3, &e), 0);
    T_EQ(fd_read_file(dir, "f/inner", 3, &text, &e), 3);
    remove_all(dir, false);
}

static void a_file_is_read_to_its_maximum_and_not_past_it(void)
{
    int dir = open_temporary();
    AUTO_FREE char *text = NULL, *untouched = NULL, *large = mem_new(100000);
    struct err e;

    memset(large, 'x', 100000);
    T_EQ(fd_write_file(dir, "f", 0600, getuid(), getgid(), large, 100000, &e), 0);
    T_EQ(fd_read_file(dir, "f", 100000, &text, &e), 100000);
    T_OK(memcmp(text, large, 100000) == 0 && text[100000] == '\0');
    T_EQ(fd_read_file(dir, "f", 99999, &untouched, &e), -1);
    T_EQ(e.kind, ERR_LIMIT);
    T_OK(untouched == NULL);
    T_EQ(fd_read_file(dir, "none", 10, &untouched, &e), -1);
    T_EQ(e.os_errno, ENOENT);
    T_EQ(mkfifoat(dir, "fifo", 0600), 0);
    T_EQ(fd_read_file(dir, "fifo", 10, &untouched, &e), 0); /* nobody writes: not waited for */
    remove_all(dir, false);
}

static void a_kernel_number_is_a_number(void)
{
    int dir = open_temporary();
    unsigned long long v = 0;
    struct err e;

    T_EQ(fd_write_file(dir, "f", 0600, getuid(), getgid(), "42\n", 3, &e), 0);
    T_EQ(fd_get_u64(dir, "f", &v, &e), 0);
    T_EQ(v, 42);
    T_EQ(fd_put(dir, "f", "max", &e), 0);
    T_EQ(fd_get_u64(dir, "f", &v, &e), -1);
    T_EQ(fd_put(dir, "none", "max", &e), -1);
    remove_all(dir, false);
}

static void no_link_leads_out_of_a_tree(void)
{
    int dir = open_temporary();
    AUTO_CLOSE int inner = -1, again = -1, file = -1;
    struct err e;

    inner = fd_open_dir(dir, "inner", 0700, &e);
    T_OK(inner >= 0);
    again = fd_open_dir(dir, "inner", 0700, &e);
    T_OK(again >= 0);
    T_EQ(fd_write_file(inner, "f", 0600, getuid(), getgid(), "x", 1, &e), 0);
    T_EQ(symlinkat("/etc/passwd", dir, "absolute"), 0);
    T_EQ(symlinkat("inner/f", dir, "relative"), 0);
    T_EQ(symlinkat("inner", dir, "folder"), 0);
    T_EQ(fd_open_beneath(dir, "absolute", O_RDONLY, &e), -1);
    T_EQ(fd_open_beneath(dir, "relative", O_RDONLY, &e), -1);
    T_EQ(e.os_errno, ELOOP);
    T_EQ(fd_open_beneath(dir, "folder/f", O_RDONLY, &e), -1);
    T_EQ(fd_open_beneath(dir, "/etc/passwd", O_RDONLY, &e), -1);
    T_EQ(fd_open_beneath(dir, "../../etc/passwd", O_RDONLY, &e), -1);
    T_EQ(fd_open_beneath(inner, "../absolute", O_RDONLY, &e), -1);
    file = fd_open_beneath(dir, "inner/f", O_RDONLY, &e);
    T_OK(file >= 0);
    T_OK((fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
    remove_all(dir, false);
}

static void a_sealed_file_cannot_be_changed(void)
{
    struct err e;
    AUTO_CLOSE int fd = fd_sealed("secret", "abc", 3, &e);
    char got[4] = "";

    T_OK(fd >= 0);
    T_EQ(read(fd, got, 3), 3);
    T_STR(got, "abc");
    T_EQ(write(fd, "x", 1), -1);
    T_EQ(ftruncate(fd, 0), -1);
    T_OK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

struct item {
    int n;
    struct list node;
};

static void a_list_keeps_its_order_while_nodes_leave(void)
{
    struct list l;
    struct item items[5];
    int sum = 0;

    list_init(&l);
    T_OK(list_empty(&l) && list_first(&l) == NULL);
    for (int i = 0; i < 5; i++) {
        items[i].n = i;
        list_append(&l, &items[i].node);
    }
    list_each (&l, node) {
        struct item *item = list_of(node, struct item, node);

        sum = sum * 10 + item->n;
        if (item->n % 2 == 0)
            list_remove(node);
    }
    T_EQ(sum, 1234);
    T_OK(list_first(&l) == &items[1].node);
    T_OK(list_empty(&items[0].node));
    list_remove(&items[1].node);
    list_remove(&items[1].node); /* one that is in no list may leave again */
    list_remove(&items[3].node);
    T_OK(list_empty(&l));
}

static void ids_are_safe_everywhere_and_never_twice(void)
{
    char ids[200][ID_SIZE];

    for (int i = 0; i < 200; i++) {
        rand_id(ids[i]);
        T_EQ(strlen(ids[i]), ID_LEN);
        T_EQ(strspn(ids[i], "abcdefghijklmnopqrstuvwxyz234567"), ID_LEN);
        for (int k = 0; k < i; k++)
            T_OK(!str_is(ids[i], ids[k]));
    }
}

static int take_what_is_held(void)
{
    AUTO_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    return take_fd(&fd);
}

static void what_is_taken_is_not_released(void)
{
    AUTO_FREE char *text = mem_printf("%s-%d", "a", 1);
    AUTO_FREE char *taken = take_ptr(text);
    int fd = take_what_is_held();

    T_OK(text == NULL);
    T_STR(taken, "a-1");
    T_OK(fcntl(fd, F_GETFD) >= 0);
    close_fd(&fd);
    T_EQ(fd, -1);
    close_fd(&fd);
}

int main(void)
{
    T_RUN(a_failure_says_what_and_why);
    T_RUN(a_failure_may_be_raised_from_its_own_texts);
    T_RUN(a_failure_of_any_length_is_cut_not_overrun);
    T_RUN(every_kind_has_its_codes);
    T_RUN(a_log_line_cannot_be_forged);
    T_RUN(a_log_line_is_bounded_and_ends);
    T_RUN(what_a_stranger_causes_is_logged_five_times_a_second);
    T_RUN(what_was_withheld_is_counted);
    T_RUN(a_file_is_replaced_whole);
    T_RUN(a_file_that_cannot_be_written_leaves_the_old_one);
    T_RUN(a_file_is_read_to_its_maximum_and_not_past_it);
    T_RUN(a_kernel_number_is_a_number);
    T_RUN(no_link_leads_out_of_a_tree);
    T_RUN(a_sealed_file_cannot_be_changed);
    T_RUN(a_list_keeps_its_order_while_nodes_leave);
    T_RUN(ids_are_safe_everywhere_and_never_twice);
    T_RUN(what_is_taken_is_not_released);
    return t_end();
}
