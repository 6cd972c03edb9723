/* The keys of the hub file: one row each, in the order of `dorm config show` and the default file.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

#include "conf-int.h"

#define IN(member)    offsetof(struct conf, member), sizeof(((struct conf *)0)->member)
#define CLASS(member) offsetof(struct conf_class, member), sizeof(((struct conf_class *)0)->member)
#define CLAIM(member) offsetof(struct conf_claim, member), sizeof(((struct conf_claim *)0)->member)
#define VOLUME(member) \
    offsetof(struct conf_volume, member), sizeof(((struct conf_volume *)0)->member)
#define NONE      0, 0
#define MI        (1ull << 20)
#define DAY       86400000ull
#define OWN_MODES (CONF_RWO | CONF_RWOP)
#define ALL_MODES (CONF_RWO | CONF_RWOP | CONF_ROX | CONF_RWX)

enum { RELOADS = false, AT_START = true };

const char conf_required[] = "required";

/* clang-format off */
const struct conf_row conf_rows[] = {
    {"hub", CONF_NAME, IN(hub), 0, 0, "hub", AT_START,
     "The name of this hub."},
    {"domain", CONF_DOMAIN, IN(domain), 0, 0, "", AT_START,
     "The DNS name under which users reach this hub; empty for none."},
    {"listen", CONF_MAP, NONE, 0, 0, NULL, AT_START,
     "Where connections are accepted."},
    {"listen.postgres", CONF_NUMBER, IN(listen.postgres), 1, 65535, "5432", AT_START,
     "The TCP port for PostgreSQL clients."},
    {"listen.address", CONF_ADDRESS, IN(listen.address), 0, 0, "", AT_START,
     "The IP address to listen on; empty: loopback only, or all addresses once a domain is set."},
    {"storage", CONF_CLASSES, NONE, 0, 0, NULL, AT_START,
     "Classes of storage by name; the first is the default; without any there is \"standard\"."},
    {"storage.*", CONF_MAP, NONE, 0, 0, NULL, AT_START,
     "One class: a name of a-z, 0-9 and -, at most 31 characters."},
    {"storage.*.driver", CONF_DRIVER, CLASS(driver), 0, 0, "image", AT_START,
     "How volumes are kept: image, one file with a file system each; directory; or nfs."},
    {"storage.*.pool", CONF_PATH, CLASS(pool), 0, 0, "", AT_START,
     "Of an image class: the directory that holds the volumes; empty for one in the state directory."},
    {"storage.*.path", CONF_PATH, CLASS(path), PATH_NORMAL, 0, "", AT_START,
     "Of a directory class, required: the directory in which each volume is a directory."},
    {"storage.*.server", CONF_HOST, CLASS(server), 0, 0, "", AT_START,
     "Of an nfs class, required: the file server, a name or an address."},
    {"storage.*.export", CONF_PATH, CLASS(export), PATH_NORMAL | PATH_ROOT, 0, "", AT_START,
     "Of an nfs class, required: the directory that the file server exports."},
    {"storage.*.options", CONF_OPTIONS, CLASS(options), 0, 0, "", AT_START,
     "Of an nfs class: options of mount, as in vers=4.2,hard; empty for those that fit a database."},
    {"server", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "Every user's own server."},
    {"server.image", CONF_IMAGE, IN(server.image_major), 10, 99, "postgres", RELOADS,
     "postgres for the newest installed version, or postgres:15; of 15.4 only the 15 counts."},
    {"server.claim", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "The volume of a server."},
    {"server.claim.name", CONF_TEMPLATE, IN(server.claim.name), TEMPLATE_OF_USER, 0,
     "postgres-{username}", RELOADS, "Its name, with {username} and, if wished, {hub}."},
    {"server.claim.class", CONF_CLASS, IN(server.claim.class), 0, 0, "standard", RELOADS,
     "Its class of storage; without this key the first; \"\" for a volume made by hand."},
    {"server.claim.capacity", CONF_SIZE, IN(server.claim.capacity), 128 * MI, 0, "1Gi", RELOADS,
     "Its size, at least 128Mi."},
    {"server.claim.accessModes", CONF_MODES, IN(server.claim.modes), 0, OWN_MODES,
     "ReadWriteOnce", RELOADS, "What it must allow: ReadWriteOnce or ReadWriteOncePod."},
    {"server.extraClaims", CONF_CLAIMS, NONE, 0, 0, NULL, RELOADS,
     "Further volumes of a server, as in [{name: \"scratch-{username}\", mount: /scratch}]."},
    {"server.extraClaims.#", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "One of them, with these keys:"},
    {"server.extraClaims.#.name", CONF_TEMPLATE, CLAIM(name), 0, 0, conf_required, RELOADS,
     "Its name, with {username}, or else all servers share it; {hub} if wished."},
    {"server.extraClaims.#.class", CONF_CLASS, CLAIM(class), 0, 0, "standard", RELOADS,
     "Its class of storage; without this key the first; \"\" for one made by hand."},
    {"server.extraClaims.#.capacity", CONF_SIZE, CLAIM(capacity), 64 * MI, 0, "1Gi", RELOADS,
     "How large it is, at least 64Mi."},
    {"server.extraClaims.#.accessModes", CONF_MODES, CLAIM(modes), 0, ALL_MODES,
     "ReadWriteOnce", RELOADS, "What it must allow; shared, ReadWriteMany or ReadOnlyMany."},
    {"server.extraClaims.#.mount", CONF_MOUNT, CLAIM(mount), PATH_NORMAL, 0, conf_required, RELOADS,
     "Where the server finds it, as in /scratch."},
    {"server.lifecycle", CONF_LIFECYCLE, IN(server.ephemeral), 0, 0, "persistent", RELOADS,
     "persistent, or ephemeral: then a server that is stopped begins anew."},
    {"server.superuser", CONF_SUPERUSER, IN(server.superuser), 0, 0, "{username}", RELOADS,
     "The owner's name inside the server: {username}, or one name for all."},
    {"server.limits", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "What a server may use at most."},
    {"server.limits.memory", CONF_SIZE, IN(server.limits.memory), 64 * MI, 0, "512Mi", RELOADS,
     "Memory, at least 64Mi."},
    {"server.limits.cpu", CONF_CORES, IN(server.limits.cpu_milli), 10, 1024000, "1", RELOADS,
     "Cores: 2, 0.5 or 500m."},
    {"server.limits.pids", CONF_NUMBER, IN(server.limits.pids), 20, 4194304, "200", RELOADS,
     "Processes, at least 20."},
    {"server.requests", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "What a server is counted with, and has when others want all; small, or fewer fit."},
    {"server.requests.memory", CONF_SIZE, IN(server.requests.memory), MI, 0, "64Mi", RELOADS,
     "Memory, at least 1Mi and not above its limit."},
    {"server.requests.cpu", CONF_CORES, IN(server.requests.cpu_milli), 10, 1024000, "0.01", RELOADS,
     "Cores: its share when all are wanted; not above its limit."},
    {"server.parameters", CONF_PARAMETERS, NONE, 0, 0, NULL, RELOADS,
     "PostgreSQL settings for every server."},
    {"server.parameters.*", CONF_VALUE, NONE, 0, 0, NULL, RELOADS,
     "One setting, as in postgresql.conf; those that Dormouse sets itself are refused."},
    {"server.sleep", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "When a server is stopped until its user connects again."},
    {"server.sleep.after", CONF_SLEEP, IN(server.sleep_after_ms), 1000, 365 * DAY, "15m", RELOADS,
     "How long after the last client has left; or never."},
    {"server.sleep.nap", CONF_NAP, IN(server.nap_ms), 1000, 365 * DAY, "auto", RELOADS,
     "How long nobody may speak until it is frozen, its clients connected; never; or auto: 2m, where "
     "the machine has swap."},
    {"server.sleep.connected", CONF_SLEEP, IN(server.sleep_connected_ms), 1000, 365 * DAY, "8h",
     RELOADS, "How long nobody may speak until it is stopped and its clients disconnected; or never."},
    {"server.snapshots", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "Copies of a server's volume, kept beside it."},
    {"server.snapshots.every", CONF_SLEEP, IN(server.snapshots.every_ms), 1000, 365 * DAY, "1d",
     RELOADS, "How often one is made; or never."},
    {"server.snapshots.keep", CONF_NUMBER, IN(server.snapshots.keep), 1, 1000, "7", RELOADS,
     "How many of these are kept for each server."},
    {"server.network", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "What a server reaches beside its own localhost."},
    {"server.network.out", CONF_OUT, IN(server.network_out), 0, 0, "none", RELOADS,
     "Where it may connect to: none. A list of host:port is refused in this version."},
    {"machine", CONF_MAP, NONE, 0, 0, NULL, AT_START,
     "What all servers together take of this machine."},
    {"machine.pool", CONF_SHARE, IN(machine.pool), 64 * MI, 0, "50%", AT_START,
     "Disk for all volumes: a size, or a percentage of the free disk."},
    {"machine.memory", CONF_SHARE, IN(machine.memory), 128 * MI, 0, "80%", RELOADS,
     "Memory of all servers together: a size, or a percentage of the machine's."},
    {"machine.uids", CONF_RANGE, IN(machine.uids), 1000, UINT32_MAX - 1, "200000-265535", AT_START,
     "User ids for servers, one each: at least 256, not below 1000, used by nobody else."},
    {"machine.mounted", CONF_NUMBER, IN(machine.mounted), 0, 65535, "64", RELOADS,
     "How many volumes of sleeping servers stay mounted, for a faster start."},
    {"undo", CONF_DURATION, IN(undo_ms), 0, 3650 * DAY, "7d", RELOADS,
     "How long what was deleted or reset can be brought back."},
    {"volumes", CONF_VOLUMES, NONE, 0, 0, NULL, RELOADS,
     "Volumes made by hand: directories that are there already, for claims that fit."},
    {"volumes.#", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "One volume, with these keys:"},
    {"volumes.#.name", CONF_OBJECT, VOLUME(name), 0, 0, conf_required, RELOADS,
     "The volume's name: of a-z, 0-9, - and ., at most 127 characters."},
    {"volumes.#.capacity", CONF_SIZE, VOLUME(capacity), MI, 0, conf_required, RELOADS,
     "How much it holds; a claim may ask for less."},
    {"volumes.#.accessModes", CONF_MODES, VOLUME(modes), 0, ALL_MODES, conf_required, RELOADS,
     "What it allows: ReadWriteOnce, ReadWriteOncePod, ReadOnlyMany, ReadWriteMany."},
    {"volumes.#.hostPath", CONF_PATH, VOLUME(host_path), PATH_NORMAL, 0, conf_required, RELOADS,
     "The directory on this machine."},
    {"volumes.#.class", CONF_CLASS, VOLUME(class), 0, 0, "", RELOADS,
     "Only for claims of this class; empty for claims whose class is \"\"."},
    {"volumes.#.claimRef", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "The claim that it is kept for."},
    {"volumes.#.claimRef.hub", CONF_NAME, VOLUME(ref_hub), 0, 0, "", RELOADS,
     "The hub of that claim; empty for this one."},
    {"volumes.#.claimRef.name", CONF_OBJECT, VOLUME(ref_name), OBJECT_OF_CLAIM, 0, conf_required, RELOADS,
     "The name of that claim, as in postgres-alice."},
    {"backup", CONF_MAP, NONE, 0, 0, NULL, RELOADS,
     "Copies of all servers in another place."},
    {"backup.schedule", CONF_CLOCK, IN(backup.minute), 0, 0, "never", RELOADS,
     "When they are made, each day by this machine's clock, as in \"03:00\"; or never."},
    {"backup.target", CONF_PATH, IN(backup.target), PATH_NORMAL, 0, "", RELOADS,
     "The directory for them, best on another disk; required with a schedule."},
    {"backup.keep", CONF_NUMBER, IN(backup.keep), 1, 1000, "14", RELOADS,
     "How many of each server are kept."},
    {"plaintext", CONF_NETWORKS, IN(plaintext), 0, 0, "127.0.0.0/8 ::1/128", RELOADS,
     "Networks from which connections without TLS are accepted."},
};
/* clang-format on */
const size_t conf_row_n = sizeof(conf_rows) / sizeof(conf_rows[0]);

