#include <string.h>

#include "base/str.h"

#include "store-int.h"

int store_setting_get(struct store *s, const char *key, char *ret_value, size_t size, struct err *e)
{
    STMT st = sql_get(s, Q_SETTING_GET, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", key);
    r = sql_step(s, st, e);
    if (r == 0)
        ret_value[0] = '\0';
    if (r == 1 && !str_copy(ret_value, size, (const char *)sqlite3_column_text(st, 0)))
        return err_set(e, ERR_LIMIT, "the setting \"%s\" is longer than %zu bytes", key, size - 1);
    return r;
}

int store_setting_set(struct store *s, const char *key, const char *value, struct err *e)
{
    if (*key == '\0' || strlen(key) >= STORE_KEY_SIZE)
        return err_set(e, ERR_INPUT, "the name of a setting has 1 to %d bytes", STORE_KEY_SIZE - 1);
    if (strlen(value) >= STORE_VALUE_SIZE)
        return err_set(e, ERR_INPUT, "the setting \"%s\" would be longer than %d bytes", key,
                       STORE_VALUE_SIZE - 1);
    if (op_begin(s, e) < 0)
        return -1;
    return op_end(s, sql_run(s, e, Q_SETTING_SET, "ss", key, value), e) < 0 ? -1 : 0;
}
