/* rows.c: a row of the record as a struct, if it can be ours. */
#include "base/str.h"

#include "store-int.h"

bool row_text(sqlite3_stmt *st, int column, char *at, size_t size)
{
    const char *s = (const char *)sqlite3_column_text(st, column);

    return str_copy(at, size, s == NULL ? "" : s);
}

int row_damaged(const char *what, sqlite3_stmt *st, int at, struct err *e)
{
    char id[ID_SIZE];

    return err_set(e, ERR_INTERNAL, "the record holds a %s \"%s\" that cannot be ours", what,
                   row_text(st, at, id, sizeof(id)) ? id : "?");
}

/* The place of the column's word in words, or n. */
static int word(sqlite3_stmt *st, int column, const char *(*name)(int), int n)
{
    const char *s = (const char *)sqlite3_column_text(st, column);
    int i = 0;

    while (i < n && (s == NULL || !str_is(s, name(i))))
        i++;
    return i;
}

static const char *role_name(int i)
{
    return store_role_name((enum store_role)i);
}

static const char *kind_name(int i)
{
    return store_kind_name((enum store_kind)i);
}

static const char *phase_name(int i)
{
    return store_phase_name((enum store_phase)i);
}

static const char *why_name(int i)
{
    return store_why_name((enum store_why)i);
}

static const char *deed_name(int i)
{
    return store_deed_name((enum store_deed)i);
}

int row_user(sqlite3_stmt *st, int at, struct store_user *ret_user, struct err *e)
{
    struct store_user u = {
        .counter = (uint64_t)sqlite3_column_int64(st, at + 5),
        .role = (enum store_role)word(st, at + 6, role_name, STORE_ROLE_N),
        .uid = (uint32_t)sqlite3_column_int64(st, at + 7),
        .disabled = sqlite3_column_int(st, at + 8) != 0,
        .created = sqlite3_column_int64(st, at + 9),
        .removed_at = sqlite3_column_int64(st, at + 10),
    };

    if (u.role == STORE_ROLE_N || !row_text(st, at, u.id, sizeof(u.id)) ||
        !row_text(st, at + 1, u.login, sizeof(u.login)) ||
        !row_text(st, at + 2, u.email, sizeof(u.email)) ||
        !row_text(st, at + 3, u.display, sizeof(u.display)) ||
        !row_text(st, at + 4, u.verifier, sizeof(u.verifier)))
        return row_damaged("user", st, at, e);
    *ret_user = u;
    return 0;
}

int row_server(sqlite3_stmt *st, int at, struct store_server *ret_server, struct err *e)
{
    struct store_server v = {
        .kind = (enum store_kind)word(st, at + 3, kind_name, STORE_KIND_N),
        .image = sqlite3_column_int(st, at + 4),
        .named = sqlite3_column_int(st, at + 6) != 0,
        .created = sqlite3_column_int64(st, at + 7),
        .last_awake = sqlite3_column_int64(st, at + 8),
        .removed_at = sqlite3_column_int64(st, at + 9),
    };

    if (v.kind == STORE_KIND_N || !row_text(st, at, v.id, sizeof(v.id)) ||
        !row_text(st, at + 1, v.owner, sizeof(v.owner)) ||
        !row_text(st, at + 2, v.name, sizeof(v.name)) ||
        !row_text(st, at + 5, v.superuser, sizeof(v.superuser)))
        return row_damaged("server", st, at, e);
    *ret_server = v;
    return 0;
}

int row_volume(sqlite3_stmt *st, int at, struct store_volume *ret_volume, struct err *e)
{
    struct store_volume v = {
        .capacity = (uint64_t)sqlite3_column_int64(st, at + 8),
        .modes = (unsigned)sqlite3_column_int(st, at + 9),
        .phase = (enum store_phase)word(st, at + 10, phase_name, STORE_PHASE_N),
        .created = sqlite3_column_int64(st, at + 11),
        .removed_at = sqlite3_column_int64(st, at + 12),
    };

    if (v.phase == STORE_PHASE_N || !row_text(st, at, v.id, sizeof(v.id)) ||
        !row_text(st, at + 1, v.server, sizeof(v.server)) ||
        !row_text(st, at + 2, v.claim, sizeof(v.claim)) ||
        !row_text(st, at + 3, v.class, sizeof(v.class)) ||
        !row_text(st, at + 4, v.template, sizeof(v.template)) ||
        !row_text(st, at + 5, v.path, sizeof(v.path)) ||
        !row_text(st, at + 6, v.moving_to, sizeof(v.moving_to)) ||
        !row_text(st, at + 7, v.component, sizeof(v.component)))
        return row_damaged("volume", st, at, e);
    *ret_volume = v;
    return 0;
}

int row_disk(sqlite3_stmt *st, int at, struct store_disk *ret_disk, struct err *e)
{
    struct store_disk d = {
        .place = (uint32_t)sqlite3_column_int64(st, at + 2),
        .read_only = sqlite3_column_int(st, at + 4) != 0,
    };

    if (!row_text(st, at, d.server, sizeof(d.server)) ||
        !row_text(st, at + 1, d.volume, sizeof(d.volume)) ||
        !row_text(st, at + 3, d.mount, sizeof(d.mount)))
        return row_damaged("disk of the server", st, at, e);
    *ret_disk = d;
    return 0;
}

int row_snapshot(sqlite3_stmt *st, int at, struct store_snapshot *ret_snapshot, struct err *e)
{
    struct store_snapshot n = {
        .why = (enum store_why)word(st, at + 4, why_name, STORE_WHY_N),
        .capacity = (uint64_t)sqlite3_column_int64(st, at + 5),
        .extents = (uint64_t)sqlite3_column_int64(st, at + 6),
        .took_us = (uint64_t)sqlite3_column_int64(st, at + 7),
        .running = sqlite3_column_int(st, at + 8) != 0,
        .taken_at = sqlite3_column_int64(st, at + 9),
        .keep_until = sqlite3_column_int64(st, at + 10),
    };

    if (n.why == STORE_WHY_N || !row_text(st, at, n.id, sizeof(n.id)) ||
        !row_text(st, at + 1, n.volume, sizeof(n.volume)) ||
        !row_text(st, at + 2, n.class, sizeof(n.class)) ||
        !row_text(st, at + 3, n.label, sizeof(n.label)))
        return row_damaged("snapshot", st, at, e);
    *ret_snapshot = n;
    return 0;
}

int row_undo(sqlite3_stmt *st, int at, struct store_undo *ret_undo, struct err *e)
{
    struct store_undo u = {
        .number = sqlite3_column_int64(st, at),
        .deed = (enum store_deed)word(st, at + 1, deed_name, STORE_DEED_N),
        .done_at = sqlite3_column_int64(st, at + 7),
        .until = sqlite3_column_int64(st, at + 8),
    };

    if (u.deed == STORE_DEED_N || !row_text(st, at + 2, u.server, sizeof(u.server)) ||
        !row_text(st, at + 3, u.volume, sizeof(u.volume)) ||
        !row_text(st, at + 4, u.snapshot, sizeof(u.snapshot)) ||
        !row_text(st, at + 5, u.text, sizeof(u.text)) ||
        !row_text(st, at + 6, u.before, sizeof(u.before)))
        return row_damaged("deed", st, at, e);
    *ret_undo = u;
    return 0;
}
