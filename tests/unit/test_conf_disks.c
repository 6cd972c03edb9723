#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "conf/conf-int.h"
#include "conf/conf.h"

#include "t.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct conf_problems problems;

static void refused(const char *text, const char *want)
{
    struct conf *c = NULL;
    struct err e;

    T_EQ(conf_parse(text, strlen(text), "h", &c, &problems, &e), -1);
    T_EQ(problems.n, 1);
    T_STR(problems.n == 0 ? "nothing" : problems.at[0].text, want);
    conf_free(c);
}

static bool taken(const char *text)
{
    struct conf *c = NULL;
    struct err e;
    bool ok = conf_parse(text, strlen(text), "h", &c, &problems, &e) == 0;

    if (!ok)
        T_STR(e.msg, "no error");
    conf_free(c);
    return ok;
}

struct refusal {
    const char *text, *want;
};

static void all_refused(const struct refusal *refusals, size_t n)
{
    for (size_t i = 0; i < n; i++)
        refused(refusals[i].text, refusals[i].want);
}

static void a_class_has_the_keys_of_its_driver_and_no_others(void)
{
    static const struct refusal refusals[] = {
        {"storage:\n  a:\n    driver: nfs\n    server: x\n    pool: /p\n    export: /e\n",
         "h:5:5: pool: is a key of driver image; this class has driver nfs"},
        {"storage: {a: {path: /p}}",
         "h:1:15: path: is a key of driver directory; this class has driver image"},
        {"storage: {a: {driver: directory, path: /p, export: /e}}",
         "h:1:44: export: is a key of driver nfs; this class has driver directory"},
        {"storage: {a: {driver: image, options: hard}}",
         "h:1:30: options: is a key of driver nfs; this class has driver image"},
        {"storage: {a: {driver: directory}}",
         "h:1:11: a: driver directory needs path: an absolute path"},
        {"storage: {a: {driver: directory, path: ''}}",
         "h:1:34: a: driver directory needs path: an absolute path"},
        {"storage: {a: {driver: nfs, export: /e}}", "h:1:11: a: driver nfs needs server: a host"},
        {"storage: {a: {driver: nfs, server: s}}",
         "h:1:11: a: driver nfs needs export: an absolute path"},
        {"storage: {a: {driver: directory, path: p}}",
         "h:1:40: path: \"p\" is not an absolute path"},
        {"storage: {a: {driver: directory, path: /p/}}",
         "h:1:40: path: \"/p/\" has a //, a /. or a / at its end; write the path without"},
        {"storage: {a: {driver: directory, path: /}}",
         "h:1:40: path: \"/\" is the root of the file system; give a directory of its own"},
        {"storage: {a: {driver: nfs, server: a b, export: /e}}",
         "h:1:36: server: \"a b\" is neither a host name nor an IP address"},
        {"storage: {a: {driver: nfs, server: 10.0.0.999, export: /e}}",
         "h:1:36: server: \"10.0.0.999\" is neither a host name nor an IP address"},
        {"storage: {a: {driver: nfs, server: s, export: /e, options: 'a b'}}",
         "h:1:60: options: \"a b\" is not a list of mount options, as in vers=4.2,hard"},
        {"storage: {a: {driver: nsf, server: s}}",
         "h:1:23: driver: \"nsf\" is not a driver; use image, directory or nfs"},
    };

    all_refused(refusals, COUNT(refusals));
    T_OK(taken("storage: {a: {driver: nfs, server: \"fd00::1\", export: /}}"));
    T_OK(taken("storage: {a: {export: /e, server: nas-1, driver: nfs}}"));
}

