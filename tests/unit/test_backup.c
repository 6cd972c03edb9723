#include "t_backup.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void what_is_put_in_comes_out(void)
{
    int images[] = {image_new(0, 0, 1),        image_new(1, 0, 1),         image_new(1, 1, 2),
                    image_new(MIB, 0, 1),      image_new(64 * MIB, 90, 3), image_new(5000001, 9, 4),
                    image_new(2 * MIB, 999, 5)};
    struct backup *b = NULL;
    const struct backup_file *files, *f;
    struct stat st, source;
    char path[128];
    size_t n = 0;

    target_new();
    T_DO(make("2026-03-01T03:00:00Z", 1772334000, images, COUNT(images), &e));
    T_STR(listed(), "2026-03-01T03:00:00Z ");
    check("2026-03-01T03:00:00Z", images, COUNT(images));
    T_EQ(entries(true), 0);
    T_DO(backup_open(target, "2026-03-01T03:00:00Z", &b, &e));
    T_STR(backup_hub(b), "testhub");
    T_EQ(backup_created(b), 1772334000);
    files = backup_files(b, &n);
    T_EQ(n, 2 + COUNT(images));
    for (size_t i = 1; i < n; i++)
        T_OK(strcmp(files[i - 1].name, files[i].name) < 0);
    f = backup_find(b, "vol4.img");
    T_OK(f != NULL && f->kind == BACKUP_IMAGE && f->size == 64 * MIB);
    T_EQ(fstat(images[4], &source), 0);
    T_OK(f != NULL && f->stored < (uint64_t)source.st_blocks * 512 + 65536); /* no holes in it */
    T_OK(backup_find(b, "vol") == NULL);
    backup_close(b);
    (void)snprintf(path, sizeof(path), "%s/2026-03-01T03:00:00Z", target);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 07777, 0700);
    (void)snprintf(path, sizeof(path), "%s/2026-03-01T03:00:00Z/record.db", target);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 07777, 0600);
    for (size_t i = 0; i < COUNT(images); i++)
        close_fd(&images[i]);
    target_gone();
}

static void holes_stay_holes(void)
{
    int image = image_new(256 * MIB, 3, 7);
    AUTO_CLOSE int out = scratch_fd();
    struct backup *b = NULL;
    struct stat st;

    target_new();
    T_DO(make("a", 1, &image, 1, &e));
    T_DO(backup_open(target, "a", &b, &e));
    T_DO(backup_extract_image(b, "vol0.img", out, NULL, NULL, &e));
    T_EQ(fstat(out, &st), 0);
    T_EQ(st.st_size, 256 * MIB);
    T_OK((uint64_t)st.st_blocks * 512 < MIB);
    backup_close(b);
    close_fd(&image);
    target_gone();
}

