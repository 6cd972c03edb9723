#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf-int.h"
#include "conf/conf.h"

#include "t.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct conf_problems problems;

static void free_conf(struct conf **c)
{
    conf_free(*c);
}
#define AUTO_CONF AUTO(free_conf)

/* NULL when it was refused, which is a failure here. */
static struct conf *parse(const char *text)
{
    struct conf *c = NULL;
    struct err e;

    if (conf_parse(text, strlen(text), "/etc/dormouse/hub.yaml", &c, &problems, &e) < 0) {
        T_STR(e.msg, "no error");
        abort();
    }
    T_EQ(problems.n, 0);
    return c;
}

static const struct conf_item *item(const struct conf *c, const char *path)
{
    for (size_t i = 0; i < c->item_n; i++)
        if (str_is(c->items[i].path, path))
            return &c->items[i];
    return NULL;
}

static void an_empty_file_is_a_hub_of_defaults(void)
{
    static const char *const empty[] = {"",    "\n",  "# only this\n", "---\n", "\xef\xbb\xbf",
                                        "~\n", "{}\n"};

    for (size_t i = 0; i < COUNT(empty); i++) {
        AUTO_CONF struct conf *c = parse(empty[i]);
        const char *addresses[2];

        T_STR(c->hub, "hub");
        T_STR(c->domain, "");
        T_EQ(c->listen.postgres, 5432);
        T_EQ(conf_listen_addresses(c, addresses), 2);
        T_STR(addresses[0], "127.0.0.1");
        T_STR(addresses[1], "::1");
        T_EQ(c->storage_n, 1);
        T_STR(c->storage[0].name, "standard");
        T_EQ(c->storage[0].driver, CONF_DRIVER_IMAGE);
        T_STR(c->storage[0].pool, "");
        T_EQ(c->server.image_major, 0);
        T_STR(c->server.claim.name, "postgres-{username}");
        T_STR(c->server.claim.class, "standard");
        T_EQ(c->server.claim.capacity, 1ll << 30);
        T_EQ(c->server.claim.modes, CONF_RWO);
        T_OK(!c->server.claim.static_only);
        T_EQ(c->server.extra_n, 0);
        T_OK(!c->server.ephemeral);
        T_EQ(c->server.snapshots.every_ms, 86400 * 1000);
        T_EQ(c->server.snapshots.keep, 7);
        T_STR(c->server.superuser, "{username}");
        T_EQ(c->server.limits.memory, 512 << 20);
        T_EQ(c->server.limits.cpu_milli, 1000);
        T_EQ(c->server.limits.pids, 200);
        T_EQ(c->server.requests.memory, 64 << 20); /* small, whatever the limit is */
        T_EQ(c->server.requests.cpu_milli, 10);
        T_EQ(c->server.parameter_n, 0);
        T_EQ(c->server.sleep_after_ms, 15 * 60 * 1000);
        T_EQ(c->server.nap_ms, 0);
        T_EQ(c->server.sleep_connected_ms, 8 * 3600 * 1000);
        T_EQ(c->machine.memory.percent, 80);
        T_EQ(c->machine.memory.bytes, 0);
        T_EQ(c->machine.pool.percent, 50);
        T_EQ(c->machine.pool.bytes, 0);
        T_EQ(c->machine.uids.first, 200000);
        T_EQ(c->machine.uids.last, 265535);
        T_EQ(c->machine.mounted, 64);
        T_EQ(c->undo_ms, 7ll * 86400 * 1000);
        T_EQ(c->volume_n, 0);
        T_EQ(c->backup.minute, -1);
        T_STR(c->backup.target, "");
        T_EQ(c->backup.keep, 14);
        T_EQ(c->plaintext.n, 2);
    }
}

