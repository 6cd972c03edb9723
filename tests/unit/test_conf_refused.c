#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "conf/conf.h"

#include "t.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct conf_problems problems;

static void refused_bytes(const char *text, size_t len, const char *want)
{
    struct conf *c = NULL;
    struct err e;

    T_EQ(conf_parse(text, len, "/etc/dormouse/hub.yaml", &c, &problems, &e), -1);
    T_OK(c == NULL);
    T_EQ(e.kind, ERR_CONFIG);
    T_EQ(problems.n, 1);
    T_STR(problems.at[0].text, want);
    T_STR(e.msg, want);
    conf_free(c);
}

struct refusal {
    const char *text, *want;
};

static void all_refused(const struct refusal *refusals, size_t n)
{
    for (size_t i = 0; i < n; i++)
        refused_bytes(refusals[i].text, strlen(refusals[i].text), refusals[i].want);
}

static void values_that_cannot_be_right_are_refused_with_their_place(void)
{
    static const struct refusal refusals[] = {
        {"\n\nserver:\n  claim:\n    capacity: 1gi\n",
         "hub.yaml:5:15: capacity: \"1gi\" is not a size; did you mean 1Gi?"},
        {"server: {claim: {capacity: 63Mi}}",
         "hub.yaml:1:28: capacity: \"63Mi\" is less than 128Mi"},
        {"server: {limits: {memory: 400m}}",
         "hub.yaml:1:27: memory: \"400m\" is not a size; did you mean 400Mi?"},
        {"server: {limits: {memory: 256X}}",
         "hub.yaml:1:27: memory: \"256X\" is not a size; write one like 512Mi or 10G"},
        {"server: {limits: {memory: 9999999Ti}}",
         "hub.yaml:1:27: memory: \"9999999Ti\" is too large"},
        {"server: {limits: {cpu: many}}",
         "hub.yaml:1:24: cpu: \"many\" is not a number of cores; write one like 2, 0.5 or 500m"},
        {"server: {limits: {cpu: 9m}}", "hub.yaml:1:24: cpu: \"9m\" is less than 10m"},
        {"server: {limits: {cpu: 1025}}", "hub.yaml:1:24: cpu: \"1025\" is more than 1024"},
        {"server: {limits: {pids: 19}}",
         "hub.yaml:1:25: pids: \"19\" is not between 20 and 4194304"},
        {"server: {limits: {pids: -1}}", "hub.yaml:1:25: pids: \"-1\" is not a whole number"},
        {"server: {limits: {pids: '20'}}",
         "hub.yaml:1:25: pids: \"20\" is text where a number is expected; remove the quotes"},
        {"server: {sleep: {after: 15}}",
         "hub.yaml:1:25: after: \"15\" has no unit; did you mean 15s or 15m?"},
        {"server: {sleep: {after: 0s}}", "hub.yaml:1:25: after: \"0s\" is less than 1s"},
        {"server: {sleep: {after: 366d}}", "hub.yaml:1:25: after: \"366d\" is more than 365d"},
        {"undo: 1w",
         "hub.yaml:1:7: undo: \"1w\" is not a duration; write one like 45s, 15m, 8h or 7d"},
        {"undo: 99999999999999d", "hub.yaml:1:7: undo: \"99999999999999d\" is too long"},
        {"hub: 7up",
         "hub.yaml:1:6: hub: \"7up\" is not a name: a letter, then a-z, 0-9 or -, at most 31 "
         "in all"},
        {"hub: \"a\\e[1m\"", "hub.yaml:1:6: a text with line breaks or control characters in it"},
        {"hub: \"\\u202eb\"",
         "hub.yaml:1:6: hub: \"\\xe2\\x80\\xaeb\" is not a name: a letter, then a-z, "
         "0-9 or -, at most 31 in all"},
        {"domain: a..b", "hub.yaml:1:9: domain: \"a..b\" is not a domain name"},
        {"domain: a.b.", "hub.yaml:1:9: domain: \"a.b.\" is not a domain name"},
        {"domain: -a.b", "hub.yaml:1:9: domain: \"-a.b\" is not a domain name"},
        {"domain: a_b", "hub.yaml:1:9: domain: \"a_b\" is not a domain name"},
        {"domain: 10.0.0.1",
         "hub.yaml:1:9: domain: \"10.0.0.1\" is an address, not a domain name; see listen.address"},
        {"domain: a.12",
         "hub.yaml:1:9: domain: \"a.12\" is not a domain name: its last part is a number"},
        {"listen: {postgres: 0}", "hub.yaml:1:20: postgres: \"0\" is not between 1 and 65535"},
        {"listen: {postgres: 65536}",
         "hub.yaml:1:20: postgres: \"65536\" is not between 1 and 65535"},
        {"listen: {address: localhost}",
         "hub.yaml:1:19: address: \"localhost\" is not an IP address"},
        {"storage: {a: {driver: img}}",
         "hub.yaml:1:23: driver: \"img\" is not a driver; use image, directory or nfs"},
        {"storage: {a: {pool: mnt}}", "hub.yaml:1:21: pool: \"mnt\" is not an absolute path"},
        {"storage: {a: {pool: /}}",
         "hub.yaml:1:21: pool: \"/\" is the root of the file system; give a "
         "directory of its own"},
        {"storage: {a: {pool: /a/..}}",
         "hub.yaml:1:21: pool: \"/a/..\" has a .. in it; write the path without"},
        {"storage: {A: {}}",
         "hub.yaml:1:11: storage: \"A\" is not the name of a class: a letter, then a-z, "
         "0-9 or -, at most 31"},
        {"server: {image: mysql}",
         "hub.yaml:1:17: image: \"mysql\" is not an image; use postgres, or "
         "postgres:15 for a version"},
        {"server: {image: \"postgres:15.x\"}",
         "hub.yaml:1:17: image: \"postgres:15.x\" is not an image; use "
         "postgres, or postgres:15 for a version"},
        {"server: {image: \"postgres:9.6\"}",
         "hub.yaml:1:17: image: \"postgres:9.6\" is not a version between 10 and 99"},
        {"server: {claim: {name: x}}",
         "hub.yaml:1:24: name: \"x\" does not have {username} in it, so that "
         "all users would share one"},
        {"server: {claim: {name: \"{username}{x}\"}}",
         "hub.yaml:1:24: name: \"{username}{x}\" has a placeholder other than {username} and "
         "{hub}"},
        {"server: {claim: {name: \"{username}/..\"}}",
         "hub.yaml:1:24: name: \"{username}/..\" is not a name: a-z, 0-9, -, _, . and "
         "placeholders"},
        {"server: {claim: {class: G!}}", "hub.yaml:1:25: class: \"G!\" is not the name of a class"},
        {"server: {claim: {class: sdd}}\nstorage: {ssd: {}}",
         "hub.yaml:1:25: class: \"sdd\" is not a class of storage; did you mean ssd?"},
        {"server: {claim: {class: gold}}",
         "hub.yaml:1:25: class: \"gold\" is not a class of storage; the first is standard"},
        {"server: {superuser: \"{hub}\"}",
         "hub.yaml:1:21: superuser: \"{hub}\" is neither {username} nor a name of a-z, 0-9 and _"},
        {"server: {superuser: pg_me}",
         "hub.yaml:1:21: superuser: \"pg_me\" is a name that PostgreSQL keeps for itself"},
        {"machine: {pool: 0%}", "hub.yaml:1:17: pool: \"0%\" is not between 1% and 100%"},
        {"machine: {pool: 1000%}", "hub.yaml:1:17: pool: \"1000%\" is not between 1% and 100%"},
        {"machine: {pool: half}",
         "hub.yaml:1:17: pool: \"half\" is not a size; write one like 512Mi or 10G"},
        {"machine: {uids: 5}",
         "hub.yaml:1:17: uids: \"5\" is not a range; write one like 200000-265535"},
        {"machine: {uids: 2000-x}",
         "hub.yaml:1:17: uids: \"2000-x\" is not a range; write one like 200000-265535"},
        {"machine: {uids: 999-9999}",
         "hub.yaml:1:17: uids: \"999-9999\" starts below 1000, where the machine's own users are"},
        {"machine: {uids: 2000-2254}", "hub.yaml:1:17: uids: \"2000-2254\" is fewer than 256 ids"},
        {"machine: {uids: 2000-1000}", "hub.yaml:1:17: uids: \"2000-1000\" ends before it starts"},
        {"machine: {uids: 2000-4294967295}",
         "hub.yaml:1:17: uids: \"2000-4294967295\" ends above 4294967294, the largest id there is"},
        {"plaintext: [10.0.0.1]",
         "hub.yaml:1:13: plaintext: \"10.0.0.1\" is not a network; did you mean 10.0.0.1/32?"},
        {"plaintext: [10.0.0.1/8]",
         "hub.yaml:1:13: plaintext: \"10.0.0.1/8\" has bits set behind its "
         "prefix; did you mean 10.0.0.0/8?"},
        {"plaintext: [10.0.0.0/33]",
         "hub.yaml:1:13: plaintext: \"10.0.0.0/33\" has a prefix that is not between 0 and 32"},
        {"plaintext:\n- all\n", "hub.yaml:2:3: plaintext: \"all\" is not a network; write one like "
                                "10.0.0.0/8 or fd00::/8"},
    };

    all_refused(refusals, COUNT(refusals));
}

