/* The values that say where data are and who may have them: drivers, paths, names, access modes. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

#define LOWER        "abcdefghijklmnopqrstuvwxyz0123456789"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const drivers[] = {
    [CONF_DRIVER_IMAGE] = "image",
    [CONF_DRIVER_DIRECTORY] = "directory",
    [CONF_DRIVER_NFS] = "nfs",
};

const char *conf_driver_name(enum conf_driver driver)
{
    return drivers[driver];
}

int conf_parse_driver(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    (void)row;
    for (size_t i = 0; i < COUNT(drivers); i++)
        if (str_is(text, drivers[i])) {
            *(enum conf_driver *)at = (enum conf_driver)i;
            return 0;
        }
    return conf_why(why, "is not a driver; use image, directory or nfs");
}

static bool is_part(const char *text, const char *part)
{
    size_t n = strlen(text), m = strlen(part);

    for (const char *p = strstr(text, part); p != NULL; p = strstr(p + 1, part))
        if (p[m] == '/' || p == text + n - m)
            return true;
    return false;
}

int conf_parse_path(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    size_t n = strlen(text);
    bool is_root = str_is(text, "/");

    if (text[0] != '/' && (n > 0 || row->fallback == conf_required))
        return conf_why(why, "is not an absolute path");
    if (n >= row->size)
        return conf_why(why, "is longer than a path can be");
    if (is_root && (row->least & PATH_ROOT) == 0)
        return conf_why(why, "is the root of the file system; give a directory of its own");
    if (is_part(text, "/.."))
        return conf_why(why, "has a .. in it; write the path without");
    if (n > 0 && !is_root && (row->least & PATH_NORMAL) != 0 &&
        (text[n - 1] == '/' || strstr(text, "//") != NULL || is_part(text, "/.")))
        return conf_why(why, "has a //, a /. or a / at its end; write the path without");
    conf_put_text(row, at, text);
    return 0;
}

static bool is_below(const char *path, const char *of)
{
    return str_starts(path, of) && (path[strlen(of)] == '/' || path[strlen(of)] == '\0');
}

bool conf_paths_meet(const char *a, const char *b)
{
    return is_below(a, b) || is_below(b, a);
}

/*
 * What a pod has by itself. A disk over it, above it or in it would take the place of the programs,
 * or of what the hub and the server say to each other.
 */
int conf_parse_mount(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    static const char *const ours[] = {"/usr", "/bin", "/sbin", "/etc", "/proc",
                                       "/sys", "/dev", "/run",  "/tmp", "/var/lib/postgresql"};
    const char *met = NULL;

    if (conf_parse_path(row, text, at, why) < 0)
        return -1;
    if (strchr(text, ':') != NULL)
        return conf_why(why, "has a : in it, which a place in a server cannot have");
    if (str_starts(text, "/lib")) /* /lib64 and the like */
        met = "/lib";
    for (size_t i = 0; i < COUNT(ours); i++)
        if (conf_paths_meet(text, ours[i]))
            met = ours[i];
    if (met != NULL)
        return conf_why(why, "is in the way of what a server has in %s; take a place like /scratch",
                        met);
    return 0;
}