static const char every_key[] =
    "hub: sql101\n"
    "domain: SQL101.example.edu\n"
    "listen: {postgres: 6432, address: 10.0.0.9}\n"
    "storage:\n"
    "  ssd: {pool: /mnt/ssd}\n"
    "  slow-1:\n"
    "    driver: image\n"
    "server:\n"
    "  image: postgres:14.5\n"
    "  claim: {name: \"{hub}.db_{username}\", class: slow-1, capacity: 2G,\n"
    "    accessModes: [RWOP]}\n"
    "  extraClaims:\n"
    "  - {name: \"scratch-{username}\", class: ssd, capacity: 5Gi, accessModes: [RWO], mount: "
    "/mnt/x}\n"
    "  - {name: all, accessModes: [ReadWriteMany, ROX], mount: /mnt/y, class: ''}\n"
    "  lifecycle: ephemeral\n"
    "  snapshots: {every: never, keep: 1}\n"
    "  superuser: owner_1\n"
    "  limits:\n"
    "    memory: 1Gi\n"
    "    cpu: 500m\n"
    "    pids: 20\n"
    "  requests: {memory: 1Gi, cpu: 0.2}\n"
    "  parameters:\n"
    "    work_mem: 8MB\n"
    "    max_connections: 10\n"
    "    auto_explain.log_analyze: on\n"
    "    search_path: \"\"\n"
    "  sleep: {after: never, nap: 5m, connected: 6m}\n"
    "  network: {out: none}\n"
    "machine: {pool: 10Gi, memory: 12Gi, uids: 1000-1255, mounted: 0}\n"
    "undo: 0s\n"
    "volumes:\n"
    "- name: pv.1\n"
    "  capacity: 10Gi\n"
    "  accessModes: [ReadWriteOnce, RWX]\n"
    "  hostPath: /mnt/data/postgres\n"
    "  class: ssd\n"
    "  claimRef: {name: pgdata-finance_0}\n"
    "- {name: pv2, capacity: 1Mi, accessModes: [ROX], hostPath: /mnt/b, class: '',\n"
    "   claimRef: {hub: other, name: x}}\n"
    "backup: {schedule: 03:05, target: /mnt/backup, keep: 2}\n"
    "plaintext: [10.0.0.0/8, \"fd00::/8\"]\n";

static void every_key_arrives_in_its_field(void)
{
    AUTO_CONF struct conf *c = parse(every_key);
    const struct conf_server *s = &c->server;
    const char *addresses[2];

    T_STR(c->hub, "sql101");
    T_STR(c->domain, "sql101.example.edu");
    T_EQ(c->listen.postgres, 6432);
    T_EQ(conf_listen_addresses(c, addresses), 1);
    T_STR(addresses[0], "10.0.0.9");
    T_EQ(c->storage_n, 2);
    T_STR(c->storage[0].name, "ssd");
    T_STR(c->storage[0].pool, "/mnt/ssd");
    T_STR(c->storage[1].name, "slow-1");
    T_OK(conf_class(c, "slow-1") == &c->storage[1]);
    T_OK(conf_class(c, "standard") == NULL);
    T_EQ(s->image_major, 14);
    T_STR(s->claim.name, "{hub}.db_{username}");
    T_STR(s->claim.class, "slow-1");
    T_EQ(s->claim.capacity, 2000000000);
    T_EQ(s->claim.modes, CONF_RWOP);
    T_OK(s->ephemeral);
    T_OK(s->snapshots.every_ms == UINT64_MAX);
    T_EQ(s->snapshots.keep, 1);
    T_STR(s->superuser, "owner_1");
    T_EQ(s->limits.memory, 1ll << 30);
    T_EQ(s->limits.cpu_milli, 500);
    T_EQ(s->limits.pids, 20);
    T_EQ(s->requests.memory, 1ll << 30);
    T_EQ(s->requests.cpu_milli, 200);
    T_EQ(s->parameter_n, 4);
    T_STR(s->parameters[0].name, "work_mem");
    T_STR(s->parameters[0].value, "8MB");
    T_STR(s->parameters[1].value, "10");
    T_STR(s->parameters[2].name, "auto_explain.log_analyze");
    T_STR(s->parameters[2].value, "on");
    T_STR(s->parameters[3].value, "");
    T_EQ(s->parameters[0].name_at.line, 24);
    T_EQ(s->parameters[0].name_at.column, 5);
    T_EQ(s->parameters[0].value_at.column, 15);
    T_OK(s->sleep_after_ms == UINT64_MAX);
    T_EQ(s->nap_ms, 5 * 60 * 1000);
    T_EQ(s->sleep_connected_ms, 6 * 60 * 1000);
    T_EQ(c->machine.memory.bytes, 12ll << 30);
    T_EQ(c->machine.memory.percent, 0);
    T_EQ(c->machine.pool.bytes, 10ll << 30);
    T_EQ(c->machine.pool.percent, 0);
    T_EQ(c->machine.uids.first, 1000);
    T_EQ(c->machine.uids.last, 1255);
    T_EQ(c->machine.mounted, 0);
    T_EQ(c->undo_ms, 0);
    T_EQ(c->backup.minute, 185);
    T_STR(c->backup.target, "/mnt/backup");
    T_EQ(c->backup.keep, 2);
    T_EQ(c->plaintext.n, 2);
    T_EQ(c->plaintext.at[1].family, AF_INET6);
    T_EQ(c->plaintext.at[1].bits, 8);
}

