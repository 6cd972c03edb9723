/*
 * queries.h: every statement that is run more than once, in one table, so that a test can ask for
 * the plan of each. "removed_at = 0" is repeated in each look-up by name because the unique indexes
 * are over that part only.
 */
#pragma once

#define USER_COLUMNS                                                                        \
    "u.id, u.login, u.email, u.display, u.verifier, u.counter, u.role, u.uid, u.disabled, " \
    "u.created, u.removed_at"
#define SERVER_COLUMNS                                                                        \
    "s.id, s.owner, s.name, s.kind, s.image, s.superuser, s.named, s.created, s.last_awake, " \
    "s.removed_at"
enum { SERVER_WIDTH = 10 }; /* how many those are */
#define VOLUME_COLUMNS \
    "v.id, v.server, v.claim, v.class, v.template, v.capacity, v.phase, v.created, v.removed_at"

/* clang-format off */
#define QUERIES(X)                                                                               \
    X(SAVE, ONE, "SAVEPOINT op")                                                                 \
    X(KEEP, ONE, "RELEASE op")                                                                   \
    X(UNDO, ONE, "ROLLBACK TO op")                                                               \
    X(SETTING_GET, ONE, "SELECT value FROM settings WHERE key = ?1")                             \
    X(SETTING_SET, ONE,                                                                          \
      "INSERT INTO settings (key, value) VALUES (?1, ?2) "                                       \
      "ON CONFLICT (key) DO UPDATE SET value = excluded.value")                                  \
    X(USER_ADD, ONE, "INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, 0)")      \
    X(SERVER_ADD, ONE, "INSERT INTO servers VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 0, 0)")       \
    X(VOLUME_ADD, ONE,                                                                           \
      "INSERT INTO volumes VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7, 0)")                   \
    X(UIDS_FROM, ONE, "SELECT uid FROM users WHERE uid BETWEEN ?1 AND ?2 ORDER BY uid")          \
    X(USER_BY_UID, ONE, "SELECT login FROM users WHERE uid = ?1")                                \
    X(USER_BY_ID, ONE, "SELECT " USER_COLUMNS " FROM users u WHERE u.id = ?1")                   \
    X(USER_BY_LOGIN, ONE,                                                                        \
      "SELECT " USER_COLUMNS " FROM users u WHERE u.login = ?1 AND u.removed_at = 0")            \
    X(USER_BY_EMAIL, ONE,                                                                        \
      "SELECT " USER_COLUMNS " FROM users u "                                                    \
      "WHERE u.email = ?1 AND u.email <> '' AND u.removed_at = 0")                               \
    X(USER_REMOVED, ONE,                                                                         \
      "SELECT " USER_COLUMNS " FROM users u "                                                    \
      "WHERE u.login = ?1 AND u.removed_at <> 0 ORDER BY u.removed_at DESC LIMIT 1")             \
    X(SERVER_BY_ID, ONE, "SELECT " SERVER_COLUMNS " FROM servers s WHERE s.id = ?1")             \
    X(SERVER_BY_NAME, ONE,                                                                       \
      "SELECT " SERVER_COLUMNS " FROM servers s WHERE s.name = ?1 AND s.removed_at = 0")         \
    X(SERVER_OF, ONE,                                                                            \
      "SELECT " SERVER_COLUMNS " FROM servers s "                                                \
      "WHERE s.owner = ?1 AND s.kind = 'personal' AND s.removed_at = 0")                         \
    X(VOLUME_BY_ID, ONE, "SELECT " VOLUME_COLUMNS " FROM volumes v WHERE v.id = ?1")             \
    X(VOLUME_OF, ONE, "SELECT " VOLUME_COLUMNS " FROM volumes v WHERE v.server = ?1")            \
    X(VOLUMES_OF_USER, ONE,                                                                      \
      "SELECT " VOLUME_COLUMNS " FROM servers s CROSS JOIN volumes v ON v.server = s.id "        \
      "WHERE s.owner = ?1")                                                                      \
    X(USERS, ONE,                                                                                \
      "SELECT " USER_COLUMNS " FROM users u "                                                    \
      "WHERE u.login >= ?1 AND u.login < ?2 AND u.removed_at = 0 ORDER BY u.login")              \
    X(SERVERS, ONE,                                                                              \
      "SELECT " SERVER_COLUMNS ", u.login, " VOLUME_COLUMNS " FROM users u "                     \
      "CROSS JOIN servers s ON s.owner = u.id CROSS JOIN volumes v ON v.server = s.id "          \
      "WHERE u.login >= ?1 AND u.login < ?2 AND u.removed_at = 0 AND s.removed_at = 0 "          \
      "ORDER BY u.login")                                                                        \
    X(REMOVED, ONE,                                                                              \
      "SELECT " USER_COLUMNS " FROM users u "                                                    \
      "WHERE u.removed_at <> 0 AND u.removed_at < ?1 ORDER BY u.removed_at")                     \
    X(COUNT, ALL,                                                                                \
      "SELECT count(*) FILTER (WHERE removed_at = 0), "                                          \
      "count(*) FILTER (WHERE removed_at = 0 AND disabled), "                                    \
      "count(*) FILTER (WHERE removed_at <> 0), "                                                \
      "(SELECT count(*) FROM servers WHERE removed_at = 0) FROM users")                          \
    X(PASSWORD, ONE,                                                                             \
      "UPDATE users SET verifier = ?2, counter = ?3 WHERE id = ?1 AND removed_at = 0")           \
    X(DISABLE, ONE, "UPDATE users SET disabled = ?2 WHERE id = ?1 AND removed_at = 0")           \
    X(RENAME_USER, ONE, "UPDATE users SET login = ?2 WHERE id = ?1 AND removed_at = 0")          \
    X(RENAME_SERVER, ONE,                                                                        \
      "UPDATE servers SET name = ?2 WHERE owner = ?1 AND name = ?3 AND removed_at = 0")          \
    X(REMOVE_USER, ONE, "UPDATE users SET removed_at = ?2 WHERE id = ?1 AND removed_at = 0")     \
    X(MARK_SERVERS, ONE,                                                                         \
      "UPDATE servers SET removed_at = ?3 WHERE owner = ?1 AND removed_at = ?2")                 \
    X(MARK_VOLUMES, ONE,                                                                         \
      "UPDATE volumes SET removed_at = ?3 WHERE removed_at = ?2 "                                \
      "AND server IN (SELECT id FROM servers WHERE owner = ?1)")                                 \
    X(RESTORE_USER, ONE, "UPDATE users SET removed_at = 0 WHERE id = ?1")                        \
    X(PURGE_VOLUMES, ONE,                                                                        \
      "DELETE FROM volumes WHERE server IN (SELECT id FROM servers WHERE owner = ?1)")           \
    X(PURGE_SERVERS, ONE, "DELETE FROM servers WHERE owner = ?1")                                \
    X(PURGE_USER, ONE, "DELETE FROM users WHERE id = ?1")                                        \
    X(SERVER_NAMED, ONE, "UPDATE servers SET named = ?2 WHERE id = ?1")                          \
    X(SERVER_AWAKE, ONE, "UPDATE servers SET last_awake = ?2 WHERE id = ?1")                     \
    X(VOLUME_PHASE, ONE, "UPDATE volumes SET phase = ?2 WHERE id = ?1")
/* clang-format on */
