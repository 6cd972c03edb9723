/* commands.h: every command, each defined in cmd-<name>.c. Their order is that of the help. */
#pragma once

#include "cli/cli.h"

#define COMMANDS(X)     \
    X(up)               \
    X(down)             \
    X(purge)            \
    X(status)           \
    X(reload)           \
    X(restart)          \
    X(doctor)           \
    X(top)              \
    X(events)           \
    X(undo)             \
    X(user_add)         \
    X(user_list)        \
    X(user_show)        \
    X(user_connect)     \
    X(user_passwd)      \
    X(user_disable)     \
    X(user_enable)      \
    X(user_remove)      \
    X(server_list)      \
    X(server_show)      \
    X(server_start)     \
    X(server_stop)      \
    X(server_nap)       \
    X(server_logs)      \
    X(server_psql)      \
    X(server_shell)     \
    X(server_run)       \
    X(server_reset)     \
    X(server_remove)    \
    X(volume_list)      \
    X(volume_show)      \
    X(volume_resize)    \
    X(volume_move)      \
    X(volume_delete)    \
    X(volume_snapshot)  \
    X(volume_restore)   \
    X(snapshot_create)  \
    X(snapshot_list)    \
    X(snapshot_restore) \
    X(snapshot_delete)  \
    X(backup_create)    \
    X(backup_list)      \
    X(backup_restore)   \
    X(storage_list)     \
    X(config_check)     \
    X(config_show)      \
    X(completion)       \
    X(help)             \
    X(version)

#define X(name) extern const struct cmd cmd_##name;
COMMANDS(X)
#undef X