static void claims_and_volumes_arrive_in_the_order_of_the_file(void)
{
    AUTO_CONF struct conf *c = parse(every_key);
    const struct conf_claim *extra = c->server.extra;
    const struct conf_volume *v = c->volumes;

    T_EQ(c->server.extra_n, 2);
    T_STR(extra[0].name, "scratch-{username}");
    T_STR(extra[0].class, "ssd");
    T_EQ(extra[0].capacity, 5ll << 30);
    T_EQ(extra[0].modes, CONF_RWO);
    T_STR(extra[0].mount, "/mnt/x");
    T_OK(!extra[0].static_only);
    T_STR(extra[1].name, "all");
    T_STR(extra[1].class, "");
    T_OK(extra[1].static_only);
    T_EQ(extra[1].capacity, 1ll << 30);
    T_EQ(extra[1].modes, CONF_RWX | CONF_ROX);

    T_EQ(c->volume_n, 2);
    T_STR(v[0].name, "pv.1");
    T_EQ(v[0].capacity, 10ll << 30);
    T_EQ(v[0].modes, CONF_RWO | CONF_RWX);
    T_STR(v[0].host_path, "/mnt/data/postgres");
    T_STR(v[0].class, "ssd");
    T_STR(v[0].ref_hub, "sql101");
    T_STR(v[0].ref_name, "pgdata-finance_0");
    T_STR(v[1].class, "");
    T_STR(v[1].ref_hub, "other");
}

/* A row of the schema and a path of show: "*" and "#" stand for one word without a dot. */
static bool is_of(const char *path, const char *row)
{
    for (; *row != '\0'; row++) {
        if (*row != '*' && *row != '#') {
            if (*path++ != *row)
                return false;
            continue;
        }
        path += strcspn(path, ".");
    }
    return *path == '\0';
}

static bool is_said(const struct conf *c, const struct conf_row *row)
{
    for (size_t i = 0; i < c->item_n; i++)
        if (is_of(c->items[i].path, row->path) && str_starts(c->items[i].origin, "hub.yaml:") &&
            c->items[i].at_start_only == row->at_start_only)
            return true;
    return false;
}

