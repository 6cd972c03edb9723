/* What becomes of a call, and of its answer. */
#include "t_cli.h"

static void arguments_and_options_become_keys(void)
{
    static const char *const columns[] = {"login", "password"}, *const row[] = {"alice", "x\x1b"};
    struct buf answers[4];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_COLUMNS, columns, (size_t)2);
    ANSWER(&answers[1], IPC_ROW, row, (size_t)2);
    ANSWER(&answers[2], IPC_SAY, (uint64_t)1, "a remark");
    ANSWER(&answers[3], IPC_DONE);
    pid = stand_in("user add|login|alice|role|admin", answers, 4);
    o = RUN("user", "add", "alice", "--role", "admin");
    T_EQ(o.r, 0);
    T_STR(o.out, "LOGIN  PASSWORD\nalice  x\\x1b\n");
    T_STR(o.err, "a remark\n");
    served(pid);
    outcome_done(&o);

    pid = stand_in("user add|login|alice", answers, 4);
    o = RUN("user", "add", "alice", "-q", "-o", "json");
    T_STR(o.out, "[{\"login\": \"alice\", \"password\": \"x\\u001b\"}]\n");
    T_STR(o.err, "");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 4);
}

static void a_failure_keeps_its_kind_and_hint(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_FAIL, (uint64_t)ERR_NOT_FOUND, "no such user", "see: dorm user list");
    pid = stand_in("user show|login|bob", answers, 1);
    o = RUN("user", "show", "bob", "-o", "json");
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 66);
    T_STR(e.msg, "no such user");
    T_STR(e.hint, "see: dorm user list");
    T_STR(o.out, "");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
}

static void an_answer_that_breaks_off_is_a_failure(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_SAY, (uint64_t)0, "half");
    pid = stand_in("status", answers, 1);
    o = RUN("status");
    T_EQ(o.r, -1);
    T_EQ(e.kind, ERR_PEER);
    T_STR(o.out, "half\n");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
}

static void one_value_of_an_answer_is_taken(void)
{
    static const char *const state_row[] = {"state", "owner"}, *const row[] = {"owner", "alice"};
    static const char *const later[] = {"owner", "bob"};
    const char *argv[] = {"--state", state, "server", "psql", "x"};
    struct call_words w = {.at = {"server show"}, .n = 1};
    AUTO_FREE char *owner = NULL, *none = NULL;
    struct buf answers[4];
    struct cli c;
    pid_t pid;

    ANSWER(&answers[0], IPC_ROW, state_row, (size_t)2);
    ANSWER(&answers[1], IPC_ROW, row, (size_t)2);
    ANSWER(&answers[2], IPC_ROW, later, (size_t)2);
    ANSWER(&answers[3], IPC_DONE);
    T_EQ(cli_parse(&c, 5, argv, &e), 0);
    call_words_add(&w, "name", "x");
    pid = stand_in("server show|name|x", answers, 4);
    T_EQ(call_value(&c, &w, "owner", &owner, &e), 0);
    T_STR(owner, "alice");
    served(pid);
    pid = stand_in("server show|name|x", answers, 4);
    T_EQ(call_value(&c, &w, "class", &none, &e), 0);
    T_STR(none, "");
    served(pid);
    answers_done(answers, 4);
}

static void what_is_no_answer_is_refused(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_GATE_DRAIN);
    pid = stand_in("status", answers, 1);
    o = RUN("status");
    T_EQ(o.r, -1);
    T_OK(strstr(e.msg, "GATE_DRAIN") != NULL);
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
}

static void going_down_succeeds_when_dormd_is_gone_not_before(void)
{
    struct buf answers[3];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_SAY, (uint64_t)1, "putting 2 servers to sleep");
    ANSWER(&answers[1], IPC_DONE);
    ANSWER(&answers[2], IPC_SAY, (uint64_t)0, "the last one sleeps");
    pid = stand_in("down", answers, 3);
    o = RUN("down");
    T_EQ(o.r, 0);
    T_STR(o.out, "the last one sleeps\n");
    T_STR(o.err, "putting 2 servers to sleep\n");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 3);
}

static void nobody_there_says_how_to_start(void)
{
    struct outcome o;

    (void)unlink(in_state("control"));
    o = RUN("status");
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 69);
    T_OK(str_starts(e.msg, "could not reach dormd of hub at /tmp/dormouse-test-"));
    T_OK(strstr(e.msg, ": it is not running") != NULL);
    T_STR(e.hint, "start it with: dorm up");
    outcome_done(&o);

    o = RUN("down");
    T_EQ(o.r, 0);
    T_OK(strstr(o.err, "it is not running") != NULL);
    outcome_done(&o);
}

static void a_state_must_be_an_absolute_path(void)
{
    char at[HUB_PATH], endless[HUB_PATH + 1];
    struct cli c = {.state = "relative"};

    T_EQ(hub_state(&c, at, &e), -1);
    c.state = "/x//";
    T_EQ(hub_state(&c, at, &e), 0);
    T_STR(at, "/x");
    memset(endless, '/', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    c.state = endless;
    T_EQ(hub_state(&c, at, &e), -1);
    c.state = NULL;
    T_EQ(unsetenv("DORM_STATE"), 0);
    T_EQ(hub_state(&c, at, &e), 0);
    T_OK(hub_is_default(at));
    T_EQ(setenv("DORM_STATE", "/y", 1), 0);
    T_EQ(hub_state(&c, at, &e), 0);
    T_STR(at, "/y");
    T_EQ(unsetenv("DORM_STATE"), 0);
}

static void removal_is_shown_first_and_refused_without_a_terminal(void)
{
    AUTO_CLOSE int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct buf answers[2];
    struct outcome o;
    pid_t pid;

    if (dup2(null_fd, STDIN_FILENO) < 0)
        abort();
    ANSWER(&answers[0], IPC_SAY, (uint64_t)0, "1Gi goes");
    ANSWER(&answers[1], IPC_DONE);
    pid = stand_in("user remove|login|alice|dry|1", answers, 2);
    o = RUN("user", "remove", "alice");
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 64);
    T_STR(o.out, "1Gi goes\n");
    T_STR(e.hint, "say it with --yes");
    served(pid);
    outcome_done(&o);

    pid = stand_in("user remove|login|alice|yes|1", answers, 2);
    o = RUN("user", "remove", "alice", "--yes");
    T_EQ(o.r, 0);
    served(pid);
    outcome_done(&o);
    answers_done(answers, 2);
}

static void a_password_is_read_from_standard_input(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;
    int ends[2];

    ANSWER(&answers[0], IPC_DONE);
    if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "s3cret \r\nrest", 13) != 13 ||
        dup2(ends[0], STDIN_FILENO) < 0)
        abort();
    pid = stand_in("user passwd|login|alice|password|s3cret ", answers, 1);
    o = RUN("user", "passwd", "alice", "--password", "-");
    T_EQ(o.r, 0);
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(STDIN_FILENO);
}

int main(void)
{
    make_state();
    T_RUN(arguments_and_options_become_keys);
    T_RUN(a_failure_keeps_its_kind_and_hint);
    T_RUN(an_answer_that_breaks_off_is_a_failure);
    T_RUN(one_value_of_an_answer_is_taken);
    T_RUN(what_is_no_answer_is_refused);
    T_RUN(going_down_succeeds_when_dormd_is_gone_not_before);
    T_RUN(nobody_there_says_how_to_start);
    T_RUN(a_state_must_be_an_absolute_path);
    T_RUN(removal_is_shown_first_and_refused_without_a_terminal);
    T_RUN(a_password_is_read_from_standard_input);
    remove_state();
    return t_end();
}
