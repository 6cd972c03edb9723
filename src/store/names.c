/* names.c: which logins and addresses there may be, and words for the kinds of things. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

#define X(name, word) [STORE_##name] = word,
static const char *const role_words[STORE_ROLE_N] = {STORE_ROLES(X)};
static const char *const kind_words[STORE_KIND_N] = {STORE_KINDS(X)};
static const char *const phase_words[STORE_PHASE_N] = {STORE_PHASES(X)};
static const char *const why_words[STORE_WHY_N] = {STORE_WHYS(X)};
#undef X
#define X(name, word) [STORE_DID_##name] = word,
static const char *const deed_words[STORE_DEED_N] = {STORE_DEEDS(X)};
#undef X

const char *store_role_name(enum store_role role)
{
    return role_words[role];
}

const char *store_kind_name(enum store_kind kind)
{
    return kind_words[kind];
}

const char *store_phase_name(enum store_phase phase)
{
    return phase_words[phase];
}

const char *store_why_name(enum store_why why)
{
    return why_words[why];
}

const char *store_deed_name(enum store_deed deed)
{
    return deed_words[deed];
}

char *store_modes_text(unsigned modes, char at[32])
{
    static const char *const words[] = {"RWO", "RWOP", "ROX", "RWX"};
    size_t n = 0;

    at[0] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((modes & 1u << i) != 0)
            n += (size_t)snprintf(at + n, 32 - n, "%s%s", n == 0 ? "" : ",", words[i]);
    return at;
}

bool store_role_parse(const char *word, enum store_role *ret_role)
{
    for (int i = 0; i < STORE_ROLE_N; i++)
        if (str_is(word, role_words[i])) {
            *ret_role = (enum store_role)i;
            return true;
        }
    return false;
}

/* Each means something already: to PostgreSQL (roles, databases, pg_hba words), to the host, or to
 * us (directories and groups that everybody has). */
/* clang-format off */
static const char *const reserved[] = {
    "adm", "admin", "administrator", "all", "allusers", "anonymous", "backup", "bin", "cert",
    "certs", "current_role", "current_user", "daemon", "data", "default", "dorm", "dorm-gate",
    "dorm-web", "dorm-workbench", "dormd", "dormouse", "everyone", "gate", "guest", "home", "hub",
    "information_schema", "localhost", "lost-found", "mail", "me", "nobody", "nogroup", "none",
    "null", "owner", "owners", "pool", "postgres", "postgresql", "public", "reader", "readers",
    "record", "replication", "root", "samegroup", "samerole", "sameuser", "scratch",
    "session_user", "shared", "shared-readwrite", "sudo", "superuser", "sys", "system",
    "template0", "template1", "templates", "tmp", "user", "username", "users", "volumes", "writer",
    "writers", "www-data",
};
/* clang-format on */

static bool is_reserved(const char *login)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (str_is(login, reserved[i]))
            return true;
    return str_starts(login, "pg_");
}