static void every_row_of_the_schema_is_set_by_that_file(void)
{
    static const char more[] = "storage:\n  dir: {driver: directory, path: /srv}\n  net: {driver: "
                               "nfs, server: nas, export: /, options: hard}\n";
    AUTO_CONF struct conf *c = parse(every_key), *classes = parse(more);

    for (size_t i = 0; i < conf_row_n; i++) {
        const char *path = conf_rows[i].path;
        /* the name of an element is in the paths of its other values */
        bool is_name = str_is(path, "volumes.#.name") || str_is(path, "server.extraClaims.#.name");

        if (!conf_row_is_leaf(&conf_rows[i]) || is_name || conf_rows[i].type == CONF_VALUE)
            continue;
        if (!is_said(c, &conf_rows[i]) && !is_said(classes, &conf_rows[i]))
            T_STR(path, "said");
    }
    T_EQ(c->item_n, 31 + 4 + 4 + 2 * 4 + 2 * 6);
}

static void show_names_value_and_origin_in_the_order_of_the_schema(void)
{
    AUTO_CONF struct conf *c = parse(every_key);

    T_STR(c->items[0].path, "hub");
    T_STR(c->items[4].path, "storage.ssd.driver");
    T_STR(c->items[4].origin, "default");
    T_STR(c->items[5].value, "/mnt/ssd");
    T_STR(c->items[5].origin, "hub.yaml:5");
    T_STR(c->items[6].path, "storage.slow-1.driver");
    T_STR(c->items[6].origin, "hub.yaml:7");
    T_STR(item(c, "server.claim.capacity")->value, "2G");
    T_STR(item(c, "server.claim.accessModes")->value, "[ReadWriteOncePod]");
    T_STR(item(c, "server.extraClaims.scratch-{username}.mount")->value, "/mnt/x");
    T_STR(item(c, "server.extraClaims.all.mount")->origin, "hub.yaml:14");
    T_STR(item(c, "server.extraClaims.all.capacity")->origin, "default");
    T_STR(item(c, "server.extraClaims.all.class")->value, "\"\"");
    T_STR(item(c, "server.parameters.work_mem")->origin, "hub.yaml:24");
    T_STR(item(c, "server.parameters.search_path")->value, "\"\"");
    T_STR(item(c, "volumes.pv.1.capacity")->origin, "hub.yaml:34");
    T_STR(item(c, "volumes.pv.1.accessModes")->value, "[ReadWriteOnce, ReadWriteMany]");
    T_STR(item(c, "volumes.pv.1.claimRef.hub")->value, "sql101");
    T_STR(item(c, "volumes.pv.1.claimRef.hub")->origin, "default");
    T_STR(item(c, "volumes.pv2.claimRef.hub")->value, "other");
    T_STR(item(c, "plaintext")->value, "[10.0.0.0/8, \"fd00::/8\"]");
    T_STR(c->items[c->item_n - 1].path, "plaintext");
}

static void what_is_never_or_auto_is_no_time(void)
{
    AUTO_CONF struct conf *c = parse("server: {sleep: {after: 10s, nap: never, connected: never}}\n"
                                     "machine: {memory: 100%}\n");
    AUTO_CONF struct conf *d = parse("server: {sleep: {nap: auto, connected: 1s}}\n");

    T_OK(c->server.nap_ms == UINT64_MAX && c->server.sleep_connected_ms == UINT64_MAX);
    T_EQ(c->machine.memory.percent, 100);
    T_EQ(d->server.nap_ms, 0);
    T_EQ(d->server.sleep_connected_ms, 1000);
    T_STR(item(d, "server.sleep.nap")->origin, "hub.yaml:1");
    T_STR(item(c, "server.requests.memory")->value, "64Mi");
}

