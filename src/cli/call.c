#include "call.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/hub.h"
#include "cli/table.h"
#include "ipc/conn.h"

void call_words_add(struct call_words *w, const char *key, const char *value)
{
    assert(w->n + 2 <= CALL_WORDS);
    w->at[w->n++] = key;
    w->at[w->n++] = value;
}

void call_words_of(struct call_words *w, const struct cli *c)
{
    const struct cmd *cmd = c->cmd;

    *w = (struct call_words){.at = {cmd->name}, .n = 1};
    for (size_t i = 0; cmd->args != NULL && cmd->args[i].name != NULL; i++)
        if (c->args[i] != NULL)
            call_words_add(w, cmd->args[i].key, c->args[i]);
    for (size_t i = 0; cmd->options != NULL && cmd->options[i].name != NULL; i++)
        if (c->options[i] != NULL)
            call_words_add(w, cmd->options[i].key, c->options[i]);
}

void call_remark(const struct cli *c, const char *text)
{
    AUTO_FREE char *shown = c->quiet ? NULL : table_harmless(text);

    if (shown != NULL)
        (void)fprintf(stderr, "%s\n", shown);
}

static int failed(const struct ipc_msg *m, struct err *e)
{
    enum err_kind kind = ERR_INTERNAL;

    if (m->field[0].number > ERR_NONE && m->field[0].number < ERR_KIND_N)
        kind = (enum err_kind)m->field[0].number;
    (void)err_set(e, kind, "%s", m->field[1].at);
    return err_hint(e, "%s", m->field[2].at);
}

int call_words_absolute(struct call_words *w, const char *key, char **ret_owned, struct err *e)
{
    char here[4096];

    for (size_t i = 1; i + 1 < w->n; i += 2) {
        const char *typed = w->at[i + 1];

        if (!str_is(w->at[i], key) || typed[0] == '/')
            continue;
        if (typed[0] == '\0') /* an unset variable must not mean the directory we stand in */
            return err_set(e, ERR_INPUT, "the path of the %s is empty", key);
        if (getcwd(here, sizeof(here)) == NULL)
            return err_set_os(e, errno, "could not tell where \"%s\" is", typed);
        *ret_owned = mem_printf("%s/%s", str_is(here, "/") ? "" : here, typed);
        w->at[i + 1] = *ret_owned;
        return 0;
    }
    return 0;
}

/* What becomes of an answer. */
struct reader {
    struct table *t;   /* NULL: nothing of it is shown */
    const char *field; /* whose value is wanted, of rows of those two; or NULL */
    char *value;       /* owned; NULL until it is there */
};

static void read_unseen(struct reader *r, const struct ipc_msg *m)
{
    if (r->field != NULL && r->value == NULL && m->type == IPC_ROW && m->n == 2 &&
        str_is(m->field[0].at, r->field))
        r->value = mem_copy(m->field[1].at);
}

/* 1: the answer goes on, 0: it is complete, -1: dormd says no. */
static int answer(const struct cli *c, struct reader *r, const struct ipc_msg *m, struct err *e)
{
    const char *texts[IPC_FIELDS];
    struct table *t = r->t;

    for (size_t i = 0; i < m->n; i++)
        texts[i] = m->field[i].at;
    if (t == NULL && (m->type == IPC_COLUMNS || m->type == IPC_ROW || m->type == IPC_SAY)) {
        read_unseen(r, m);
        return 1;
    }
    if (m->type == IPC_COLUMNS)
        table_columns(t, texts, m->n);
    else if (m->type == IPC_ROW)
        table_row(t, texts, m->n);
    else if (m->type == IPC_SAY && m->field[0].number == 0)
        table_say(t, m->field[1].at);
    else if (m->type == IPC_SAY)
        call_remark(c, m->field[1].at);
    else if (m->type == IPC_FAIL)
        return failed(m, e);
    else if (m->type == IPC_DONE)
        return 0;
    else
        return err_set(e, ERR_PEER, "dormd answered with something else than an answer (%s)",
                       ipc_name(m->type));
    return 1;
}

static int converse(const struct cli *c, int fd, enum call_end end, struct reader *r, struct err *e)
{
    struct buf storage;
    struct ipc_msg m;
    int more = 1;

    buf_init(&storage, IPC_MAX);
    while (more == 1) {
        if (ipc_receive_now(fd, &storage, &m, e) == 0) {
            more = answer(c, r, &m, e);
            /* with an end to come, its word that all is done is not the end yet */
            if (more == 0 && end == CALL_ENDS_GONE)
                more = 1;
        } else if (end == CALL_ENDS_GONE && (e->kind == ERR_PEER || e->os_errno == ECONNRESET)) {
            more = 0;
        } else {
            more = err_prefix(e, "dormd broke off its answer");
        }
    }
    buf_done(&storage);
    return more;
}

static int ask(const struct cli *c, const struct call_words *w, int *ret_fd, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct buf b;
    int r = -1;

    if (hub_connect(c, &fd, e) < 0)
        return -1;
    buf_init(&b, IPC_MAX);
    if (!ipc_format(&b, IPC_CALL, w->at[0], w->at + 1, w->n - 1))
        (void)err_set(e, ERR_INPUT, "what was typed is too long to be meant");
    else
        r = ipc_send_now(fd, &b, e);
    buf_done(&b);
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}

int call_dormd(const struct cli *c, const struct call_words *w, enum call_end end, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct table t;
    int r;

    if (ask(c, w, &fd, e) < 0)
        return -1;
    table_init(&t, stdout, c->output);
    t.live = cli_value(c, "follow") != NULL;
    r = converse(c, fd, end, &(struct reader){.t = &t}, e);
    if (r == 0 || t.head_done || t.cells_n > 0)
        table_end(&t);
    table_done(&t);
    return r;
}

int call_unseen(const struct cli *c, const struct call_words *w, struct err *e)
{
    AUTO_CLOSE int fd = -1;

    return ask(c, w, &fd, e) < 0 ? -1 : converse(c, fd, CALL_ENDS_DONE, &(struct reader){0}, e);
}

int call_value(const struct cli *c, const struct call_words *w, const char *field, char **ret_value,
               struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct reader r = {.field = field};

    if (ask(c, w, &fd, e) < 0)
        return -1;
    if (converse(c, fd, CALL_ENDS_DONE, &r, e) < 0) {
        free(r.value);
        return -1;
    }
    *ret_value = r.value != NULL ? r.value : mem_copy("");
    return 0;
}

int call_run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}