static void a_server_s_own_claim_is_for_one_server(void)
{
    static const struct refusal refusals[] = {
        {"server: {claim: {accessModes: [ReadWriteMany]}}",
         "h:1:32: accessModes: \"ReadWriteMany\" is not for a server's own data: a database has "
         "one postmaster; use ReadWriteOnce or ReadWriteOncePod"},
        {"server: {claim: {accessModes: [RWO, ROX]}}",
         "h:1:37: accessModes: \"ROX\" is not for a server's own data: a database has one "
         "postmaster; use ReadWriteOnce or ReadWriteOncePod"},
        {"server: {claim: {accessModes: []}}",
         "h:1:31: accessModes: an empty list; give an access mode, as in [ReadWriteOnce]"},
        {"server: {claim: {accessModes: ReadWriteOnce}}",
         "h:1:31: accessModes: \"ReadWriteOnce\" is text where a list of access modes is "
         "expected; put it in [ ]"},
        {"server: {claim: {accessModes: [readwriteonce]}}",
         "h:1:32: accessModes: \"readwriteonce\" is not an access mode; did you mean "
         "ReadWriteOnce?"},
        {"server: {claim: {accessModes: [rwop]}}",
         "h:1:32: accessModes: \"rwop\" is not an access mode; did you mean ReadWriteOncePod?"},
        {"server: {claim: {accessModes: [ReadWriteOnec]}}",
         "h:1:32: accessModes: \"ReadWriteOnec\" is not an access mode; did you mean "
         "ReadWriteOnce?"},
        {"server: {claim: {accessModes: [all]}}",
         "h:1:32: accessModes: \"all\" is not an access mode; use ReadWriteOnce, "
         "ReadWriteOncePod, ReadOnlyMany or ReadWriteMany"},
        {"server: {claim: {accessModes: {}}}",
         "h:1:31: accessModes: a map where a list of access modes is expected"},
        {"server: {claim: {accessModes: [{}]}}",
         "h:1:32: accessModes: a map where a list of access modes is expected"},
        {"server: {claim: {mount: /x}}", "h:1:18: mount: unknown key"},
        {"server: {lifecycle: forever}",
         "h:1:21: lifecycle: \"forever\" is not a lifecycle; use persistent or ephemeral"},
        {"server: {network: {out: all}}", "h:1:25: out: \"all\" cannot be allowed: in this version "
                                          "no server has a network; use none"},
        {"server: {network: {out: [\"db.example.edu:5432\"]}}",
         "h:1:25: out: a list where none, until lists can be allowed is expected"},
        {"server: {network: none}", "h:1:19: network: \"none\" is text where a map is expected"},
        {"server: {snapshots: {every: 1}}",
         "h:1:29: every: \"1\" has no unit; did you mean 1s or 1m?"},
        {"server: {snapshots: {keep: 0}}", "h:1:28: keep: \"0\" is not between 1 and 1000"},
    };

    all_refused(refusals, COUNT(refusals));
    T_OK(taken("server: {claim: {accessModes: [RWO, RWOP]}}"));
}

#define EXTRA "server:\n  extraClaims:\n"

