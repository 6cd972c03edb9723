/* Commands that take something away or bring it back: what they ask, and what they then call. */
#include "t_cli.h"

static struct buf done[1];

enum { WORDS = 12 };

static struct outcome run_words(const char *const *words)
{
    const char *argv[WORDS + 2] = {"--state", state};
    int n = 2;

    for (; words[n - 2] != NULL; n++)
        argv[n] = words[n - 2];
    return run(argv, n);
}

static void expect_call(const char *const *words, const char *call)
{
    pid_t pid = stand_in(call, done, 1);
    struct outcome o = run_words(words);

    T_EQ(o.r, 0);
    if (o.r < 0)
        printf("# %s\n", e.msg);
    served(pid);
    outcome_done(&o);
}

static void nothing_is_asked_where_nothing_is_lost_or_yes_is_said(void)
{
    static const struct {
        const char *words[WORDS], *call;
    } all[] = {
        {{"server", "reset", "alice", "--yes"}, "server reset|name|alice|yes|1"},
        {{"server", "remove", "alice-old", "--yes"}, "server remove|name|alice-old|yes|1"},
        {{"volume", "list"}, "volume list"},
        {{"volume", "list", "-l", "component=extra-pvc"}, "volume list|label|component=extra-pvc"},
        {{"volume", "show", "v"}, "volume show|volume|v"},
        {{"volume", "resize", "v", "4Gi"}, "volume resize|volume|v|capacity|4Gi"},
        {{"volume", "move", "v", "--to", "fast"}, "volume move|volume|v|class|fast"},
        {{"volume", "delete", "v", "--yes"}, "volume delete|volume|v|yes|1"},
        {{"volume", "delete", "--yes", "--label=a=b"}, "volume delete|label|a=b|yes|1"},
        {{"volume", "snapshot", "v", "--label", "x"}, "volume snapshot|volume|v|label|x"},
        {{"volume", "restore", "v", "s", "--yes"}, "volume restore|volume|v|snapshot|s|yes|1"},
        {{"snapshot", "create", "alice"}, "snapshot create|name|alice"},
        {{"snapshot", "create", "alice", "-lx"}, "snapshot create|name|alice|label|x"},
        {{"snapshot", "list"}, "snapshot list"},
        {{"snapshot", "list", "alice"}, "snapshot list|name|alice"},
        {{"snapshot", "restore", "alice", "s", "--yes"},
         "snapshot restore|name|alice|snapshot|s|yes|1"},
        {{"snapshot", "restore", "alice", "s", "--beside"},
         "snapshot restore|name|alice|snapshot|s|beside|1"},
        {{"snapshot", "delete", "alice", "s", "--yes"},
         "snapshot delete|name|alice|snapshot|s|yes|1"},
        {{"undo", "3"}, "undo|what|3"},
        {{"backup", "create", "--all"}, "backup create|all|1"},
        {{"backup", "create", "alice"}, "backup create|server|alice"},
        {{"backup", "create", "a", "--to", "/x", "b", "c"},
         "backup create|server|a|target|/x|server|b|server|c"},
        {{"backup", "list", "--from", "/x"}, "backup list|target|/x"},
        {{"backup", "restore", "b", "--server", "alice", "--yes"},
         "backup restore|backup|b|name|alice|yes|1"},
        {{"backup", "restore", "b", "--server=alice", "--from", "/x", "--yes"},
         "backup restore|backup|b|name|alice|target|/x|yes|1"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        expect_call(all[i].words, all[i].call);
}

/* Standard input becomes a terminal at which somebody has typed. Returns its other side. */
static int type(const char *text)
{
    int other = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), mine;
    char path[64];

    if (other < 0 || grantpt(other) < 0 || unlockpt(other) < 0 ||
        ptsname_r(other, path, sizeof(path)) != 0)
        abort();
    mine = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (mine < 0 || dup2(mine, STDIN_FILENO) < 0 || fd_write_all(other, text, strlen(text), &e) < 0)
        abort();
    (void)close(mine);
    return other;
}

static void what_goes_is_shown_and_its_name_asked_for(void)
{
    static const struct {
        const char *words[WORDS], *question, *word, *call;
    } all[] = {
        {{"user", "remove", "alice"}, "remove this user", "alice", "user remove|login|alice"},
        {{"server", "reset", "alice"}, "reset this server", "alice", "server reset|name|alice"},
        {{"server", "remove", "old"}, "remove this server", "old", "server remove|name|old"},
        {{"volume", "delete", "v"}, "delete this volume", "v", "volume delete|volume|v"},
        {{"volume", "delete", "-l", "a=b"},
         "delete these volumes",
         "a=b",
         "volume delete|label|a=b"},
        {{"volume", "restore", "v", "s"},
         "restore this volume",
         "v",
         "volume restore|volume|v|snapshot|s"},
        {{"snapshot", "restore", "alice", "s"},
         "restore this server",
         "alice",
         "snapshot restore|name|alice|snapshot|s"},
        {{"snapshot", "delete", "alice", "s"},
         "delete this snapshot",
         "s",
         "snapshot delete|name|alice|snapshot|s"},
        {{"backup", "restore", "b", "--server", "alice"},
         "restore this server",
         "alice",
         "backup restore|backup|b|name|alice"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        AUTO_FREE char *dry = mem_printf("%s|dry|1", all[i].call);
        AUTO_FREE char *real = mem_printf("%s|yes|1", all[i].call);
        AUTO_FREE char *typed = mem_printf("%s\n", all[i].word);
        AUTO_FREE char *asked = mem_printf("Type %s to %s: ", all[i].word, all[i].question);
        int terminal = type(typed);
        pid_t pid = stand_in_for((const char *const[]){dry, real, NULL}, done, 1);
        struct outcome o = run_words(all[i].words);

        T_EQ(o.r, 0);
        T_STR(o.err, asked);
        served(pid);
        outcome_done(&o);
        (void)close(terminal);
    }
}

static void another_word_changes_nothing(void)
{
    int terminal = type("bob\n");
    pid_t pid = stand_in("server reset|name|alice|dry|1", done, 1);
    struct outcome o = RUN("server", "reset", "alice");

    T_EQ(o.r, -1);
    T_STR(e.msg, "nothing was changed: that is not \"alice\"");
    served(pid);
    outcome_done(&o);
    (void)close(terminal);
}

static void each_volume_is_asked_for_and_a_no_ends_it(void)
{
    static const char *const calls[] = {"volume delete|volume|a|dry|1",
                                        "volume delete|volume|a|yes|1",
                                        "volume delete|volume|b|dry|1", NULL};
    int terminal = type("a\nno\n");
    pid_t pid = stand_in_for(calls, done, 1);
    struct outcome o = RUN("volume", "delete", "a", "b", "c");

    T_EQ(o.r, -1);
    T_STR(e.msg, "nothing was changed: that is not \"b\"");
    served(pid);
    outcome_done(&o);
    (void)close(terminal);
}

/* These call nobody: an answer would be missed, and nobody is there to give it. */
static void refused(const char *const *words, const char *hint)
{
    struct outcome o;

    (void)unlink(in_state("control"));
    o = run_words(words);
    T_EQ(o.r, -1);
    T_OK(e.kind == ERR_INPUT || e.kind == ERR_LIMIT);
    T_STR(e.hint, hint);
    outcome_done(&o);
}

#define REFUSED(hint, ...) refused((const char *const[]){__VA_ARGS__, NULL}, hint)

static void what_cannot_be_meant_is_refused_before_dormd_is_asked(void)
{
    static const char *const either =
        "dorm volume delete VOLUME ..., or: dorm volume delete -l LABEL";
    static const char *const one_or_all =
        "dorm backup create SERVER ..., or: dorm backup create --all";
    static const char *const whole =
        "dorm backup restore BACKUP --server SERVER, or on a new machine: --hub";
    const char *argv[64] = {"--state", state, "backup", "create"};
    struct outcome o;

    REFUSED(either, "volume", "delete", "--yes");
    REFUSED(either, "volume", "delete", "v", "-l", "a=b", "--yes");
    REFUSED("", "volume", "delete", "--yes", "-l", "");
    REFUSED("kinds of disk: dorm storage list", "volume", "move", "v");
    REFUSED(one_or_all, "backup", "create");
    REFUSED(one_or_all, "backup", "create", "alice", "--all");
    REFUSED("", "backup", "create", "--all", "--to", "");
    REFUSED(whole, "backup", "restore", "b");
    REFUSED(whole, "backup", "restore", "b", "--hub", "--server", "alice");
    REFUSED("give its path, or the directory it is in: --from DIR", "backup", "restore", "b",
            "--hub");
    for (int i = 4; i < 64; i++)
        argv[i] = "a";
    o = run(argv, 4 + 31);
    T_EQ(e.kind, ERR_LIMIT);
    outcome_done(&o);
    o = run(argv, 4 + 30);
    T_EQ(e.kind, ERR_MISSING); /* it got as far as calling */
    outcome_done(&o);
}

static void paths_are_told_to_dormd_from_the_root(void)
{
    AUTO_FREE char *call = mem_printf("backup create|all|1|target|%s/here/b", state);
    AUTO_FREE char *restore = mem_printf("backup restore|backup|%s/here/b|name|alice|yes|1", state);
    AUTO_CLOSE int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (chdir(state) < 0)
        abort();
    expect_call((const char *const[]){"backup", "create", "--all", "--to", "here/b", NULL}, call);
    expect_call(
        (const char *const[]){"backup", "restore", "here/b", "--server", "alice", "--yes", NULL},
        restore);
    if (fchdir(before) < 0)
        abort();
}

/* ---- psql ---- */

static void psql_is_not_started_for_a_server_that_nobody_has(void)
{
    AUTO_FREE char *before = mem_copy(getenv("PATH"));
    static const char *const asked[] = {"server show|name|alice.reader", "user show|login|alice",
                                        NULL};
    struct buf no[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&no[0], IPC_FAIL, (uint64_t)ERR_NOT_FOUND, "there is no server", "dorm server list");
    pid = stand_in_for(asked, no, 1);
    /* a psql that is started all the same would take this process */
    T_EQ(setenv("PATH", state, 1), 0);
    o = RUN("server", "psql", "alice.reader");
    T_EQ(o.r, -1);
    T_STR(e.msg, "there is no server");
    T_STR(e.hint, "dorm server list");
    T_EQ(setenv("PATH", before, 1), 0);
    served(pid);
    outcome_done(&o);
    answers_done(no, 1);
}

static void psql_is_started_when_dormd_knows_or_may_not_tell(void)
{
    AUTO_FREE char *before = mem_copy(getenv("PATH"));
    struct buf answers[2];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_SAY, (uint64_t)0, "not to be seen");
    ANSWER(&answers[1], IPC_FAIL, (uint64_t)ERR_DENIED, "only root", "");
    T_EQ(setenv("PATH", state, 1), 0); /* no psql there: that it is looked for is enough */
    for (int i = 0; i < 2; i++) {
        struct buf known[2] = {answers[0], i == 0 ? done[0] : answers[1]};

        pid = stand_in("server show|name|alice", known, 2);
        o = RUN("server", "psql", "alice");
        T_OK(str_starts(e.msg, "could not start psql"));
        T_STR(o.out, "");
        served(pid);
        outcome_done(&o);
    }
    T_EQ(setenv("PATH", before, 1), 0);
    answers_done(answers, 2);
}

/* ---- the whole hub ---- */

static void fake_dormd(const char *script)
{
    if (fd_write_file(AT_FDCWD, in_state("dormd"), 0755, getuid(), getgid(), script, strlen(script),
                      &e) < 0 ||
        setenv("DORM_LIB", state, 1) < 0)
        abort();
}

static void a_hub_is_restored_by_its_own_dormd(void)
{
    AUTO_FREE char *said = mem_printf("--state %s --restore %s/run\n", state, state);
    struct outcome o;

    if (getuid() != 0)
        return;
    (void)unlink(in_state("control"));
    fake_dormd("#!/bin/sh\necho \"$@\"\n");
    o = RUN("backup", "restore", "run", "--hub", "--from", state);
    T_EQ(o.r, 0);
    T_STR(o.out, said);
    T_STR(o.err, "the hub is restored; start it with: dorm up\n");
    outcome_done(&o);

    o = RUN("backup", "restore", "no", "--hub", "--from", state);
    T_EQ(o.r, -1);
    T_OK(str_starts(e.msg, "could not find backup \""));
    T_STR(o.out, "");
    outcome_done(&o);

    fake_dormd("#!/bin/sh\nexit 78\n");
    o = RUN("backup", "restore", "run", "--hub", "--from", state);
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 78);
    outcome_done(&o);
    T_EQ(unlink(in_state("dormd")), 0);
}