static void what_others_than_itself_make_wrong_is_refused_at_its_line(void)
{
    static const struct refusal refusals[] = {
        {"server:\n  limits: {memory: 256Mi}\n  requests: {memory: 257Mi}\n",
         "hub.yaml:3:22: memory: \"257Mi\" is above limits.memory, 256Mi: a server cannot be given "
         "it"},
        {"server: {requests: {memory: 1Gi}}", /* the limit's default */
         "hub.yaml:1:29: memory: \"1Gi\" is above limits.memory, 512Mi: a server cannot be given "
         "it"},
        {"server: {limits: {cpu: 0.5}, requests: {cpu: 501m}}",
         "hub.yaml:1:46: cpu: \"501m\" is above limits.cpu, 500m: a server cannot be given it"},
        {"server: {limits: {memory: 1Gi}, requests: {memory: 256Mi}}\nmachine: {memory: 255Mi}",
         "hub.yaml:2:19: memory: \"255Mi\" is less than requests.memory, 256Mi: no server would "
         "ever start"},
        {"machine: {memory: 100Mi}", "hub.yaml:1:19: memory: \"100Mi\" is less than 128Mi"},
        {"machine: {memory: 101%}", "hub.yaml:1:19: memory: \"101%\" is not between 1% and 100%"},
        {"machine: {memory: 0%}", "hub.yaml:1:19: memory: \"0%\" is not between 1% and 100%"},
        {"machine: {memory: 4gb}",
         "hub.yaml:1:19: memory: \"4gb\" is not a size; did you mean 4Gi?"},
        {"server: {requests: {memory: 400m}}",
         "hub.yaml:1:29: memory: \"400m\" is not a size; did you mean 400Mi?"},
        {"server: {requests: {memory: 1023Ki}}",
         "hub.yaml:1:29: memory: \"1023Ki\" is less than 1Mi"},
        {"server: {requests: {memory: -64Mi}}",
         "hub.yaml:1:29: memory: \"-64Mi\" is not a size; write one like 512Mi or 10G"},
        {"server: {requests: {cpu: 0}}", "hub.yaml:1:26: cpu: \"0\" is no core at all"},
        {"server: {requests: {cpus: 1}}", "hub.yaml:1:21: cpus: unknown key; did you mean cpu?"},
        {"server: {sleep: {nap: 5m, connected: 5m}}",
         "hub.yaml:1:23: nap: \"5m\" is not shorter than sleep.connected, 5m: it would be stopped "
         "first; write never if it is not to nap"},
        {"server: {sleep: {nap: 9h}}",
         "hub.yaml:1:23: nap: \"9h\" is not shorter than sleep.connected, 8h: it would be stopped "
         "first; write never if it is not to nap"},
        {"server: {sleep: {nap: 500}}",
         "hub.yaml:1:23: nap: \"500\" has no unit; did you mean 500s or 500m?"},
        {"server: {sleep: {connected: auto}}",
         "hub.yaml:1:29: connected: \"auto\" is not a duration; write one like 45s, 15m, 8h or "
         "7d"},
        /* one mistake is told once: what a wrong key was meant to be is not known */
        {"server: {limits: {memory: 4g}, requests: {memory: 1Gi}}",
         "hub.yaml:1:27: memory: \"4g\" is not a size; did you mean 4Gi?"},
        {"server: {sleep: {nap: 9h, connected: 1w}}",
         "hub.yaml:1:38: connected: \"1w\" is not a duration; write one like 45s, 15m, 8h or 7d"},
    };

    all_refused(refusals, COUNT(refusals));
}