static void an_extra_claim_says_what_it_is_and_where(void)
{
    static const struct refusal refusals[] = {
        {"server: {extraClaims: {}}",
         "h:1:23: extraClaims: a map where a list of claims is expected"},
        {"server: {extraClaims: x}",
         "h:1:23: extraClaims: \"x\" is text where a list of claims is expected"},
        {EXTRA "  - x\n", "h:3:5: extraClaims: \"x\" is text where a map is expected"},
        {EXTRA "  - [x]\n", "h:3:5: extraClaims: a list where a map is expected"},
        {EXTRA "  - ~\n  - {name: \"{username}\", mount: /a}\n",
         "h:3:5: extraClaims: an empty element where a map is expected"},
        {EXTRA "  - {name: \"{username}\"}\n",
         "h:3:5: extraClaims: has no mount; give an absolute path"},
        {EXTRA "  - {mount: /a}\n",
         "h:3:5: extraClaims: has no name; give a name with placeholders"},
        {EXTRA "  - name: \"{username}\"\n    mount: /a\n    capacity: 1gi\n",
         "h:5:15: capacity: \"1gi\" is not a size; did you mean 1Gi?"},
        {EXTRA "  - {name: \"{username}\", mount: /a, size: 1Gi}\n", "h:3:37: size: unknown key"},
        {EXTRA "  - {name: \"{username}\", mount: /a, mount: /b}\n",
         "h:3:37: mount: is there twice; the first is on line 3"},
        {EXTRA "  - {name: \"\", mount: /a}\n",
         "h:3:12: name: \"\" is not a name: a-z, 0-9, -, _, . and placeholders"},
        {EXTRA "  - {name: \"{username}\", mount: /a, class: sdd}\nstorage: {ssd: }\n",
         "h:3:44: class: \"sdd\" is not a class of storage; did you mean ssd?"},
        {EXTRA "  - {name: course, mount: /a}\n",
         "h:3:12: name: \"course\" has no {username} in it, so that all servers share it: "
         "accessModes must be [ReadWriteMany] or [ReadOnlyMany]"},
        {EXTRA "  - {name: \"{hub}-x\", mount: /a, accessModes: [RWO, RWOP]}\n",
         "h:3:12: name: \"{hub}-x\" has no {username} in it, so that all servers share it: "
         "accessModes must be [ReadWriteMany] or [ReadOnlyMany]"},
        {EXTRA "  - {name: \"postgres-{username}\", mount: /a}\n",
         "h:3:12: name: \"postgres-{username}\" is the name of the server's own claim"},
        {EXTRA "  - {name: \"{username}\", mount: /a}\n  - {name: \"{username}\", mount: /b}\n",
         "h:4:12: name: \"{username}\" is the name of another claim above"},
        {EXTRA "  - {name: \"a{username}\", mount: /a/b}\n  - {name: \"b{username}\", mount: /a}\n",
         "h:4:34: mount: \"/a\" and \"/a/b\" of another claim are one, or in one another"},
        {EXTRA "  - {name: \"a{username}\", mount: /a}\n  - {name: \"b{username}\", mount: /a}\n",
         "h:4:34: mount: \"/a\" and \"/a\" of another claim are one, or in one another"},
        {EXTRA "  - {name: \"a{username}\", mount: \"/a\\u202eb\"}\n"
               "  - {name: \"b{username}\", mount: \"/a\\u202eb/c\"}\n",
         "h:4:34: mount: \"/a\\xe2\\x80\\xaeb/c\" and \"/a\\xe2\\x80\\xaeb\" of another claim are "
         "one, or in one another"},
    };

    all_refused(refusals, COUNT(refusals));
    T_OK(taken(EXTRA "  - {name: a, mount: /a, accessModes: [RWO, RWX]}\n"
                     "  - {name: b, mount: /ab, accessModes: [ROX]}\n"));
    T_OK(taken("server: {extraClaims: []}\n"));
}

static void a_mount_leaves_the_server_its_own_places(void)
{
    static const char *const theirs[] = {"/usr",
                                         "/usr/share",
                                         "/bin",
                                         "/sbin/x",
                                         "/lib",
                                         "/lib64/x",
                                         "/lib32",
                                         "/etc/dorm",
                                         "/proc/1",
                                         "/sys",
                                         "/dev",
                                         "/dev/shm/x",
                                         "/run",
                                         "/tmp/a",
                                         "/var",
                                         "/var/lib",
                                         "/var/lib/postgresql",
                                         "/var/lib/postgresql/data/x"};
    static const char *const free_ones[] = {"/scratch",  "/mnt/x",     "/home",  "/srv/a.b",
                                            "/usrlocal", "/var/lib/x", "/tmpfs", "/a/..b"};
    static const struct refusal refusals[] = {
        {"/", "is the root of the file system; give a directory of its own"},
        {"", "is not an absolute path"},
        {"scratch", "is not an absolute path"},
        {"/a/../usr", "has a .. in it; write the path without"},
        {"//usr", "has a //, a /. or a / at its end; write the path without"},
        {"/a/./b", "has a //, a /. or a / at its end; write the path without"},
        {"/a/.", "has a //, a /. or a / at its end; write the path without"},
        {"/a/", "has a //, a /. or a / at its end; write the path without"},
        {"/a:b", "has a : in it, which a place in a server cannot have"},
    };

    for (size_t i = 0; i < COUNT(theirs); i++) {
        AUTO_FREE char *text =
            mem_printf(EXTRA "  - {name: \"{username}\", mount: %s}\n", theirs[i]);
        AUTO_FREE char *want =
            mem_printf("h:3:33: mount: \"%s\" is in the way of what a server has in ", theirs[i]);
        struct conf *c = NULL;
        struct err e;

        T_EQ(conf_parse(text, strlen(text), "h", &c, &problems, &e), -1);
        T_OK(strncmp(e.msg, want, strlen(want)) == 0);
        conf_free(c);
    }
    for (size_t i = 0; i < COUNT(free_ones); i++) {
        AUTO_FREE char *text =
            mem_printf(EXTRA "  - {name: \"{username}\", mount: %s}\n", free_ones[i]);

        T_OK(taken(text));
    }
    for (size_t i = 0; i < COUNT(refusals); i++) {
        AUTO_FREE char *text =
            mem_printf(EXTRA "  - {name: \"{username}\", mount: \"%s\"}\n", refusals[i].text);
        AUTO_FREE char *want =
            mem_printf("h:3:33: mount: \"%s\" %s", refusals[i].text, refusals[i].want);

        refused(text, want);
    }
}