static const char *const bad_names[] = {
    "",
    ".",
    "..",
    "a/b",
    "/a",
    "../a",
    "a..b",
    ".a",
    "-a",
    "a b",
    "a\n",
    "\xff",
    "a\\b",
    ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")};

static void names_that_lead_elsewhere_are_refused(void)
{
    struct backup *b = NULL;

    target_new();
    for (size_t i = 0; i < COUNT(bad_names); i++) {
        struct backup_label label = {.name = bad_names[i], .hub = "h"},
                            good = {"a", bad_names[i], 1};
        struct backup_writer *w = NULL;

        T_REFUSED(backup_begin(target, &label, &w, &e), ERR_INPUT);
        T_REFUSED(backup_begin(target, &good, &w, &e), ERR_INPUT);
        T_REFUSED(backup_open(target, bad_names[i], &b, &e), ERR_INPUT);
        good.hub = "h";
        T_DO(backup_begin(target, &good, &w, &e));
        T_REFUSED(backup_add_bytes(w, bad_names[i], "x", 1, &e), ERR_INPUT);
        T_REFUSED(backup_add_bytes(w, "fine", "x", 1, &e), ERR_INTERNAL);
        T_REFUSED(backup_finish(w, &(uint64_t){0}, &e), ERR_INTERNAL);
        T_EQ(entries(false), 0);
    }
    T_OK(backup_name_ok("2026-03-01T03:00:00.5+01:00_x@y"));
    T_REFUSED(backup_open(target, "absent", &b, &e), ERR_NOT_FOUND);
    target_gone();
}

static void what_is_there_already_is_not_touched(void)
{
    struct backup_label label = {.name = "a", .hub = "h", .created = 1};
    struct backup_writer *w = NULL, *other = NULL;

    target_new();
    T_DO(make("a", 1, NULL, 0, &e));
    T_REFUSED(make("a", 2, NULL, 0, &e), ERR_EXISTS);
    check("a", NULL, 0);
    label.name = "b";
    T_DO(backup_begin(target, &label, &w, &e));
    T_REFUSED(backup_begin(target, &label, &other, &e), ERR_BUSY);
    T_DO(make("c", 1, NULL, 0, &e)); /* beside it, without taking its beginnings away */
    T_DO(backup_add_bytes(w, "x", "x", 1, &e));
    T_REFUSED(backup_add_bytes(w, "x", "x", 1, &e), ERR_OS);
    backup_abort(w);
    T_STR(listed(), "a c ");
    T_DO(backup_begin(target, &label, &w, &e));
    T_REFUSED(backup_add_bytes(w, "manifest", "x", 1, &e), ERR_INPUT);
    backup_abort(w);
    backup_abort(NULL);
    T_EQ(entries(false), 2);
    target_gone();
}

/* ---- killed ---- */

static int images[2];

static int make_k(struct err *err)
{
    return make("k", 5, images, 2, err);
}

static int prune_two(struct err *err)
{
    return backup_prune(target, "testhub", 1, err);
}

/* SIGKILL before its nth step into or out of the kernel. False when it was done before. */
static bool killed_after(unsigned steps, int (*fn)(struct err *))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct err err;

        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(2);
        (void)raise(SIGSTOP);
        _exit(fn(&err) < 0 ? 1 : 0);
    }
    (void)waitpid(pid, &status, 0);
    for (unsigned i = 0; i < steps && WIFSTOPPED(status); i++)
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid)
            return false;
    if (WIFEXITED(status)) {
        T_EQ(WEXITSTATUS(status), 0);
        return false;
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    return true;
}

static void killed_anywhere_there_is_no_half_backup(void)
{
    unsigned steps = 0, left = 0, done = 0;
    bool killed = true;

    images[0] = image_new(3 * MIB, 20, 1);
    images[1] = image_new(MIB, 5, 2);
    for (; killed; steps++) {
        target_new();
        killed = killed_after(steps, make_k);
        left += entries(true) > 0;
        if (str_is(listed(), "k ")) {
            check("k", images, 2);
            done++;
        } else {
            T_STR(listed(), "");
        }
        T_DO(make("next", 6, NULL, 0, &e)); /* takes away what is left */
        T_EQ(entries(true), 0);
        T_EQ(entries(false), str_is(listed(), "k next ") ? 2 : 1);
        target_gone();
    }
    printf("# killed at %u steps, %u left something, %u were done\n", steps - 1, left, done);
    T_OK(steps > 50 && left > 20 && done >= 2);
    close_fd(&images[0]);
    close_fd(&images[1]);
}

static void killed_while_old_ones_are_removed_none_is_half(void)
{
    unsigned steps = 0, left = 0;
    bool killed = true;

    for (; killed; steps++) {
        target_new();
        T_DO(make("a", 1, NULL, 0, &e));
        T_DO(make("b", 2, NULL, 0, &e));
        T_DO(make("c", 3, NULL, 0, &e));
        killed = killed_after(steps, prune_two);
        left += entries(true) > 0;
        T_OK(str_is(listed(), "a b c ") || str_is(listed(), "a c ") || str_is(listed(), "c "));
        T_DO(prune_two(&e));
        T_STR(listed(), "c ");
        T_DO(make("d", 4, NULL, 0, &e));
        T_EQ(entries(false), 2);
        check("c", NULL, 0);
        target_gone();
    }
    printf("# killed at %u steps, %u left something\n", steps - 1, left);
    T_OK(left > 10);
}