/* The check of a setting is somebody else's; where it stands is known here. */
static void a_setting_is_blamed_where_it_stands(void)
{
    AUTO_CONF struct conf *c = parse("server:\n  parameters:\n    worc_mem: 8MB\n"
                                     "    jit: \"per\\u202ehaps\"\n    fsync: off\n");
    struct conf_problems all = {0};
    struct err e;

    T_EQ(conf_blame_end(c, &all, &e), 0);
    conf_blame(c, &c->server.parameters[1], CONF_BLAME_VALUE, "is not right", &all);
    conf_blame(c, &c->server.parameters[0], CONF_BLAME_NAME, "unknown", &all);
    T_EQ(conf_blame_end(c, &all, &e), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_STR(e.msg, "hub.yaml:3:5: worc_mem: unknown");
    T_STR(e.hint, "hub.yaml has 1 more problem");
    T_STR(all.at[1].text, "hub.yaml:4:10: jit: \"per\\xe2\\x80\\xaehaps\" is not right");
    for (int i = 0; i < 30; i++)
        conf_blame(c, &c->server.parameters[2], CONF_BLAME_NAME, "again", &all);
    T_EQ(all.n, CONF_PROBLEMS_MAX);
}

static void a_claim_without_a_class_has_the_first_and_one_with_an_empty_class_none(void)
{
    AUTO_CONF struct conf *none = parse("storage: {ssd: }\n"), *empty = NULL;

    T_STR(none->server.claim.class, "ssd");
    T_OK(!none->server.claim.static_only);
    T_STR(item(none, "server.claim.class")->value, "ssd");
    T_STR(item(none, "server.claim.class")->origin, "default");
    empty = parse("storage: {ssd: }\nserver: {claim: {class: ''}}\n");
    T_STR(empty->server.claim.class, "");
    T_OK(empty->server.claim.static_only);
    T_STR(item(empty, "server.claim.class")->value, "\"\"");
    T_STR(item(empty, "server.claim.class")->origin, "hub.yaml:2");
}

static void a_class_shows_the_keys_of_its_driver(void)
{
    AUTO_CONF struct conf *c =
        parse("storage:\n  a: {driver: directory, path: /srv/homes}\n"
              "  b: {driver: nfs, server: NAS.example.edu, export: /, options: 'vers=4.2,hard'}\n");

    T_EQ(c->storage[0].driver, CONF_DRIVER_DIRECTORY);
    T_STR(c->storage[0].path, "/srv/homes");
    T_EQ(c->storage[1].driver, CONF_DRIVER_NFS);
    T_STR(c->storage[1].server, "nas.example.edu");
    T_STR(c->storage[1].export, "/");
    T_STR(c->storage[1].options, "vers=4.2,hard");
    T_OK(item(c, "storage.a.path") != NULL && item(c, "storage.a.pool") == NULL);
    T_OK(item(c, "storage.b.export") != NULL && item(c, "storage.b.path") == NULL);
    T_STR(c->server.claim.class, "a");
}

static void a_domain_without_an_address_listens_everywhere(void)
{
    AUTO_CONF struct conf *c = parse("domain: example.edu\n");
    const char *addresses[2];

    T_EQ(conf_listen_addresses(c, addresses), 2);
    T_STR(addresses[0], "0.0.0.0");
    T_STR(addresses[1], "::");
}

static void maps_of_which_all_is_commented_out_are_maps(void)
{
    AUTO_CONF struct conf *c =
        parse("listen:\nstorage:\nserver:\n  claim:\n  extraClaims:\n  # - {}\n  parameters:\n"
              "  # work_mem: 8MB\nmachine: ~\nvolumes:\n");

    T_EQ(c->storage_n, 1);
    T_EQ(c->server.parameter_n, 0);
}

static void quoted_text_stays_text_and_numbers_may_be_text(void)
{
    AUTO_CONF struct conf *c = parse("hub: 'null'\r\nserver:\r\n  limits: {cpu: \"0.5\"}\r\n"
                                     "  parameters: {a: 1e3, b: \"~\", c: 'it''s', d: 007}\r\n");

    T_STR(c->hub, "null");
    T_EQ(c->server.limits.cpu_milli, 500);
    T_STR(c->server.parameters[0].value, "1e3");
    T_STR(c->server.parameters[1].value, "~");
    T_STR(c->server.parameters[2].value, "it's");
    T_STR(c->server.parameters[3].value, "007");
}

static void a_network_holds_its_addresses_and_their_mapped_form(void)
{
    AUTO_CONF struct conf *c = parse("plaintext: [10.64.0.0/10, \"fd00::/9\", 0.0.0.0/0]\n");
    const struct conf_network *n = c->plaintext.at;
    static const struct {
        int net, family;
        const char *address;
        bool held;
    } cases[] = {{0, AF_INET, "10.64.0.0", true},
                 {0, AF_INET, "10.127.255.255", true},
                 {0, AF_INET, "10.128.0.0", false},
                 {0, AF_INET, "10.63.255.255", false},
                 {0, AF_INET6, "::ffff:10.64.1.1", true},
                 {0, AF_INET6, "::10.64.1.1", false},
                 {1, AF_INET6, "fd7f::1", true},
                 {1, AF_INET6, "fd80::1", false},
                 {1, AF_INET, "253.0.0.1", false},
                 {2, AF_INET, "255.255.255.255", true},
                 {2, AF_INET6, "::1", false}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t address[16] = {0};

        T_EQ(inet_pton(cases[i].family, cases[i].address, address), 1);
        T_EQ(conf_network_holds(&n[cases[i].net], cases[i].family, address), cases[i].held);
    }
}

static void placeholders_are_replaced_once(void)
{
    char at[16];

    T_OK(conf_expand(at, sizeof(at), "{hub}-{username}!", "{hub}", "h"));
    T_STR(at, "h-{hub}!");
    T_OK(conf_expand(at, sizeof(at), "{username}", "123456789012345", ""));
    T_STR(at, "123456789012345");
    T_OK(!conf_expand(at, sizeof(at), "{username}", "1234567890123456", ""));
    T_STR(at, "");
    T_OK(conf_expand(at, sizeof(at), "", "u", "h"));
    T_STR(at, "");
}

static void note(void *arg, const struct conf_item *was, const struct conf_item *now)
{
    struct buf *b = arg;

    T_OK(buf_printf(b, "%s: %s -> %s;", was == NULL ? now->path : was->path,
                    was == NULL ? "" : was->value, now == NULL ? "" : now->value));
}

static void changes_are_of_values_not_of_writing(void)
{
    AUTO_CONF struct conf *was =
        parse("server: {claim: {capacity: 1Gi}, parameters: {a: 1, b: 2}}\n"
              "undo: 48h\n");
    AUTO_CONF struct conf *now =
        parse("storage: {ssd: , standard: }\nundo: 2d\n"
              "plaintext: [127.0.0.0/8]\n"
              "server: {claim: {capacity: 1024Mi}, parameters: {c: 3, a: 1}}\n");
    struct buf b;

    buf_init(&b, 4096);
    T_EQ(conf_changes(was, now, note, &b), 6);
    T_OK(buf_put_str(&b, ""));
    T_STR((char *)buf_data(&b), "server.claim.class: standard -> ssd;server.parameters.b: 2 -> ;"
                                "plaintext: [127.0.0.0/8, \"::1/128\"] -> [127.0.0.0/8];"
                                "storage.ssd.driver:  -> image;storage.ssd.pool:  -> \"\";"
                                "server.parameters.c:  -> 3;");
    buf_done(&b);
}

static void changes_of_claims_and_volumes_go_by_their_names(void)
{
    AUTO_CONF struct conf *was =
        parse("server: {extraClaims: [{name: \"a-{username}\", mount: /a, capacity: 1Gi},\n"
              "                       {name: \"b-{username}\", mount: /b}]}\n"
              "volumes: [{name: v, capacity: 1Gi, accessModes: [RWO], hostPath: /v,\n"
              "           claimRef: {hub: hub, name: x}},\n"
              "          {name: u, capacity: 1Gi, accessModes: [RWO], hostPath: /u}]\n");
    AUTO_CONF struct conf *now = parse(
        "storage: {standard: }\n"
        "server: {claim: {class: standard}, extraClaims: [{name: \"b-{username}\", mount: /c},\n"
        "  {name: \"a-{username}\", class: standard, mount: /a, accessModes: [ReadWriteOnce],\n"
        "   capacity: 1024Mi}]}\n"
        "volumes: [{name: v, capacity: 1024Mi, accessModes: [ReadWriteOnce, RWX], hostPath: /v,\n"
        "           claimRef: {name: x}}]\n");
    struct buf b;

    buf_init(&b, 4096);
    T_EQ(conf_changes(was, now, note, &b), 6);
    T_OK(buf_put_str(&b, ""));
    T_STR((char *)buf_data(&b), "server.extraClaims.b-{username}.mount: /b -> /c;"
                                "volumes.v.accessModes: [ReadWriteOnce] -> "
                                "[ReadWriteOnce, ReadWriteMany];"
                                "volumes.u.capacity: 1Gi -> ;"
                                "volumes.u.accessModes: [ReadWriteOnce] -> ;"
                                "volumes.u.hostPath: /u -> ;volumes.u.class: \"\" -> ;");
    buf_done(&b);
}

static void none(void *arg, const struct conf_item *was, const struct conf_item *now)
{
    (void)arg;
    T_STR(was == NULL ? now->path : was->path, "no change");
}

static void the_first_class_written_out_is_no_change(void)
{
    AUTO_CONF struct conf *was = parse("storage: {ssd: }\n");
    AUTO_CONF struct conf *now = parse("storage: {ssd: }\nserver: {claim: {class: ssd}}\n");

    T_EQ(conf_changes(was, now, none, NULL), 0);
}

static void the_default_file_is_an_empty_hub_and_without_its_hashes_the_defaults(void)
{
    AUTO_CONF struct conf *nothing = parse(""), *commented = NULL, *plain = NULL;
    AUTO_FREE char *text = NULL;
    struct buf b;
    char *to;

    buf_init(&b, 1 << 16);
    T_OK(conf_default_text(&b) && buf_put_str(&b, ""));
    text = mem_copy((char *)buf_data(&b));
    buf_done(&b);
    commented = parse(text);
    T_EQ(conf_changes(nothing, commented, none, NULL), 0);
    for (size_t i = 0; i < commented->item_n; i++)
        T_STR(commented->items[i].origin, "default");

    to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (from == text || from[-1] == '\n') {
            T_EQ(*from, '#');
            continue;
        }
        *to++ = *from;
    }
    *to = '\0';
    plain = parse(text);
    T_EQ(conf_changes(nothing, plain, none, NULL), 0);
    for (size_t i = 0; i < plain->item_n; i++)
        T_OK(str_starts(plain->items[i].origin, "hub.yaml:"));
    for (size_t i = 0; i < conf_row_n; i++)
        T_OK(str_is(conf_rows[i].path, "server.parameters.*") ||
             strstr(text, conf_rows[i].help) != NULL);
}