#define V "name: v, capacity: 1Gi, accessModes: [RWO], hostPath: /v"

static void a_volume_says_what_it_is_and_where(void)
{
    static const struct refusal refusals[] = {
        {"volumes: {}", "h:1:10: volumes: a map where a list of volumes is expected"},
        {"volumes: [{capacity: 1Gi, accessModes: [RWO], hostPath: /v}]",
         "h:1:11: volumes: has no name; give a name"},
        {"volumes: [{name: v, accessModes: [RWO], hostPath: /v}]",
         "h:1:11: volumes: has no capacity; give a size"},
        {"volumes: [{name: v, capacity: 1Gi, hostPath: /v}]",
         "h:1:11: volumes: has no accessModes; give a list of access modes"},
        {"volumes: [{name: v, capacity: 1Gi, accessModes: [RWO]}]",
         "h:1:11: volumes: has no hostPath; give an absolute path"},
        {"volumes: [{name: V, capacity: 1Gi, accessModes: [RWO], hostPath: /v}]",
         "h:1:18: name: \"V\" is not a name: a-z, 0-9, - and ., at most 127 in all"},
        {"volumes: [{name: .., capacity: 1Gi, accessModes: [RWO], hostPath: /v}]",
         "h:1:18: name: \"..\" is not a name: a-z, 0-9, - and ., at most 127 in all"},
        {"volumes: [{name: v, capacity: 1Gi, accessModes: [RWO], hostPath: v}]",
         "h:1:66: hostPath: \"v\" is not an absolute path"},
        {"volumes: [{name: v, capacity: 1Gi, accessModes: [RWO], hostPath: /}]",
         "h:1:66: hostPath: \"/\" is the root of the file system; give a directory of its own"},
        {"volumes: [{name: v, capacity: 1Gi, accessModes: [RWO], hostPath: /v//w}]",
         "h:1:66: hostPath: \"/v//w\" has a //, a /. or a / at its end; write the path without"},
        {"volumes: [{" V ", class: gold}]",
         "h:1:77: class: \"gold\" is not a class of storage; the first is standard"},
        {"volumes: [{" V ", claimRef: {}}]", "h:1:80: claimRef: has no name; give a name"},
        {"volumes: [{" V ", claimRef: {hub: h}}]", "h:1:80: claimRef: has no name; give a name"},
        {"volumes: [{" V ", claimRef: {name: \"postgres-{username}\"}}]",
         "h:1:87: name: \"postgres-{username}\" has a placeholder in it; give the name of one"},
        {"volumes: [{" V ", claimRef: {namespace: h, name: x}}]", "h:1:81: namespace: unknown key"},
        {"volumes:\n- {" V "}\n- {name: v, capacity: 1Gi, accessModes: [RWO], hostPath: /w}\n",
         "h:3:10: name: \"v\" is the name of another volume above"},
        {"volumes:\n- {" V "}\n- {name: w, capacity: 1Gi, accessModes: [RWO], hostPath: /v/w}\n",
         "h:3:58: hostPath: \"/v/w\" and \"/v\" of another volume are one, or in one another"},
    };

    all_refused(refusals, COUNT(refusals));
    T_OK(taken("volumes: [{" V ", claimRef: }]"));
    T_OK(taken("volumes: [{" V ", claimRef: {hub: other, name: a_b}, class: ''}]"));
}

