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
#define VOLUME_COLUMNS                                                                 \
    "v.id, v.server, v.claim, v.class, v.template, v.path, v.moving_to, v.component, " \
    "v.capacity, v.modes, v.phase, v.created, v.removed_at"
enum { VOLUME_WIDTH = 13 };
#define DISK_COLUMNS "d.server, d.volume, d.place, d.mount, d.read_only"
enum { DISK_WIDTH = 5 };
#define SNAPSHOT_COLUMNS                                                                     \
    "n.id, n.volume, n.class, n.label, n.why, n.capacity, n.extents, n.took_us, n.running, " \
    "n.taken_at, "                                                                           \
    "n.keep_until"
enum { SNAPSHOT_WIDTH = 11 };
#define UNDO_COLUMNS \
    "o.number, o.deed, o.server, o.volume, o.snapshot, o.text, o.before, o.done_at, o.until"
enum { UNDO_WIDTH = 9 };

/* What goes with a user for good. */
#define THEIR_SERVERS "(SELECT id FROM servers WHERE owner = ?1)"
#define THEIR_VOLUMES                                                      \
    "(SELECT v.id FROM servers s CROSS JOIN volumes v ON v.server = s.id " \
    "WHERE s.owner = ?1 AND v.path = '')"

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
      "INSERT INTO volumes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0)")       \
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
    X(VOLUME_OF, ONE,                                                                            \
      "SELECT " VOLUME_COLUMNS " FROM disks d CROSS JOIN volumes v ON v.id = d.volume "          \
      "WHERE d.server = ?1 AND d.place = 0")                                                     \
    X(VOLUME_BY_CLAIM, ONE,                                                                      \
      "SELECT " VOLUME_COLUMNS " FROM volumes v WHERE v.claim = ?1 AND v.removed_at = 0")        \
    X(VOLUME_BY_PATH, ONE,                                                                       \
      "SELECT " VOLUME_COLUMNS " FROM volumes v "                                                \
      "WHERE v.path = ?1 AND v.path <> '' AND v.removed_at = 0")                                 \
    X(VOLUMES, ALL,                                                                              \
      "SELECT " VOLUME_COLUMNS ", s.name, u.login FROM volumes v "                               \
      "LEFT JOIN servers s ON s.id = v.server LEFT JOIN users u ON u.id = s.owner "              \
      "WHERE v.removed_at = 0 AND (?1 = '' OR v.component = ?1) ORDER BY v.claim")               \
    X(VOLUMES_REMOVED, ONE,                                                                      \
      "SELECT " VOLUME_COLUMNS " FROM volumes v LEFT JOIN servers s ON s.id = v.server "         \
      "WHERE v.removed_at <> 0 AND v.removed_at < ?1 "                                           \
      "AND (ifnull(s.removed_at, 0) = 0 OR s.kind = 'shared') ORDER BY v.removed_at")            \
    X(SERVER_REMOVE, ONE,                                                                        \
      "UPDATE servers SET removed_at = ?2 "                                                      \
      "WHERE id = ?1 AND kind = 'shared' AND removed_at = 0")                                    \
    X(SERVER_REMOVE_DATA, ONE,                                                                   \
      "UPDATE volumes SET removed_at = ?2 WHERE server = ?1 AND removed_at = 0")                 \
    X(SERVER_NO_UNDOS, ONE, "DELETE FROM undos WHERE server = ?1")                               \
    X(SERVER_PURGE, ONE,                                                                         \
      "DELETE FROM servers WHERE id = ?1 AND kind = 'shared' AND removed_at <> 0 "               \
      "AND NOT EXISTS (SELECT 1 FROM volumes v WHERE v.server = ?1)")                            \
    X(VOLUMES_OF_USER, ONE,                                                                      \
      "SELECT " VOLUME_COLUMNS " FROM servers s CROSS JOIN volumes v ON v.server = s.id "        \
      "WHERE s.owner = ?1")                                                                      \
    X(USERS, ONE,                                                                                \
      "SELECT " USER_COLUMNS " FROM users u "                                                    \
      "WHERE u.login >= ?1 AND u.login < ?2 AND u.removed_at = 0 ORDER BY u.login")              \
    X(SERVERS, ONE,                                                                              \
      "SELECT " SERVER_COLUMNS ", u.login, " VOLUME_COLUMNS " FROM users u "                     \
      "CROSS JOIN servers s ON s.owner = u.id "                                                  \
      "CROSS JOIN disks d ON d.server = s.id AND d.place = 0 "                                   \
      "CROSS JOIN volumes v ON v.id = d.volume "                                                 \
      "WHERE u.login >= ?1 AND u.login < ?2 AND u.removed_at = 0 AND s.removed_at = 0 "          \
      "ORDER BY u.login")                                                                        \
    X(REMOVED, ONE,                                                                              \
      "SELECT " USER_COLUMNS " FROM users u "                                                    \
      "WHERE u.removed_at <> 0 AND u.removed_at < ?1 ORDER BY u.removed_at")                     \
    X(COUNT, ALL,                                                                                \
      "SELECT count(*) FILTER (WHERE removed_at = 0), "                                          \
      "count(*) FILTER (WHERE removed_at = 0 AND disabled), "                                    \
      "count(*) FILTER (WHERE removed_at <> 0), "                                                \
      "(SELECT count(*) FROM servers WHERE removed_at = 0), "                                    \
      "(SELECT count(*) FROM volumes WHERE removed_at = 0), "                                    \
      "(SELECT count(*) FROM snapshots) FROM users")                                             \
    X(PASSWORD, ONE,                                                                             \
      "UPDATE users SET verifier = ?2, counter = ?3 WHERE id = ?1 AND removed_at = 0")           \
    X(DISABLE, ONE, "UPDATE users SET disabled = ?2 WHERE id = ?1 AND removed_at = 0")           \
    X(RENAME_USER, ONE, "UPDATE users SET login = ?2 WHERE id = ?1 AND removed_at = 0")          \
    X(RENAME_SERVER, ONE,                                                                        \
      "UPDATE servers SET name = ?2 WHERE owner = ?1 AND name = ?3 AND removed_at = 0")          \
    X(REMOVE_USER, ONE, "UPDATE users SET removed_at = ?2 WHERE id = ?1 AND removed_at = 0")     \
    X(MARK_SERVERS, ONE,                                                                         \
      "UPDATE servers SET removed_at = ?3 WHERE owner = ?1 AND removed_at = ?2")                 \
    X(REMOVE_VOLUMES, ONE,                                                                       \
      "UPDATE volumes SET removed_at = ?2 WHERE removed_at = 0 AND path = '' "                   \
      "AND server IN " THEIR_SERVERS)                                                            \
    X(RESTORE_USER, ONE, "UPDATE users SET removed_at = 0 WHERE id = ?1")                        \
    X(NO_DATA, ONE,                                                                              \
      "SELECT s.name FROM servers s WHERE s.owner = ?1 AND s.removed_at = 0 AND NOT EXISTS "     \
      "(SELECT 1 FROM disks d CROSS JOIN volumes v ON v.id = d.volume "                          \
      "WHERE d.server = s.id AND d.place = 0 AND v.removed_at = 0)")                             \
    X(PURGE_UNDOS, ONE,                                                                          \
      "DELETE FROM undos WHERE server IN " THEIR_SERVERS " OR volume IN " THEIR_VOLUMES          \
      " OR snapshot IN (SELECT id FROM snapshots WHERE volume IN " THEIR_VOLUMES ")")            \
    X(PURGE_SNAPSHOTS, ONE, "DELETE FROM snapshots WHERE volume IN " THEIR_VOLUMES)              \
    X(PURGE_DISKS, ONE,                                                                          \
      "DELETE FROM disks WHERE server IN " THEIR_SERVERS " OR volume IN " THEIR_VOLUMES)         \
    X(PURGE_VOLUMES, ONE,                                                                        \
      "DELETE FROM volumes WHERE path = '' AND server IN " THEIR_SERVERS)                        \
    X(RELEASE_VOLUMES, ONE,                                                                      \
      "UPDATE volumes SET server = NULL, phase = 'released', component = '' "                    \
      "WHERE server IN " THEIR_SERVERS)                                                          \
    X(PURGE_SERVERS, ONE, "DELETE FROM servers WHERE owner = ?1")                                \
    X(PURGE_USER, ONE, "DELETE FROM users WHERE id = ?1")                                        \
    X(SERVER_NAMED, ONE, "UPDATE servers SET named = ?2 WHERE id = ?1")                          \
    X(SERVER_AWAKE, ONE, "UPDATE servers SET last_awake = ?2 WHERE id = ?1")                     \
    X(VOLUME_PHASE, ONE, "UPDATE volumes SET phase = ?2 WHERE id = ?1")                          \
    X(VOLUME_CAPACITY, ONE, "UPDATE volumes SET capacity = ?2 WHERE id = ?1")                    \
    X(VOLUME_MOVING, ONE, "UPDATE volumes SET moving_to = ?2 WHERE id = ?1")                     \
    X(VOLUME_MOVED, ONE,                                                                         \
      "UPDATE volumes SET class = moving_to, moving_to = '' WHERE id = ?1 AND moving_to <> ''")  \
    X(VOLUME_BIND, ONE,                                                                          \
      "UPDATE volumes SET server = ?2, phase = ?3, component = ?4 WHERE id = ?1")                \
    X(VOLUME_REMOVE, ONE, "UPDATE volumes SET removed_at = ?2 WHERE id = ?1")                    \
    X(VOLUME_RESTORE, ONE, "UPDATE volumes SET removed_at = 0, claim = ?2 WHERE id = ?1")        \
    X(VOLUME_NO_UNDOS, ONE,                                                                      \
      "DELETE FROM undos WHERE volume = ?1 "                                                     \
      "OR snapshot IN (SELECT id FROM snapshots WHERE volume = ?1)")                             \
    X(VOLUME_NO_SNAPSHOTS, ONE, "DELETE FROM snapshots WHERE volume = ?1")                       \
    X(VOLUME_NO_DISKS, ONE, "DELETE FROM disks WHERE volume = ?1")                               \
    X(VOLUME_PURGE, ONE, "DELETE FROM volumes WHERE id = ?1")                                    \
    X(DISK_ADD, ONE, "INSERT INTO disks VALUES (?1, ?2, ?3, ?4, ?5)")                            \
    X(DISK_REMOVE, ONE, "DELETE FROM disks WHERE server = ?1 AND volume = ?2 AND place > 0")     \
    X(DISK_GET, ONE, "SELECT place FROM disks WHERE server = ?1 AND volume = ?2")                \
    X(DISKS, ONE,                                                                                \
      "SELECT " DISK_COLUMNS ", " VOLUME_COLUMNS " FROM disks d "                                \
      "CROSS JOIN volumes v ON v.id = d.volume "                                                 \
      "WHERE d.server = ?1 AND v.removed_at = 0 ORDER BY d.place")                               \
    X(DISK_USERS, ONE,                                                                           \
      "SELECT " DISK_COLUMNS ", " VOLUME_COLUMNS " FROM disks d "                                \
      "CROSS JOIN volumes v ON v.id = d.volume CROSS JOIN servers s ON s.id = d.server "         \
      "WHERE d.volume = ?1 AND s.removed_at = 0 ORDER BY d.server")                              \
    X(USED_BY, ONE,                                                                              \
      "SELECT s.name, d.place FROM disks d CROSS JOIN servers s ON s.id = d.server "             \
      "WHERE d.volume = ?1 AND d.place <= ?2")                                                   \
    X(DISKS_BOUND, ONE,                                                                          \
      "UPDATE volumes SET phase = 'bound' WHERE phase = 'pending' "                              \
      "AND id IN (SELECT volume FROM disks WHERE server = ?1)")                                  \
    X(SNAPSHOT_ADD, ONE,                                                                         \
      "INSERT INTO snapshots VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")       \
    X(SNAPSHOT_BY_ID, ONE, "SELECT " SNAPSHOT_COLUMNS " FROM snapshots n WHERE n.id = ?1")       \
    X(SNAPSHOT_BY_LABEL, ONE,                                                                    \
      "SELECT " SNAPSHOT_COLUMNS " FROM snapshots n WHERE n.volume = ?1 AND n.label = ?2 "       \
      "AND n.label <> '' ORDER BY n.taken_at DESC, n.number DESC LIMIT 1")                       \
    X(SNAPSHOTS_OF, ONE,                                                                         \
      "SELECT " SNAPSHOT_COLUMNS ", " VOLUME_COLUMNS " FROM snapshots n "                        \
      "CROSS JOIN volumes v ON v.id = n.volume "                                                 \
      "WHERE n.volume = ?1 ORDER BY n.taken_at, n.number")                                       \
    X(SNAPSHOTS, ALL,                                                                            \
      "SELECT " SNAPSHOT_COLUMNS ", " VOLUME_COLUMNS " FROM snapshots n "                        \
      "CROSS JOIN volumes v ON v.id = n.volume ORDER BY n.taken_at, n.number")                   \
    X(SNAPSHOT_KEEP, ONE, "UPDATE snapshots SET keep_until = ?2 WHERE id = ?1")                  \
    X(SNAPSHOT_TAKEN, ONE, "UPDATE snapshots SET extents = ?2, took_us = ?3 WHERE id = ?1")      \
    X(SNAPSHOT_NO_UNDOS, ONE, "DELETE FROM undos WHERE snapshot = ?1")                           \
    X(SNAPSHOT_REMOVE, ONE, "DELETE FROM snapshots WHERE id = ?1")                               \
    X(UNDO_ADD, ONE, "INSERT INTO undos VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")          \
    X(UNDO_GET, ONE, "SELECT " UNDO_COLUMNS " FROM undos o WHERE o.number = ?1")                 \
    X(UNDOS, ALL,                                                                                \
      "SELECT " UNDO_COLUMNS ", s.name, v.claim FROM undos o "                                   \
      "LEFT JOIN servers s ON s.id = o.server LEFT JOIN volumes v ON v.id = o.volume "           \
      "WHERE o.until > ?1 ORDER BY o.number DESC")                                               \
    X(UNDO_REMOVE, ONE, "DELETE FROM undos WHERE number = ?1")                                   \
    X(UNDO_EXPIRE, ONE, "DELETE FROM undos WHERE until <= ?1")
/* clang-format on */