static bool begins(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool goes_on(char c)
{
    return begins(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int refuse_login(const char *login, const char *why, struct err *e)
{
    char shown[80];

    (void)err_set(e, ERR_INPUT, "\"%s\" cannot be a login: %s",
                  str_show(shown, sizeof(shown), login, strnlen(login, 256)), why);
    return err_hint(e, "a login is a letter a-z, then at most %d of a-z, 0-9, _ and -",
                    STORE_LOGIN_SIZE - 2);
}

int store_login_check(const char *login, struct err *e)
{
    char why[64], shown[16];
    size_t good = 0, n = strnlen(login, 256);

    if (n == 0)
        return refuse_login(login, "it is empty", e);
    if (!begins(login[0]))
        return refuse_login(login, "it does not begin with a letter a-z", e);
    while (goes_on(login[good]))
        good++;
    if (login[good] != '\0') {
        /* the whole character, if it is one of several bytes */
        size_t wide = 1;

        while (wide < 4 && ((unsigned char)login[good + wide] & 0xc0) == 0x80)
            wide++;
        (void)snprintf(why, sizeof(why), "\"%s\" is not allowed in it",
                       str_show(shown, sizeof(shown), login + good, wide));
        return refuse_login(login, why, e);
    }
    if (n >= STORE_LOGIN_SIZE) {
        (void)snprintf(why, sizeof(why), "it is longer than %d characters", STORE_LOGIN_SIZE - 1);
        return refuse_login(login, why, e);
    }
    if (is_reserved(login))
        return refuse_login(login, "that name is reserved", e);
    return 0;
}

static int refuse_email(const char *email, const char *why, struct err *e)
{
    char shown[120];

    return err_set(e, ERR_INPUT, "\"%s\" is not an e-mail address: %s",
                   str_show(shown, sizeof(shown), email, strnlen(email, 512)), why);
}

int store_email_fold(const char *email, char ret_email[STORE_EMAIL_SIZE], struct err *e)
{
    size_t n = strnlen(email, STORE_EMAIL_SIZE);
    const char *at = NULL;

    if (n >= STORE_EMAIL_SIZE)
        return refuse_email(email, "it is too long", e);
    for (size_t i = 0; i < n; i++) {
        if (email[i] <= ' ' || email[i] >= 0x7f || strchr("\"\\()<>,;:[]", email[i]) != NULL)
            return refuse_email(email, "there is a character in it that is not allowed", e);
        if (email[i] == '@' && at != NULL)
            return refuse_email(email, "there is more than one @ in it", e);
        if (email[i] == '@')
            at = email + i;
    }
    if (n > 0 && (at == NULL || at == email || at[1] == '\0'))
        return refuse_email(email, "it should read like name@example.edu", e);
    for (size_t i = 0; i <= n; i++)
        ret_email[i] =
            (char)(email[i] >= 'A' && email[i] <= 'Z' ? email[i] + ('a' - 'A') : email[i]);
    return 0;
}

/* The obvious login: letters lower, all else '-' (once in a row), a letter first. */
static void derive(const char *email, char ret_login[STORE_LOGIN_SIZE])
{
    size_t n = 0;

    for (const char *p = email; *p != '\0' && *p != '@' && n < STORE_LOGIN_SIZE - 1; p++) {
        char c = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);

        if (!goes_on(c))
            c = '-';
        if (n == 0 && (c == '-' || c == '_'))
            continue;
        if (n == 0 && !begins(c))
            ret_login[n++] = 'u'; /* 20231234@example.edu */
        if (c == '-' && ret_login[n - 1] == '-')
            continue;
        ret_login[n++] = c;
    }
    while (n > 0 && ret_login[n - 1] == '-')
        n--;
    ret_login[n] = '\0';
    if (str_starts(ret_login, "pg_"))
        ret_login[2] = '-'; /* no number after it would make that one free */
    if (n == 0)
        memcpy(ret_login, "u", sizeof("u"));
}

static void numbered(const char *base, unsigned long number, char ret_login[STORE_LOGIN_SIZE])
{
    char tail[24];
    int n = snprintf(tail, sizeof(tail), "-%lu", number);

    (void)snprintf(ret_login, STORE_LOGIN_SIZE, "%.*s%s", STORE_LOGIN_SIZE - 1 - n, base, tail);
}

/* 1 when base-number is free. */
static int number_free(struct store *s, const char *base, unsigned long number,
                       char ret_login[STORE_LOGIN_SIZE], struct err *e)
{
    int taken;

    numbered(base, number, ret_login);
    taken = is_reserved(ret_login) ? 1 : store_name_taken(s, ret_login, e);
    return taken < 0 ? -1 : !taken;
}

int store_login_suggest(struct store *s, const char *email, char ret_login[STORE_LOGIN_SIZE],
                        struct err *e)
{
    char base[STORE_LOGIN_SIZE];
    unsigned long taken = 1, free_one = 1, step = 1;
    int r;

    derive(email, base);
    memcpy(ret_login, base, sizeof(base));
    r = is_reserved(base) ? 1 : store_name_taken(s, base, e);
    if (r <= 0)
        return r;
    /* doubling, then halving: a class of ten thousand info@... is not tried ten thousand times each
     */
    for (r = 0; r == 0; step *= 2) {
        taken = free_one;
        free_one = taken + step;
        r = number_free(s, base, free_one, ret_login, e);
    }
    while (r >= 0 && free_one - taken > 1) {
        unsigned long middle = taken + (free_one - taken) / 2;

        r = number_free(s, base, middle, ret_login, e);
        if (r == 1)
            free_one = middle;
        else
            taken = middle;
    }
    if (r < 0)
        return -1;
    numbered(base, free_one, ret_login);
    return 1;
}