static const char *const nouns[CONF_TYPE_N] = {
#define X(name, noun) [CONF_##name] = noun,
    CONF_TYPES(X)
#undef X
};

const char *conf_type_noun(enum conf_type type)
{
    return nouns[type];
}

/* The key of a row directly below path, or NULL when it is elsewhere. */
static const char *key_below(const struct conf_row *row, const char *path)
{
    size_t n = strlen(path);
    const char *key = row->path;

    if (n > 0) {
        if (!str_starts(key, path) || key[n] != '.')
            return NULL;
        key += n + 1;
    }
    return strchr(key, '.') == NULL ? key : NULL;
}

const struct conf_row *conf_row(const char *path, const char *key)
{
    for (size_t i = 0; i < conf_row_n; i++) {
        const char *k = key_below(&conf_rows[i], path);

        if (k != NULL && str_is(k, key))
            return &conf_rows[i];
    }
    return NULL;
}

size_t conf_row_keys(const char *path, const char **ret_keys, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < conf_row_n && n < max; i++) {
        const char *k = key_below(&conf_rows[i], path);

        if (k != NULL)
            ret_keys[n++] = k;
    }
    return n;
}

bool conf_row_is_free(const struct conf_row *row)
{
    return strpbrk(row->path, "*#") != NULL;
}

int conf_row_driver(const struct conf_row *row)
{
    static const struct {
        const char *path;
        enum conf_driver driver;
    } keys[] = {
        {"storage.*.pool", CONF_DRIVER_IMAGE},  {"storage.*.path", CONF_DRIVER_DIRECTORY},
        {"storage.*.server", CONF_DRIVER_NFS},  {"storage.*.export", CONF_DRIVER_NFS},
        {"storage.*.options", CONF_DRIVER_NFS},
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (str_is(keys[i].path, row->path))
            return (int)keys[i].driver;
    return -1;
}