static void a_backup_has_a_time_and_a_place(void)
{
    static const struct refusal refusals[] = {
        {"backup: {schedule: \"03:00\"}", "h:1:20: schedule: \"03:00\" has no place to write to; "
                                          "set backup.target to a directory"},
        {"backup: {schedule: \"3:00\", target: /b}",
         "h:1:20: schedule: \"3:00\" is not a time of day; did you mean \"03:00\"?"},
        {"backup: {schedule: \"3:61\", target: /b}",
         "h:1:20: schedule: \"3:61\" is not between 00:00 and 23:59"},
        {"backup: {schedule: \"24:00\", target: /b}",
         "h:1:20: schedule: \"24:00\" is not between 00:00 and 23:59"},
        {"backup: {schedule: \"03:60\", target: /b}",
         "h:1:20: schedule: \"03:60\" is not between 00:00 and 23:59"},
        {"backup: {schedule: daily, target: /b}",
         "h:1:20: schedule: \"daily\" is not a time of day; write one like \"03:00\", or never"},
        {"backup: {schedule: \"0a:00\", target: /b}",
         "h:1:20: schedule: \"0a:00\" is not a time of day; write one like \"03:00\", or never"},
        {"backup: {target: b}", "h:1:18: target: \"b\" is not an absolute path"},
        {"backup: {keep: 1001}", "h:1:16: keep: \"1001\" is not between 1 and 1000"},
    };

    all_refused(refusals, COUNT(refusals));
    T_OK(taken("backup: {schedule: never}"));
    T_OK(taken("backup: {schedule: \"23:59\", target: /b}"));
    T_OK(taken("backup: {target: /b}"));
}

static void lists_of_claims_and_volumes_have_a_maximum(void)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    T_OK(buf_printf(&b, "%s", EXTRA));
    for (int i = 0; i < CONF_CLAIMS_MAX + 1; i++)
        T_OK(buf_printf(&b, "  - {name: \"%d{username}\", mount: /m%d}\n", i, i));
    T_OK(buf_put_str(&b, ""));
    refused((const char *)buf_data(&b), "h:19:5: extraClaims: more than 16 claims");
    buf_done(&b);

    buf_init(&b, 1 << 16);
    T_OK(buf_printf(&b, "volumes:\n"));
    for (int i = 0; i < CONF_VOLUMES_MAX + 1; i++)
        T_OK(buf_printf(&b, "- {name: v%d, capacity: 1Gi, accessModes: [RWO], hostPath: /v/v%d}\n",
                        i, i));
    T_OK(buf_put_str(&b, ""));
    refused((const char *)buf_data(&b), "h:258:3: volumes: more than 256 volumes");
    buf_done(&b);
}

static void the_places_of_elements_stay_right_behind_a_broken_one(void)
{
    static const char text[] = EXTRA "  - x\n  - {name: course, mount: /a}\n  - *x\n"
                                     "  - {name: course, mount: /a, accessModes: [RWX]}\n";
    struct conf *c = NULL;
    struct err e;

    T_EQ(conf_parse(text, strlen(text), "h", &c, &problems, &e), -1);
    T_EQ(problems.n, 5);
    T_EQ(problems.at[0].line, 3);
    T_EQ(problems.at[1].line, 4);
    T_EQ(problems.at[2].line, 5);
    T_STR(problems.at[3].text, "h:6:12: name: \"course\" is the name of another claim above");
    T_STR(problems.at[4].text,
          "h:6:27: mount: \"/a\" and \"/a\" of another claim are one, or in one another");
}

int main(void)
{
    T_RUN(a_class_has_the_keys_of_its_driver_and_no_others);
    T_RUN(a_server_s_own_claim_is_for_one_server);
    T_RUN(an_extra_claim_says_what_it_is_and_where);
    T_RUN(a_mount_leaves_the_server_its_own_places);
    T_RUN(a_volume_says_what_it_is_and_where);
    T_RUN(a_backup_has_a_time_and_a_place);
    T_RUN(lists_of_claims_and_volumes_have_a_maximum);
    T_RUN(the_places_of_elements_stay_right_behind_a_broken_one);
    return t_end();
}