static void the_default_file_is_written_once_and_loads(void)
{
    char dir[] = "/tmp/test-conf-XXXXXX";
    AUTO_FREE char *path = NULL, *missing = NULL, *text = NULL;
    AUTO_CONF struct conf *c = NULL;
    struct err e;
    struct stat st;

    T_OK(mkdtemp(dir) != NULL);
    path = mem_printf("%s/hub.yaml", dir);
    missing = mem_printf("%s/none.yaml", dir);
    T_EQ(conf_write_default(path, &e), 1);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 07777, 0644);
    T_EQ(conf_load(path, &c, &problems, &e), 0);

    T_EQ(fd_write_file(AT_FDCWD, path, 0600, (uid_t)-1, (gid_t)-1, "hub: 1\n", 7, &e), 0);
    T_EQ(conf_write_default(path, &e), 0);
    T_EQ(fd_read_file(AT_FDCWD, path, 100, &text, &e), 7);
    T_EQ(conf_load(path, &c, &problems, &e), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_OK(str_starts(problems.at[0].text, "hub.yaml:1:6: hub: \"1\" is not a name"));

    T_EQ(truncate(path, CONF_FILE_MAX + 1), 0);
    T_EQ(conf_load(path, &c, &problems, &e), -1);
    T_STR(e.msg, "hub.yaml:1:1: the file is larger than 1048576 bytes");
    T_EQ(conf_load(missing, &c, &problems, &e), -1);
    T_EQ(e.os_errno, ENOENT);
    T_EQ(problems.n, 0);
    T_EQ(unlink(path), 0);
    T_EQ(rmdir(dir), 0);
}