static void settings_that_dormouse_sets_itself_are_refused(void)
{
    static const char *const ours[] = {"data_directory",
                                       "hba_file",
                                       "ident_file",
                                       "external_pid_file",
                                       "unix_socket_directories",
                                       "unix_socket_permissions",
                                       "listen_addresses",
                                       "port",
                                       "logging_collector",
                                       "log_destination",
                                       "ssl",
                                       "cluster_name",
                                       "config_file"};
    static const struct refusal refusals[] = {
        {"server: {parameters: {include_dir: x}}",
         "hub.yaml:1:23: parameters: \"include_dir\" is a directive, not a PostgreSQL setting"},
        {"server: {parameters: {Work_Mem: 8MB}}",
         "hub.yaml:1:23: parameters: \"Work_Mem\" is not the name "
         "of a PostgreSQL setting; did you mean work_mem?"},
        {"server: {parameters: {a b: 1}}",
         "hub.yaml:1:23: parameters: \"a b\" is not the name of a PostgreSQL setting"},
        {"server: {parameters: {work_mem: {}}}",
         "hub.yaml:1:33: work_mem: a map where a value is expected"},
        {"server:\n  parameters:\n    work_mem:\n",
         "hub.yaml:3:5: work_mem: has no value; give a value, or remove it"},
    };

    for (size_t i = 0; i < COUNT(ours); i++) {
        AUTO_FREE char *text = mem_printf("server:\n  parameters:\n    %s: x\n", ours[i]);
        AUTO_FREE char *want = mem_printf(
            "hub.yaml:3:5: parameters: \"%s\" cannot be set here: Dormouse sets it", ours[i]);

        refused_bytes(text, strlen(text), want);
    }
    all_refused(refusals, COUNT(refusals));
}

