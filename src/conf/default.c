/* The hub file of the first start: every key of the schema, commented out. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

#include "conf-int.h"

static const char head[] =
    "## The hub file of Dormouse. Every key has a default, shown here behind its #; an empty file "
    "is\n"
    "## a valid hub. To change a value, remove the # of its line and of the lines it stands "
    "below.\n"
    "## \"dorm config check\" says what is wrong with the file, \"dorm config show\" what holds.\n"
    "## Keys marked (start) take effect when dormd starts, all others on \"dorm reload\".\n";

static const char *last_key(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot == NULL ? path : dot + 1;
}

static int depth_of(const char *path)
{
    int depth = 0;

    for (; *path != '\0'; path++)
        depth += *path == '.';
    return depth;
}

static bool put_help(struct buf *b, const struct conf_row *row, int indent)
{
    return buf_printf(b, "#%*s# %s%s\n", indent, "", row->help,
                      row->at_start_only && conf_row_is_leaf(row) ? " (start)" : "");
}

static bool put_value(struct buf *b, const struct conf_row *row)
{
    const char *quote = *row->fallback == '\0' || strchr(row->fallback, '{') != NULL ? "\"" : "";
    struct conf_networks networks;
    unsigned modes = 0;
    AUTO_FREE char *text = NULL;
    char why[VALUE_WHY];

    if (row->type == CONF_NETWORKS) {
        (void)conf_value(row, row->fallback, &networks, why);
        text = conf_networks_text(&networks);
    } else if (row->type == CONF_MODES) {
        (void)conf_value(row, row->fallback, &modes, why);
        text = conf_modes_text(modes);
    }
    return text != NULL ? buf_printf(b, "%s", text)
                        : buf_printf(b, "%s%s%s", quote, row->fallback, quote);
}

/*
 * Of a list that is empty, and of the drivers that the default class does not have, no line can be
 * right when its # is removed: their keys stay comments.
 */
static bool put_comment(struct buf *b, const struct conf_row *row, int indent)
{
    const char *key = last_key(row->path);
    bool is_one = str_is(key, "#");

    if (is_one || !conf_row_is_leaf(row))
        return buf_printf(b, "#%*s# %s%s%s\n", indent, "", is_one ? "" : key, is_one ? "" : ": ",
                          row->help);
    if (!buf_printf(b, "#%*s# %s", indent, "", key))
        return false;
    if (row->fallback == conf_required) {
        if (!buf_printf(b, " (required)"))
            return false;
    } else if (*row->fallback != '\0' &&
               !(buf_printf(b, " (") && put_value(b, row) && buf_printf(b, ")"))) {
        return false;
    }
    return buf_printf(b, ": %s%s\n", row->help, row->at_start_only ? " (start)" : "");
}

static bool put_row(struct buf *b, const struct conf_row *row)
{
    const char *key = last_key(row->path);
    int indent = 2 * depth_of(row->path);

    if (indent == 0 && !buf_printf(b, "#\n"))
        return false;
    if (strchr(row->path, '#') != NULL || conf_row_driver(row) > CONF_DRIVER_IMAGE)
        return put_comment(b, row, indent);
    if (!put_help(b, row, indent) || !buf_printf(b, "#%*s", indent, ""))
        return false;
    if (row->type == CONF_PARAMETERS)
        return buf_printf(b, "%s: {}\n", key);
    if (row->type == CONF_CLAIMS || row->type == CONF_VOLUMES)
        return buf_printf(b, "%s: []\n", key);
    if (!conf_row_is_leaf(row))
        return buf_printf(b, "%s:\n", str_is(key, "*") ? "standard" : key);
    return buf_printf(b, "%s: ", key) && put_value(b, row) && buf_printf(b, "\n");
}

bool conf_default_text(struct buf *b)
{
    if (!buf_put(b, head, sizeof(head) - 1))
        return false;
    for (size_t k = 0; k < conf_row_n; k++)
        if (conf_rows[k].type != CONF_VALUE && !put_row(b, &conf_rows[k]))
            return false;
    return true;
}

int conf_write_default(const char *path, struct err *e)
{
    struct stat st;
    struct buf b;
    int r = -1;

    if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    buf_init(&b, 1 << 16);
    if (!conf_default_text(&b))
        (void)err_set(e, ERR_INTERNAL, "could not write \"%s\": the default is too long", path);
    else if (fd_write_file(AT_FDCWD, path, 0644, (uid_t)-1, (gid_t)-1, buf_data(&b), buf_len(&b),
                           e) == 0)
        r = 1;
    buf_done(&b);
    return r;
}