int conf_parse_host(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    char name[254] = "";
    struct in6_addr address;

    if (!str_copy(name, sizeof(name), text))
        return conf_why(why, "is longer than a host name can be");
    for (char *c = name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    if (*name != '\0' && !conf_is_domain(name) && inet_pton(AF_INET, name, &address) != 1 &&
        inet_pton(AF_INET6, name, &address) != 1)
        return conf_why(why, "is neither a host name nor an IP address");
    conf_put_text(row, at, name);
    return 0;
}

int conf_parse_options(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    static const char allowed[] = LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ=,._:/@+-";

    if (strlen(text) >= row->size)
        return conf_why(why, "is longer than %u characters", row->size - 1);
    if (strspn(text, allowed) != strlen(text))
        return conf_why(why, "is not a list of mount options, as in vers=4.2,hard");
    conf_put_text(row, at, text);
    return 0;
}

static const struct {
    const char *word, *letters;
    unsigned bit;
} modes[] = {
    {"ReadWriteOnce", "RWO", CONF_RWO},
    {"ReadWriteOncePod", "RWOP", CONF_RWOP},
    {"ReadOnlyMany", "ROX", CONF_ROX},
    {"ReadWriteMany", "RWX", CONF_RWX},
};

static int no_mode(const char *text, char why[VALUE_WHY])
{
    const char *words[COUNT(modes)], *nearest;

    for (size_t i = 0; i < COUNT(modes); i++) {
        words[i] = modes[i].word;
        if (strcasecmp(text, modes[i].word) == 0 || strcasecmp(text, modes[i].letters) == 0)
            return conf_why(why, "is not an access mode; did you mean %s?", modes[i].word);
    }
    nearest = str_nearest(text, words, COUNT(modes));
    if (nearest != NULL)
        return conf_why(why, "is not an access mode; did you mean %s?", nearest);
    return conf_why(why, "is not an access mode; use ReadWriteOnce, ReadWriteOncePod, "
                         "ReadOnlyMany or ReadWriteMany");
}

int conf_access_mode(const struct conf_row *row, const char *text, unsigned *ret,
                     char why[VALUE_WHY])
{
    for (size_t i = 0; i < COUNT(modes); i++) {
        if (!str_is(text, modes[i].word) && !str_is(text, modes[i].letters))
            continue;
        if ((row->most & modes[i].bit) == 0)
            return conf_why(why, "is not for a server's own data: a database has one postmaster; "
                                 "use ReadWriteOnce or ReadWriteOncePod");
        *ret = modes[i].bit;
        return 0;
    }
    return no_mode(text, why);
}

int conf_parse_modes(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    return conf_access_mode(row, text, at, why); /* a default is one word */
}

char *conf_modes_text(unsigned set)
{
    char text[96];
    size_t n = 0;

    for (size_t i = 0; i < COUNT(modes); i++)
        if ((set & modes[i].bit) != 0)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n == 0 ? "" : ", ",
                                  modes[i].word);
    return mem_printf("[%.*s]", (int)n, text);
}

int conf_parse_template(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    bool username = false;

    if (strlen(text) >= row->size)
        return conf_why(why, "is longer than %u characters", row->size - 1);
    for (const char *p = text; *p != '\0';) {
        if (str_starts(p, "{username}")) {
            username = true;
            p += strlen("{username}");
        } else if (str_starts(p, "{hub}")) {
            p += strlen("{hub}");
        } else if (*p == '{' || *p == '}') {
            return conf_why(why, "has a placeholder other than {username} and {hub}");
        } else if (strchr(LOWER "-_.", *p) == NULL) {
            return conf_why(why, "is not a name: a-z, 0-9, -, _, . and placeholders");
        } else {
            p++;
        }
    }
    if (*text == '\0' && row->least != TEMPLATE_OF_USER)
        return conf_why(why, "is not a name: a-z, 0-9, -, _, . and placeholders");
    if (!username && row->least == TEMPLATE_OF_USER)
        return conf_why(why, "does not have {username} in it, so that all users would share one");
    conf_put_text(row, at, text);
    return 0;
}

int conf_parse_object(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    bool of_claim = row->least == OBJECT_OF_CLAIM;
    size_t n = strlen(text);

    if (strchr(text, '{') != NULL)
        return conf_why(why, "has a placeholder in it; give the name of one");
    if (n == 0 || n >= row->size || strspn(text, of_claim ? LOWER "-_." : LOWER "-.") != n ||
        (!of_claim && !isalnum((unsigned char)text[0])))
        return conf_why(why, "is not a name: a-z, 0-9, %s and ., at most %u in all",
                        of_claim ? "-, _" : "-", row->size - 1);
    conf_put_text(row, at, text);
    return 0;
}

int conf_parse_lifecycle(const struct conf_row *row, const char *text, void *at,
                         char why[VALUE_WHY])
{
    (void)row;
    if (!str_is(text, "persistent") && !str_is(text, "ephemeral"))
        return conf_why(why, "is not a lifecycle; use persistent or ephemeral");
    *(bool *)at = str_is(text, "ephemeral");
    return 0;
}

int conf_parse_out(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    (void)row;
    if (!str_is(text, "none"))
        return conf_why(why,
                        "cannot be allowed: in this version no server has a network; use none");
    *(bool *)at = false;
    return 0;
}