static void unknown_and_repeated_keys_are_refused(void)
{
    static const struct refusal refusals[] = {
        {"listen:\n  adress: x\n", "hub.yaml:2:3: adress: unknown key; did you mean address?"},
        {"backups: {}", "hub.yaml:1:1: backups: unknown key; did you mean backup?"},
        {"kubernetes: {}", "hub.yaml:1:1: kubernetes: unknown key"},
        {"claim: {}", "hub.yaml:1:1: claim: unknown key"},
        {"\"*\": {}", "hub.yaml:1:1: *: unknown key"},
        {"listen.postgres: 1", "hub.yaml:1:1: listen.postgres: unknown key"},
        {"\"\": 1", "hub.yaml:1:1: : unknown key"},
        {"undo: 1d\nhub: a\nundo: 2d\n",
         "hub.yaml:3:1: undo: is there twice; the first is on line 1"},
        {"storage: {a: {}, a: {}}", "hub.yaml:1:18: a: is there twice; the first is on line 1"},
        {"server: {parameters: {a: 1, \"a\": 2}}",
         "hub.yaml:1:29: a: is there twice; the first is on line 1"},
        {"<<: {hub: a}", "hub.yaml:1:1: <<: merge keys are not supported; write the keys out"},
    };

    all_refused(refusals, COUNT(refusals));
}