static void the_reference_names_every_key_with_its_default_and_help(void)
{
    AUTO_FREE char *text = NULL;
    struct err e;

    T_OK(fd_read_file(AT_FDCWD, DORM_DOCS "/hub-file.md", 1 << 20, &text, &e) > 0);
    for (size_t i = 0; text != NULL && i < conf_row_n; i++) {
        const struct conf_row *row = &conf_rows[i];
        bool plain =
            row->fallback == NULL || *row->fallback == '\0' || row->fallback == conf_required;
        const char *tick = plain ? "" : "`";
        AUTO_FREE char *line =
            row->fallback == NULL
                ? mem_printf("`%s`", row->path)
                : mem_printf("| `%s` | %s | %s%s%s | %s | %s |", row->path,
                             conf_type_noun(row->type), tick,
                             *row->fallback == '\0' ? "empty" : row->fallback, tick,
                             row->at_start_only ? "start" : "reload", row->help);

        if (strstr(text, line) == NULL && !(row->type == CONF_MAP && row->fallback == NULL))
            T_STR("missing in hub-file.md", line);
    }
}

static void the_example_of_the_reference_is_a_hub(void)
{
    AUTO_FREE char *text = NULL;
    AUTO_CONF struct conf *c = NULL;
    struct err e;
    char *start, *end;

    T_OK(fd_read_file(AT_FDCWD, DORM_DOCS "/hub-file.md", 1 << 20, &text, &e) > 0);
    start = text == NULL ? NULL : strstr(text, "```yaml\n");
    end = start == NULL ? NULL : strstr(start + 8, "```");
    T_OK(end != NULL);
    if (end != NULL) {
        *end = '\0';
        c = parse(start + 8);
        T_EQ(c->server.limits.cpu_milli, 500);
        T_EQ(c->volume_n, 1);
    }
}

