/* What `dorm server logs` asks for: what a server said, of which its owner chooses every byte. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/control.h"
#include "dormd/people.h"
#include "engine/local.h"

enum {
    LINES = 50,
    LINES_MAX = 100000,
    LINES_AT_ONCE = 1000, /* shown of what is read in the loop */
    FILE_MAX = 2 << 20,
    LOOK_MS = 250,
    AT_ONCE = 64 << 10, /* bytes shown of what came between two looks: the rest is left out */
    LINE_MAX_SHOWN = 2000,
};

/* Dies with the call. */
struct reading {
    struct call *call;
    char path[512];
    uint64_t lines;
    struct loop_timer look;
    ino_t file; /* of which so much has been shown */
    off_t shown;
};

/* Of its bytes any may be a NUL: a text that ended there would hide all that follows. */
struct said {
    const char *at;
    size_t len;
};

static size_t count_lines(struct said s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.at[i] == '\n';
    return n;
}

static struct said last_lines(struct said s, size_t lines)
{
    size_t from = s.len > 0 && s.at[s.len - 1] == '\n' ? s.len - 1 : s.len;

    if (lines == 0)
        return (struct said){NULL, 0};
    for (; from > 0; from--)
        if (s.at[from - 1] == '\n' && lines-- == 1)
            break;
    return (struct said){s.at + from, s.len - from};
}

/* Each line is made fit to print. */
static void say_lines(struct call *c, struct said s)
{
    while (s.len > 0) {
        const char *end = memchr(s.at, '\n', s.len);
        size_t len = end == NULL ? s.len : (size_t)(end - s.at);
        char shown[LINE_MAX_SHOWN];

        call_say(c, "%s", str_show(shown, sizeof(shown), s.at, len));
        len += end != NULL;
        s.at += len;
        s.len -= len;
    }
}

/* Of a file that is not there, nothing. */
static int read_file(const char *path, char **ret_text, size_t *ret_len, struct err *e)
{
    int n = fd_read_file(AT_FDCWD, path, FILE_MAX, ret_text, e);

    *ret_len = n < 0 ? 0 : (size_t)n;
    return n < 0 && e->os_errno != ENOENT ? -1 : 0;
}

static int send_last(void *arg, struct err *e)
{
    struct call *c = arg;
    const struct reading *r = c->state;
    char old[520];
    AUTO_FREE char *newer = NULL, *older = NULL, *both = NULL;
    size_t newer_len, older_len;

    (void)snprintf(old, sizeof(old), "%s.1", r->path);
    if (read_file(r->path, &newer, &newer_len, e) < 0 || read_file(old, &older, &older_len, e) < 0)
        return -1;
    both = mem_new(older_len + newer_len + 1);
    if (older_len > 0)
        memcpy(both, older, older_len);
    if (newer_len > 0)
        memcpy(both + older_len, newer, newer_len);
    say_lines(c, last_lines((struct said){both, older_len + newer_len}, r->lines));
    return 0;
}

/* ---- follow: files of the host's own disk, which may be read in the loop ---- */

/* Where whole lines that are new begin and end in the file. */
static int open_new(struct reading *r, off_t *ret_size)
{
    int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        close_fd(&fd);
        return -1;
    }
    if (st.st_ino != r->file) { /* the last one has become ".1" */
        r->file = st.st_ino;
        r->shown = 0;
    }
    *ret_size = st.st_size;
    return fd;
}

/* One line takes more work than its bytes do: without a bound a flood of empty ones would hold up
 * everybody. */
static void say_some(struct call *c, struct said s)
{
    size_t n = count_lines(s);

    if (n > LINES_AT_ONCE)
        call_remark(c, "(%zu lines are left out)", n - LINES_AT_ONCE);
    say_lines(c, last_lines(s, LINES_AT_ONCE));
}

static void show_new(struct reading *r)
{
    off_t size;
    AUTO_CLOSE int fd = open_new(r, &size);
    AUTO_FREE char *text = NULL;
    const char *end;
    ssize_t n;

    if (fd < 0 || size <= r->shown)
        return;
    if (size - r->shown > AT_ONCE) {
        call_remark(r->call, "(%lld bytes are left out)", (long long)(size - r->shown - AT_ONCE));
        r->shown = size - AT_ONCE;
    }
    text = mem_new(AT_ONCE);
    n = pread(fd, text, AT_ONCE, r->shown);
    if (n <= 0)
        return;
    end = memrchr(text, '\n', (size_t)n);
    if (end == NULL && n < AT_ONCE)
        return; /* half a line */
    if (end != NULL)
        n = end - text + 1;
    r->shown += n;
    say_some(r->call, (struct said){text, (size_t)n});
}

static void look(struct loop_timer *t)
{
    struct reading *r = list_of(t, struct reading, look);
    struct loop *loop = r->call->hub->loop;

    show_new(r);
    loop_timer_set(loop, t, loop_now(loop) + LOOK_MS, look);
}

static void gone(struct call *c)
{
    struct reading *r = c->state;

    loop_timer_stop(c->hub->loop, &r->look);
}

/* The last lines are few and read here: what comes after them must neither be lost nor be said
 * twice. */
static void follow(struct call *c)
{
    struct reading *r = c->state;
    AUTO_FREE char *text = NULL;
    off_t size;
    size_t len;
    AUTO_CLOSE int fd = open_new(r, &size);
    struct err e;

    if (fd >= 0 && read_file(r->path, &text, &len, &e) == 0 && len > 0) {
        const char *end = memrchr(text, '\n', len);

        r->shown = end == NULL ? 0 : end - text + 1;
        say_lines(c, last_lines((struct said){text, (size_t)r->shown}, r->lines));
    }
    c->gone = gone;
    look(&r->look);
}

static void server_logs(struct call *c)
{
    const char *name = call_need(c, "name"), *wanted = call_arg(c, "lines");
    bool follows = call_arg(c, "follow") != NULL;
    uint64_t most = follows ? LINES_AT_ONCE : LINES_MAX;
    struct store_account a;
    struct reading *r;
    struct err e;

    if (name == NULL)
        return;
    if (people_server(c->hub, name, &a, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    r = mem_new(sizeof(*r));
    *r = (struct reading){.call = c, .lines = LINES};
    c->state = r;
    local_log_path(c->hub->engine, a.server.id, r->path, sizeof(r->path));
    if (wanted != NULL && (!str_u64(wanted, &r->lines) || r->lines > most)) {
        (void)err_set(&e, ERR_INPUT, "lines: a number from 0 to %" PRIu64 "%s", most,
                      follows ? " with --follow" : "");
        call_fail(c, &e);
        return;
    }
    if (follows)
        follow(c);
    else
        call_job(c, "read the server's log", send_last);
}

const struct verb verbs_logs[] = {
    {"server logs", VERB_SELF, server_logs},
    {NULL, VERB_ROOT, NULL},
};