static void the_wrong_kind_of_value_is_refused(void)
{
    static const struct refusal refusals[] = {
        {"- a\n", "hub.yaml:1:1: a list where keys are expected"},
        {"a\n", "hub.yaml:1:1: a text where keys are expected"},
        {"server: small", "hub.yaml:1:9: server: \"small\" is text where a map is expected"},
        {"server: []", "hub.yaml:1:9: server: a list where a map is expected"},
        {"storage: [a]", "hub.yaml:1:10: storage: a list where a map of classes is expected"},
        {"storage: {a: b}", "hub.yaml:1:14: a: \"b\" is text where a map is expected"},
        {"hub: {}", "hub.yaml:1:6: hub: a map where a name is expected"},
        {"hub: [a]", "hub.yaml:1:6: hub: a list where a name is expected"},
        {"hub:\nundo: 1d\n", "hub.yaml:1:1: hub: has no value; give a name, or remove it"},
        {"undo: null", "hub.yaml:1:1: undo: has no value; give a duration, or remove it"},
        {"plaintext:",
         "hub.yaml:1:1: plaintext: has no value; give a list of networks, or remove it"},
        {"plaintext: 10.0.0.0/8",
         "hub.yaml:1:12: plaintext: \"10.0.0.0/8\" is text where a list of "
         "networks is expected; put it in [ ]"},
        {"plaintext: [[]]",
         "hub.yaml:1:13: plaintext: a list where a list of networks is expected"},
        {"[a]: b", "hub.yaml:1:1: a key must be a word"},
        {"? {a: b}\n: c\n", "hub.yaml:1:3: a key must be a word"},
    };

    all_refused(refusals, COUNT(refusals));
}

static void yaml_that_no_hub_file_needs_is_refused(void)
{
    static const struct refusal refusals[] = {
        {"server:\n\tlimits: {}\n", "hub.yaml:2:1: a tab; use spaces"},
        {"hub: a # x\ty\n", "hub.yaml:1:11: a tab; use spaces"},
        {"hub: &a b", "hub.yaml:1:6: anchors (&) are not supported"},
        {"hub: *a", "hub.yaml:1:6: aliases (*) are not supported; write the value out"},
        {"hub: !!str a", "hub.yaml:1:6: tags (!) are not supported"},
        {"hub: !x a", "hub.yaml:1:6: tags (!) are not supported"},
        {"hub: a\n---\nhub: b\n",
         "hub.yaml:2:1: a second document begins; a hub file has only one"},
        {"%YAML 1.1\n---\nhub: a\n",
         "hub.yaml:1:1: YAML directives are not supported; remove this line"},
        {"hub: a\x01", "hub.yaml:1:7: a control character"},
        {"hub: a\rundo: 1d\n", "hub.yaml:1:7: a control character"},
        {"# \xc3\xbc\nhub: \xc3\xbc\xff\n", "hub.yaml:2:7: this is not UTF-8 text"},
        {"hub: |\n  a\n", "hub.yaml:2:1: a text with line breaks or control characters in it"},
        {"hub: \"a\\0b\"", "hub.yaml:1:6: a text with line breaks or control characters in it"},
        {"a: [1, 2\n", "hub.yaml:2:1: flow sequence without a closing bracket"},
        {"hub: a: b\n", "hub.yaml:1:7: invalid nested block mapping on the same line"},
        {"x: [[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]", "hub.yaml:1:19: nested more than 16 deep"},
    };

    all_refused(refusals, COUNT(refusals));
    refused_bytes("hub: a\nundo\0: 1d\n", 17, "hub.yaml:2:5: a control character");
}

