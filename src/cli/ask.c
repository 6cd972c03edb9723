#include "ask.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/table.h"

/* One line of standard input, byte by byte: what comes after it is not ours to swallow. */
static int read_line(char *at, size_t size, struct err *e)
{
    size_t n = 0;

    for (;;) {
        char ch;
        ssize_t got = read(STDIN_FILENO, &ch, 1);

        if (got < 0)
            return err_set_os(e, errno, "could not read the answer");
        if (got == 0 && n == 0)
            return err_set(e, ERR_INPUT, "no answer was given");
        if (got == 0 || ch == '\n')
            break;
        if (n + 1 >= size)
            return err_set(e, ERR_INPUT, "the answer is longer than %zu bytes", size - 1);
        at[n++] = ch;
    }
    if (n > 0 && at[n - 1] == '\r')
        n--;
    at[n] = '\0';
    return (int)n;
}

static volatile sig_atomic_t interrupted_by;

static void interrupted(int number)
{
    interrupted_by = number;
}

/* The terminal shows again what is typed however this ends, Ctrl-C and hang-up included. */
static int read_unseen(const char *prompt, char *at, size_t size, struct err *e)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction act = {.sa_handler = interrupted}, before[5];
    struct termios shown, unseen;
    int r;

    if (tcgetattr(STDIN_FILENO, &shown) < 0)
        return err_set_os(e, errno, "could not ask the terminal");
    unseen = shown;
    unseen.c_lflag &= (tcflag_t)~ECHO;
    interrupted_by = 0;
    for (int i = 0; i < 5; i++)
        (void)sigaction(signals[i], &act, &before[i]);
    (void)fputs(prompt, stderr);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
    r = read_line(at, size, e);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    (void)fputc('\n', stderr);
    for (int i = 0; i < 5; i++)
        (void)sigaction(signals[i], &before[i], NULL);
    if (interrupted_by != 0)
        (void)raise(interrupted_by);
    return r;
}

int ask_password(char at[ASK_PASSWORD], struct err *e)
{
    char again[ASK_PASSWORD];
    int n;

    if (!isatty(STDIN_FILENO)) {
        n = read_line(at, ASK_PASSWORD, e);
    } else {
        n = read_unseen("password: ", at, ASK_PASSWORD, e);
        if (n > 0 && read_unseen("again: ", again, sizeof(again), e) < 0)
            n = -1;
        if (n > 0 && !str_is(at, again))
            n = err_set(e, ERR_INPUT, "the two passwords differ");
        explicit_bzero(again, sizeof(again));
    }
    if (n == 0)
        return err_set(e, ERR_INPUT, "the password is empty");
    return n < 0 ? err_prefix(e, "no password") : 0;
}

int ask_first(const struct cli *c, const struct call_words *w, const char *prompt, const char *word,
              char *at, size_t size, struct err *e)
{
    struct call_words dry = *w;

    call_words_add(&dry, "dry", "1");
    if (call_dormd(c, &dry, CALL_ENDS_DONE, e) < 0)
        return -1;
    if (!isatty(STDIN_FILENO)) {
        (void)err_set(e, ERR_INPUT, "nothing was changed: there is no terminal to ask at");
        return err_hint(e, "say it with --yes");
    }
    (void)fputs(prompt, stderr);
    if (read_line(at, size, e) < 0)
        return err_prefix(e, "nothing was changed");
    if (word != NULL && !str_is(at, word))
        return err_set(e, ERR_INPUT, "nothing was changed: that is not \"%s\"", word);
    return 0;
}

int ask_then_call(const struct cli *c, struct call_words *w, const char *word, const char *what,
                  struct err *e)
{
    AUTO_FREE char *shown = table_harmless(word);
    AUTO_FREE char *prompt = mem_printf("Type %s to %s: ", shown, what);
    char answer[256];

    if (cli_value(c, "yes") == NULL) {
        if (ask_first(c, w, prompt, word, answer, sizeof(answer), e) < 0)
            return -1;
        call_words_add(w, "yes", "1");
    }
    return call_dormd(c, w, CALL_ENDS_DONE, e);
}
