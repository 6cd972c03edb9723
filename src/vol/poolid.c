#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "vol-int.h"

static const char *const how_names[] = {
    [VOL_REFLINK] = "reflink",
    [VOL_XFS] = "xfs",
    [VOL_COPY] = "copy",
};

static const char *const tree_names[] = {
    [POOLID_MAPPED] = "mapped",
    [POOLID_OWNED] = "owned",
};

const char *vol_how_name(enum vol_how how)
{
    return how_names[how];
}

bool vol_name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > VOL_NAME_MAX || name[0] == '.' || name[0] == '_' || name[0] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

void poolid_print(const struct poolid *id, char *at)
{
    (void)snprintf(at, POOLID_SIZE, "dormouse-pool 1\nhub %s\npool %s\nhow %s\n", id->hub, id->pool,
                   id->tree == POOLID_IMAGES ? how_names[id->how] : tree_names[id->tree]);
}

/* "<key> <value>\n" at *text, value a good name that fits in at. */
static bool line(const char **text, const char *key, char *at, size_t size)
{
    size_t key_len = strlen(key), len;

    if (!str_starts(*text, key) || (*text)[key_len] != ' ')
        return false;
    *text += key_len + 1;
    len = strcspn(*text, "\n");
    if ((*text)[len] != '\n' || len >= size)
        return false;
    memcpy(at, *text, len);
    at[len] = '\0';
    *text += len + 1;
    return vol_name_ok(at);
}

bool poolid_parse_any(const char *text, size_t len, struct poolid *ret_id)
{
    char version[4], how[8];

    if (strlen(text) != len || !line(&text, "dormouse-pool", version, sizeof(version)) ||
        !str_is(version, "1") || !line(&text, "hub", ret_id->hub, sizeof(ret_id->hub)) ||
        !line(&text, "pool", ret_id->pool, sizeof(ret_id->pool)) ||
        !line(&text, "how", how, sizeof(how)) || *text != '\0')
        return false;
    ret_id->how = VOL_COPY;
    for (size_t i = POOLID_MAPPED; i < sizeof(tree_names) / sizeof(tree_names[0]); i++)
        if (str_is(how, tree_names[i])) {
            ret_id->tree = (enum poolid_tree)i;
            return true;
        }
    ret_id->tree = POOLID_IMAGES;
    for (size_t i = 0; i < sizeof(how_names) / sizeof(how_names[0]); i++)
        if (str_is(how, how_names[i])) {
            ret_id->how = (enum vol_how)i;
            return true;
        }
    return false;
}

bool poolid_parse(const char *text, size_t len, struct poolid *ret_id)
{
    return poolid_parse_any(text, len, ret_id) && ret_id->tree == POOLID_IMAGES;
}