int main(void)
{
    T_RUN(an_empty_file_is_a_hub_of_defaults);
    T_RUN(every_key_arrives_in_its_field);
    T_RUN(claims_and_volumes_arrive_in_the_order_of_the_file);
    T_RUN(every_row_of_the_schema_is_set_by_that_file);
    T_RUN(show_names_value_and_origin_in_the_order_of_the_schema);
    T_RUN(what_is_never_or_auto_is_no_time);
    T_RUN(a_setting_is_blamed_where_it_stands);
    T_RUN(a_claim_without_a_class_has_the_first_and_one_with_an_empty_class_none);
    T_RUN(a_class_shows_the_keys_of_its_driver);
    T_RUN(a_domain_without_an_address_listens_everywhere);
    T_RUN(maps_of_which_all_is_commented_out_are_maps);
    T_RUN(quoted_text_stays_text_and_numbers_may_be_text);
    T_RUN(a_network_holds_its_addresses_and_their_mapped_form);
    T_RUN(placeholders_are_replaced_once);
    T_RUN(changes_are_of_values_not_of_writing);
    T_RUN(changes_of_claims_and_volumes_go_by_their_names);
    T_RUN(the_first_class_written_out_is_no_change);
    T_RUN(the_default_file_is_an_empty_hub_and_without_its_hashes_the_defaults);
    T_RUN(the_default_file_is_written_once_and_loads);
    T_RUN(the_reference_names_every_key_with_its_default_and_help);
    T_RUN(the_example_of_the_reference_is_a_hub);
    return t_end();
}