static void a_failure_at_any_named_place_leaves_nothing(void)
{
#ifdef DORM_INJECT
    static const char *const places[] = {"backup.begun", "backup.writing", "backup.manifest",
                                         "backup.naming", "backup.named"};

    for (size_t i = 0; i < COUNT(places); i++) {
        AUTO_FREE char *wish = mem_printf("%s=fail", places[i]);

        target_new();
        T_EQ(setenv("DORM_INJECT", wish, 1), 0);
        T_EQ(make("a", 1, NULL, 0, &e), -1);
        T_EQ(unsetenv("DORM_INJECT"), 0);
        T_EQ(entries(false), 0);
        target_gone();
    }
#endif
}

static int stop_at(void *owner, uint64_t done, uint64_t total, struct err *err)
{
    uint64_t *last = owner;

    T_OK(done > *last && done <= total);
    *last = done;
    return done == total ? err_set(err, ERR_BUSY, "enough") : 0;
}

static void progress_ascends_to_its_total_and_can_end_it(void)
{
    struct backup_label label = {.name = "a", .hub = "h", .created = 1};
    int image = image_new(8 * MIB, 400, 3);
    AUTO_CLOSE int out = scratch_fd();
    struct backup_writer *w = NULL;
    struct backup *b = NULL;
    uint64_t last = 0;

    target_new();
    T_DO(backup_begin(target, &label, &w, &e));
    T_REFUSED(backup_add_image(w, "x", image, stop_at, &last, &e), ERR_BUSY);
    backup_abort(w);
    T_DO(make("a", 1, &image, 1, &e));
    T_DO(backup_open(target, "a", &b, &e));
    last = 0;
    T_REFUSED(backup_verify(b, stop_at, &last, &e), ERR_BUSY);
    last = 0;
    T_REFUSED(backup_extract_image(b, "vol0.img", out, stop_at, &last, &e), ERR_BUSY);
    T_EQ(lseek(out, 0, SEEK_END), 0);
    backup_close(b);
    close_fd(&image);
    target_gone();
}

/* ---- old ones ---- */

static void the_oldest_go_and_never_the_newest(void)
{
    struct backup_label label = {.name = "foreign", .hub = "other", .created = 1};
    struct backup_writer *w = NULL;
    char path[128];

    target_new();
    T_DO(make("z-old", 10, NULL, 0, &e)); /* by time, not by name */
    T_DO(make("b", 20, NULL, 0, &e));
    T_DO(make("a-new", 30, NULL, 0, &e));
    T_DO(make("broken", 40, NULL, 0, &e)); /* the newest, but not complete */
    (void)snprintf(path, sizeof(path), "%s/broken/record.db", target);
    T_EQ(truncate(path, 9), 0);
    T_DO(backup_begin(target, &label, &w, &e));
    T_DO(backup_finish(w, &(uint64_t){0}, &e));
    (void)snprintf(path, sizeof(path), "%s/not-ours", target);
    T_EQ(mkdir(path, 0700), 0);
    T_STR(listed(), "!broken foreign z-old b a-new ");
    T_EQ(backup_prune(target, "testhub", 3, &e), 0);
    T_EQ(backup_prune(target, "testhub", 2, &e), 1);
    T_STR(listed(), "!broken foreign b a-new ");
    T_EQ(backup_prune(target, "testhub", 0, &e), 1);
    T_EQ(backup_prune(target, "testhub", 0, &e), 0);
    T_STR(listed(), "!broken foreign a-new ");
    T_EQ(entries(false), 4);
    target_gone();
    T_REFUSED(backup_prune(target, "testhub", 1, &e), ERR_OS);
    T_REFUSED(backup_list(target, see, NULL, &e), ERR_OS);
}

int main(void)
{
    if (mkdtemp(scratch) == NULL)
        return EXIT_FAILURE;
    T_RUN(what_is_put_in_comes_out);
    T_RUN(holes_stay_holes);
    T_RUN(names_that_lead_elsewhere_are_refused);
    T_RUN(what_is_there_already_is_not_touched);
    T_RUN(killed_anywhere_there_is_no_half_backup);
    T_RUN(killed_while_old_ones_are_removed_none_is_half);
    T_RUN(a_failure_at_any_named_place_leaves_nothing);
    T_RUN(progress_ascends_to_its_total_and_can_end_it);
    T_RUN(the_oldest_go_and_never_the_newest);
    return tests_end();
}