static void what_is_too_large_is_refused_at_once(void)
{
    AUTO_FREE char *big = mem_new(CONF_FILE_MAX + 2);

    memset(big, '#', CONF_FILE_MAX + 1);
    refused_bytes(big, CONF_FILE_MAX + 1, "hub.yaml:1:1: the file is larger than 1048576 bytes");
    memcpy(big, "x: [", 4);
    for (size_t i = 4; i + 1 < CONF_FILE_MAX; i += 2)
        memcpy(big + i, "a,", 2);
    refused_bytes(big, CONF_FILE_MAX, "hub.yaml:1:19997: more than 10000 keys and values");
    memset(big, '[', CONF_FILE_MAX);
    refused_bytes(big, CONF_FILE_MAX, "hub.yaml:1:17: nested more than 16 deep");
}

static void refused_many(const char *first, const char *line, int n, const char *want)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    T_OK(buf_printf(&b, "%s", first));
    for (int i = 0; i < n; i++)
        T_OK(buf_printf(&b, "%s%d%s", line, i, first[0] == 'p' ? "/32\n" : ": x\n"));
    refused_bytes((const char *)buf_data(&b), buf_len(&b), want);
    buf_done(&b);
}

static void maps_and_lists_have_a_maximum(void)
{
    AUTO_FREE char *text = mem_new(2000);

    refused_many("plaintext:\n", "- 10.0.0.", 65,
                 "hub.yaml:66:3: plaintext: more than 64 networks");
    refused_many("server:\n  parameters:\n", "    a", 257,
                 "hub.yaml:259:5: parameters: more than 256 settings");
    (void)snprintf(text, 2000, "server: {parameters: {a: %01025d}}", 0);
    refused_bytes(text, strlen(text), "hub.yaml:1:26: a: longer than 1024 bytes");
    (void)snprintf(text, 2000, "storage:\n");
    for (int i = 0; i < 33; i++)
        (void)snprintf(text + strlen(text), 2000 - strlen(text), "  c%d:\n", i);
    refused_bytes(text, strlen(text), "hub.yaml:34:3: storage: more than 32 classes");
}

static void all_problems_are_told_in_the_order_of_the_file(void)
{
    static const char text[] = "server: {claim: {class: gold}}\nhub: 1\nundo: *x\nhup: a\n";
    struct conf *c = NULL;
    struct err e;

    T_EQ(conf_parse(text, strlen(text), "h", &c, &problems, &e), -1);
    T_EQ(problems.n, 4);
    T_EQ(problems.at[0].line, 1);
    T_EQ(problems.at[0].column, 25);
    T_EQ(problems.at[1].line, 2);
    T_EQ(problems.at[2].line, 3);
    T_STR(problems.at[3].text, "h:4:1: hup: unknown key; did you mean hub?");
    T_STR(e.hint, "h has 3 more problems");
    T_OK(!problems.full);
    T_EQ(conf_parse(text, strlen(text), "h", &c, NULL, &e), -1);
}

static void at_most_twenty_problems_are_told(void)
{
    struct conf *c = NULL;
    struct err e;
    struct buf b;

    buf_init(&b, 1 << 16);
    for (int i = 0; i < 100; i++)
        T_OK(buf_printf(&b, "k%d: 1\n", i));
    T_EQ(conf_parse((const char *)buf_data(&b), buf_len(&b), "h", &c, &problems, &e), -1);
    T_EQ(problems.n, 20);
    T_OK(problems.full);
    T_STR(e.hint, "h has at least 19 more problems");
    buf_done(&b);
}

int main(void)
{
    T_RUN(values_that_cannot_be_right_are_refused_with_their_place);
    T_RUN(what_others_than_itself_make_wrong_is_refused_at_its_line);
    T_RUN(settings_that_dormouse_sets_itself_are_refused);
    T_RUN(unknown_and_repeated_keys_are_refused);
    T_RUN(the_wrong_kind_of_value_is_refused);
    T_RUN(yaml_that_no_hub_file_needs_is_refused);
    T_RUN(what_is_too_large_is_refused_at_once);
    T_RUN(maps_and_lists_have_a_maximum);
    T_RUN(all_problems_are_told_in_the_order_of_the_file);
    T_RUN(at_most_twenty_problems_are_told);
    return t_end();
}