static void a_hub_that_is_there_is_not_restored_over(void)
{
    AUTO_FREE char *record = mem_copy(in_state("record.db"));
    struct outcome o;
    pid_t pid;

    if (getuid() != 0)
        return;
    (void)unlink(in_state("control"));
    fake_dormd("#!/bin/sh\necho started\n");
    if (fd_write_file(AT_FDCWD, record, 0600, getuid(), getgid(), "", 0, &e) < 0)
        abort();
    o = RUN("backup", "restore", "run", "--hub", "--from", state);
    T_EQ(e.kind, ERR_EXISTS);
    T_OK(strstr(e.msg, "already") != NULL);
    T_STR(o.out, "");
    outcome_done(&o);
    T_EQ(unlink(record), 0);

    pid = stand_in_for((const char *const[]){NULL}, NULL, 0);
    (void)waitpid(pid, NULL, 0);
    o = RUN("backup", "restore", "run", "--hub", "--from", state);
    T_EQ(o.r, 0); /* a socket that nobody listens on any more */
    outcome_done(&o);
    T_EQ(unlink(in_state("dormd")), 0);
}

static void a_hub_that_runs_is_not_restored_over(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct outcome o;

    if (getuid() != 0)
        return;
    (void)unlink(in_state("control"));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_state("control"));
    if (bind(server, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(server, 1) < 0)
        abort();
    o = RUN("backup", "restore", "run", "--hub", "--from", state);
    T_EQ(e.kind, ERR_EXISTS);
    T_OK(strstr(e.msg, "is running") != NULL);
    outcome_done(&o);
}

int main(void)
{
    make_state();
    ANSWER(&done[0], IPC_DONE);
    T_RUN(nothing_is_asked_where_nothing_is_lost_or_yes_is_said);
    T_RUN(what_goes_is_shown_and_its_name_asked_for);
    T_RUN(another_word_changes_nothing);
    T_RUN(each_volume_is_asked_for_and_a_no_ends_it);
    T_RUN(what_cannot_be_meant_is_refused_before_dormd_is_asked);
    T_RUN(paths_are_told_to_dormd_from_the_root);
    T_RUN(psql_is_not_started_for_a_server_that_nobody_has);
    T_RUN(psql_is_started_when_dormd_knows_or_may_not_tell);
    T_RUN(a_hub_is_restored_by_its_own_dormd);
    T_RUN(a_hub_that_is_there_is_not_restored_over);
    T_RUN(a_hub_that_runs_is_not_restored_over);
    answers_done(done, 1);
    remove_state();
    return t_end();
}
