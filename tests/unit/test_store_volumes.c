/* Volumes, who uses them, their snapshots, and what can be undone. */
#include "t_store.h"

static struct store_volume volume(const char *claim)
{
    struct store_volume v = {.capacity = 1u << 30, .modes = STORE_RWO, .created = 1000};

    (void)snprintf(v.claim, sizeof(v.claim), "%s", claim);
    (void)snprintf(v.class, sizeof(v.class), "standard");
    (void)snprintf(v.component, sizeof(v.component), "extra-pvc");
    return v;
}

static struct store_volume static_volume(const char *claim, const char *path)
{
    struct store_volume v = volume(claim);

    memset(v.class, 0, sizeof(v.class));
    v.phase = STORE_AVAILABLE;
    (void)snprintf(v.path, sizeof(v.path), "%s", path);
    return v;
}

static struct store_volume extra(struct store *s, const char *claim,
                                 const struct store_account *owner)
{
    struct store_volume v = volume(claim);

    if (owner != NULL)
        memcpy(v.server, owner->server.id, ID_SIZE);
    T_EQ(store_volume_add(s, &v, &e), 0);
    return v;
}

static int use_at(struct store *s, const char *server, const char *id, uint32_t place,
                  const char *mount)
{
    struct store_disk d = {.place = place, .read_only = place == 2};

    memcpy(d.server, server, ID_SIZE);
    memcpy(d.volume, id, ID_SIZE);
    (void)snprintf(d.mount, sizeof(d.mount), "%s", mount);
    return store_disk_add(s, &d, &e);
}

struct seen {
    struct store *s;
    char text[400];
};

static void see(struct seen *seen, const char *word)
{
    size_t at = strlen(seen->text);

    (void)snprintf(seen->text + at, sizeof(seen->text) - at, "%s ", word);
}

static int see_row(void *arg, const struct store_volume *v, const char *server, const char *owner,
                   struct err *error)
{
    struct store_volume again;

    T_EQ(store_volume_by_id(((struct seen *)arg)->s, v->id, &again, error), 0);
    T_STR(server, owner); /* servers have the names of their owners here */
    see(arg, v->claim);
    if (server[0] != '\0')
        see(arg, server);
    return 0;
}

static int see_volume(void *arg, const struct store_volume *v, struct err *error)
{
    (void)error;
    see(arg, v->claim);
    return 0;
}

static int see_disk(void *arg, const struct store_disk *d, const struct store_volume *v,
                    struct err *error)
{
    struct store_server server;

    T_STR(d->volume, v->id);
    T_EQ(store_server_by_id(((struct seen *)arg)->s, d->server, &server, error), 0);
    see(arg, server.name);
    see(arg, v->claim);
    see(arg, d->place == 0 ? "data" : d->mount);
    if (d->read_only)
        see(arg, "ro");
    return 0;
}

static const char *disks_of(struct store *s, const char *server)
{
    static struct seen seen;

    seen = (struct seen){.s = s};
    T_EQ(store_disks(s, server, see_disk, &seen, &e), 0);
    return seen.text;
}

static const char *users_of(struct store *s, const char *id)
{
    static struct seen seen;

    seen = (struct seen){.s = s};
    T_EQ(store_disk_users(s, id, see_disk, &seen, &e), 0);
    return seen.text;
}

static const char *volumes_of(struct store *s, const char *user)
{
    static struct seen seen;

    seen = (struct seen){.s = s};
    T_EQ(store_volumes_of_user(s, user, see_volume, &seen, &e), 0);
    return seen.text;
}

static const char *removed_before(struct store *s, int64_t before)
{
    static struct seen seen;

    seen = (struct seen){.s = s};
    T_EQ(store_volumes_removed(s, before, see_volume, &seen, &e), 0);
    return seen.text;
}

static void words_are_those_of_the_record(void)
{
    char text[32];

    T_STR(store_why_name(STORE_BY_HAND), "by hand");
    T_STR(store_why_name(STORE_FROM_BACKUP), "from backup");
    T_STR(store_deed_name(STORE_DID_UPGRADE), "upgrade");
    T_STR(store_phase_name(STORE_AVAILABLE), "available");
    T_STR(store_modes_text(STORE_ROX | STORE_RWO, text), "RWO,ROX");
    T_STR(store_modes_text(15, text), "RWO,RWOP,ROX,RWX");
    T_STR(store_modes_text(0, text), "");
}

static void a_volume_comes_back_as_it_was_put_in(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_volume v = static_volume("pgdata", "/mnt/data"), w;
    struct store_counts n;

    v.modes = STORE_ROX | STORE_RWX;
    T_EQ(store_volume_add(s, &v, &e), 0);
    T_EQ(strlen(v.id), ID_SIZE - 1);
    s = reopen(s);
    T_EQ(store_volume_by_claim(s, "pgdata", &w, &e), 0);
    T_OK(memcmp(&v, &w, sizeof(v)) == 0);
    w = extra(s, "scratch", &a);
    T_EQ(store_volume_by_id(s, w.id, &v, &e), 0);
    T_OK(memcmp(&v, &w, sizeof(v)) == 0);
    T_STR(a.volume.component, "postgres");
    T_EQ(a.volume.modes, STORE_RWO);
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.volumes, 3);
    FAILS(store_volume_by_claim(s, "", &w, &e), ERR_NOT_FOUND, "no volume");
    store_close(s);
}

static void a_wrong_volume_is_refused_with_what_is_wrong(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_volume v;
    struct store_counts n;

    T_EQ(store_user_remove(s, b.user.id, 2000, &e), 0);
#define REFUSED(kind, word, ...)  \
    v = static_volume("x", "/x"); \
    __VA_ARGS__;                  \
    FAILS(store_volume_add(s, &v, &e), kind, word)
    REFUSED(ERR_INPUT, "name is empty", v.claim[0] = '\0');
    REFUSED(ERR_INPUT, "component", v.component[0] = '\xff');
    REFUSED(ERR_INPUT, "UTF-8", v.claim[0] = '\xff');
    REFUSED(ERR_INPUT, "longer", memset(v.class, 'x', sizeof(v.class)));
    REFUSED(ERR_INPUT, "does not begin with /", v.path[0] = 'x');
    REFUSED(ERR_INPUT, "access modes", v.modes = 0);
    REFUSED(ERR_INPUT, "access modes", v.modes = 16);
    REFUSED(ERR_INPUT, "0 bytes", v.capacity = 0);
    REFUSED(ERR_INPUT, "not a time", v.created = 0);
    REFUSED(ERR_INPUT, "only a static volume", v.path[0] = '\0');
    REFUSED(ERR_INPUT, "only a static volume", memcpy(v.server, a.server.id, ID_SIZE));
    REFUSED(ERR_INPUT, "no id", memcpy(v.id, "abc", 4));
    REFUSED(ERR_EXISTS, "volume \"alice\"", memcpy(v.claim, "alice", 6));
    v = volume("x");
    memcpy(v.server, b.server.id, ID_SIZE);
    FAILS(store_volume_add(s, &v, &e), ERR_INPUT, "\"bob\" is removed");
    v.server[0] = '?';
    FAILS(store_volume_add(s, &v, &e), ERR_NOT_FOUND, "no server");
    v = static_volume("x", "/x");
    T_EQ(store_volume_add(s, &v, &e), 0);
    REFUSED(ERR_EXISTS, "path \"/x\"", memcpy(v.claim, "y", 2));
    T_EQ(v.id[0], '\0'); /* untouched on failure */
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.volumes, 2);
    store_close(s);
}

static void each_field_of_a_volume_that_may_change_is_changed(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    const char *id = a.volume.id;
    struct store_volume v;

    T_EQ(store_volume_set_phase(s, id, STORE_BOUND, &e), 0);
    T_EQ(store_volume_set_capacity(s, id, 77, &e), 0);
    T_EQ(store_volume_set_moving(s, id, "ssd", &e), 0);
    s = reopen(s);
    T_EQ(store_volume_by_id(s, id, &v, &e), 0);
    T_EQ(v.phase, STORE_BOUND);
    T_EQ(v.capacity, 77);
    T_STR(v.class, "standard");
    T_STR(v.moving_to, "ssd");
    T_EQ(store_volume_moved(s, id, &e), 0);
    T_EQ(store_volume_by_id(s, id, &v, &e), 0);
    T_STR(v.class, "ssd");
    T_STR(v.moving_to, "");
    FAILS(store_volume_moved(s, id, &e), ERR_INPUT, "not being moved");
    T_EQ(store_volume_set_moving(s, id, "hdd", &e), 0);
    T_EQ(store_volume_set_moving(s, id, "", &e), 0);
    FAILS(store_volume_moved(s, id, &e), ERR_INPUT, "not being moved");
    FAILS(store_volume_set_capacity(s, id, 0, &e), ERR_INPUT, "0 bytes");
    FAILS(store_volume_set_moving(s, id, "\xff", &e), ERR_INPUT, "UTF-8");
    FAILS(store_volume_set_phase(s, "x", STORE_BOUND, &e), ERR_NOT_FOUND, "no volume");
    FAILS(store_volume_set_capacity(s, "x", 1, &e), ERR_NOT_FOUND, "no volume");
    FAILS(store_volume_set_moving(s, "x", "", &e), ERR_NOT_FOUND, "no volume");
    FAILS(store_volume_moved(s, "x", &e), ERR_NOT_FOUND, "no volume");
    store_close(s);
}

static void volumes_are_listed_by_claim_and_component(void)
{
    struct store *s = new_store();
    struct store_account b = add(s, "bob");
    struct seen all = {.s = s}, extras = {.s = s}, data = {.s = s};

    (void)add(s, "alice");
    (void)extra(s, "zoo", NULL);
    (void)extra(s, "b-scratch", &b);
    T_EQ(store_volumes(s, NULL, see_row, &all, &e), 0);
    T_STR(all.text, "alice alice b-scratch bob bob bob zoo ");
    T_EQ(store_volumes(s, "extra-pvc", see_row, &extras, &e), 0);
    T_STR(extras.text, "b-scratch bob zoo ");
    T_EQ(store_user_remove(s, b.user.id, 2000, &e), 0);
    T_EQ(store_volumes(s, "postgres", see_row, &data, &e), 0);
    T_STR(data.text, "alice alice ");
    store_close(s);
}

static void a_removed_volume_frees_its_name_and_comes_back_when_that_is_free(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_volume v = extra(s, "scratch", &a), w, shared = extra(s, "shared", NULL);

    T_EQ(use_at(s, a.server.id, v.id, 1, "/scratch"), 0);
    FAILS(store_volume_restore(s, v.id, &e), ERR_INPUT, "not removed");
    FAILS(store_volume_purge(s, v.id, &e), ERR_INPUT, "not removed");
    FAILS(store_volume_remove(s, v.id, 0, &e), ERR_INPUT, "not a time");
    T_EQ(store_volume_remove(s, v.id, 2000, &e), 0);
    FAILS(store_volume_remove(s, v.id, 2000, &e), ERR_NOT_FOUND, v.id);
    FAILS(store_volume_by_claim(s, "scratch", &w, &e), ERR_NOT_FOUND, "scratch");
    T_EQ(store_volume_by_id(s, v.id, &w, &e), 0);
    T_EQ(w.removed_at, 2000);
    T_STR(disks_of(s, a.server.id), "alice alice data ");
    w = extra(s, "scratch", &a);
    FAILS(store_volume_restore(s, v.id, &e), ERR_EXISTS, "volume \"scratch\" already");
    T_EQ(store_volume_remove(s, w.id, 3000, &e), 0);
    T_EQ(store_volume_remove(s, shared.id, 2500, &e), 0);
    T_STR(removed_before(s, 3000), "scratch shared ");
    T_EQ(store_volume_purge(s, w.id, &e), 0);
    FAILS(store_volume_purge(s, w.id, &e), ERR_NOT_FOUND, w.id);
    T_EQ(store_volume_restore(s, v.id, &e), 0);
    T_STR(disks_of(s, a.server.id), "alice alice data alice scratch /scratch ");
    FAILS(store_volume_remove(s, a.volume.id, 4000, &e), ERR_BUSY, "data of the server \"alice\"");
    FAILS(store_volume_remove(s, "x", 4000, &e), ERR_NOT_FOUND, "no volume");
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void volumes_of_removed_users_are_left_to_the_purge_of_those(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_volume v = extra(s, "scratch", &a), old = extra(s, "old", &a);

    T_EQ(store_volume_remove(s, old.id, 1500, &e), 0);
    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_STR(removed_before(s, 9000), "");
    FAILS(store_volume_restore(s, v.id, &e), ERR_INPUT, "\"alice\" is removed");
    T_EQ(store_user_restore(s, a.user.id, &e), 0);
    T_STR(removed_before(s, 9000), "old ");
    T_EQ(store_volume_by_id(s, v.id, &v, &e), 0);
    T_EQ(v.removed_at, 0);
    store_close(s);
}

static void a_server_uses_a_volume_once_and_its_data_for_ever(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_volume v = extra(s, "v", NULL), w = extra(s, "w", NULL),
                        gone = extra(s, "x", NULL);

    T_EQ(use_at(s, a.server.id, v.id, 2, "/v"), 0);
    FAILS(use_at(s, a.server.id, v.id, 3, "/other"), ERR_EXISTS, "this volume already");
    FAILS(use_at(s, a.server.id, w.id, 0, ""), ERR_EXISTS, "its data already");
    FAILS(use_at(s, a.server.id, w.id, 0, "/w"), ERR_INPUT, "its data");
    FAILS(use_at(s, a.server.id, w.id, 1, "w"), ERR_INPUT, "cannot be where");
    FAILS(use_at(s, a.server.id, w.id, 1, ""), ERR_INPUT, "cannot be where");
    FAILS(use_at(s, a.server.id, w.id, 1, "/\xff"), ERR_INPUT, "UTF-8");
    FAILS(use_at(s, "abcdefghijklm", w.id, 1, "/w"), ERR_NOT_FOUND, "no server");
    FAILS(use_at(s, a.server.id, "abcdefghijklm", 1, "/w"), ERR_NOT_FOUND, "no volume");
    T_EQ(store_volume_remove(s, gone.id, 2000, &e), 0);
    FAILS(use_at(s, a.server.id, gone.id, 1, "/w"), ERR_INPUT, "\"x\" is removed");
    T_EQ(use_at(s, a.server.id, w.id, 1, "/w"), 0);
    T_EQ(use_at(s, b.server.id, v.id, 1, "/v"), 0);
    T_STR(disks_of(s, a.server.id), "alice alice data alice w /w alice v /v ro ");
    T_OK(strstr(users_of(s, v.id), "alice v /v ro ") != NULL);
    T_OK(strstr(users_of(s, v.id), "bob v /v ") != NULL);
    T_EQ(store_user_remove(s, b.user.id, 2000, &e), 0);
    T_STR(users_of(s, v.id), "alice v /v ro ");
    FAILS(use_at(s, b.server.id, w.id, 2, "/w"), ERR_INPUT, "\"bob\" is removed");
    T_EQ(store_disk_remove(s, a.server.id, w.id, &e), 0);
    FAILS(store_disk_remove(s, a.server.id, w.id, &e), ERR_NOT_FOUND, w.id);
    FAILS(store_disk_remove(s, a.server.id, a.volume.id, &e), ERR_INPUT, "data of a server");
    T_STR(disks_of(s, a.server.id), "alice alice data alice v /v ro ");
    store_close(s);
}

static void a_static_volume_is_bound_once(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_volume v = static_volume("pv", "/pv"), w = extra(s, "w", NULL);

    T_EQ(store_volume_add(s, &v, &e), 0);
    T_EQ(store_volume_bind(s, v.id, a.server.id, STORE_BOUND, &e), 0);
    T_EQ(store_volume_bind(s, v.id, a.server.id, STORE_BOUND, &e), 0);
    T_EQ(store_volume_by_id(s, v.id, &v, &e), 0);
    T_STR(v.server, a.server.id);
    T_EQ(v.phase, STORE_BOUND);
    FAILS(store_volume_bind(s, v.id, b.server.id, STORE_BOUND, &e), ERR_BUSY, "it is bound");
    T_EQ(use_at(s, a.server.id, v.id, 1, "/pv"), 0);
    FAILS(store_volume_bind(s, v.id, "", STORE_RELEASED, &e), ERR_BUSY, "used by the server");
    T_EQ(store_disk_remove(s, a.server.id, v.id, &e), 0);
    T_EQ(store_volume_bind(s, v.id, "", STORE_RELEASED, &e), 0);
    FAILS(store_volume_bind(s, v.id, b.server.id, STORE_BOUND, &e), ERR_BUSY, "it is released");
    T_EQ(store_volume_bind(s, v.id, "", STORE_AVAILABLE, &e), 0);
    FAILS(store_volume_bind(s, v.id, "", STORE_PENDING, &e), ERR_INPUT, "nobody cannot be pending");
    FAILS(store_volume_bind(s, v.id, b.server.id, STORE_AVAILABLE, &e), ERR_INPUT, "a server");
    FAILS(store_volume_bind(s, v.id, "abcdefghijklm", STORE_BOUND, &e), ERR_NOT_FOUND, "server");
    FAILS(store_volume_bind(s, w.id, a.server.id, STORE_BOUND, &e), ERR_INPUT, "not static");
    FAILS(store_volume_bind(s, "x", "", STORE_AVAILABLE, &e), ERR_NOT_FOUND, "no volume");
    T_EQ(store_volume_bind(s, v.id, "", STORE_BOUND, &e), 0); /* for all */
    T_EQ(store_volume_bind(s, v.id, "", STORE_BOUND, &e), 0);
    FAILS(store_volume_bind(s, v.id, b.server.id, STORE_BOUND, &e), ERR_BUSY, "it is bound");
    T_EQ(store_volume_bind(s, v.id, "", STORE_AVAILABLE, &e), 0);
    T_EQ(store_volume_bind(s, v.id, b.server.id, STORE_BOUND, &e), 0);
    FAILS(store_volume_bind(s, v.id, "", STORE_BOUND, &e), ERR_BUSY, "it is bound");
    store_close(s);
}

static void what_a_server_uses_is_bound_when_it_is_awake(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_volume v = extra(s, "v", NULL), pv = static_volume("pv", "/pv");

    T_EQ(store_volume_add(s, &pv, &e), 0);
    T_EQ(use_at(s, a.server.id, v.id, 1, "/v"), 0);
    T_EQ(use_at(s, a.server.id, pv.id, 2, "/pv"), 0);
    T_EQ(store_disks_bound(s, a.server.id, &e), 0);
    T_EQ(store_disks_bound(s, a.server.id, &e), 0);
    T_EQ(store_volume_by_id(s, v.id, &v, &e), 0);
    T_EQ(v.phase, STORE_BOUND);
    T_EQ(store_volume_of(s, a.server.id, &v, &e), 0);
    T_EQ(v.phase, STORE_BOUND);
    T_EQ(store_volume_of(s, b.server.id, &v, &e), 0);
    T_EQ(v.phase, STORE_PENDING);
    T_EQ(store_volume_by_id(s, pv.id, &v, &e), 0);
    T_EQ(v.phase, STORE_AVAILABLE);
    store_close(s);
}

static void a_user_gets_a_static_volume_and_leaves_it_behind(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("alice");
    struct store_account a, b;
    struct store_volume v = static_volume("pv", "/pv"), w;
    struct seen shown = {.s = s};

    v.component[0] = '\0';
    T_EQ(store_volume_add(s, &v, &e), 0);
    new.volume = v.id;
    new.capacity = 0; /* nothing of a volume to be made is looked at */
    T_EQ(store_user_add(s, &new, &a, &e), 0);
    T_EQ(store_volume_of(s, a.server.id, &w, &e), 0);
    T_OK(memcmp(&w, &a.volume, sizeof(w)) == 0);
    T_STR(w.id, v.id);
    T_STR(w.server, a.server.id);
    T_STR(w.component, "postgres");
    T_EQ(w.phase, STORE_BOUND);
    new.login = "bob";
    FAILS(store_user_add(s, &new, &b, &e), ERR_BUSY, "\"pv\": it is bound");
    FAILS(store_volume_bind(s, v.id, "", STORE_AVAILABLE, &e), ERR_BUSY, "the data of the server");
    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_EQ(store_volume_by_claim(s, "pv", &w, &e), 0); /* still theirs, and its name taken */
    T_STR(w.server, a.server.id);
    FAILS(store_volume_bind(s, v.id, "", STORE_AVAILABLE, &e), ERR_BUSY, "the data of the server");
    FAILS(store_volume_remove(s, v.id, 2000, &e), ERR_BUSY, "the data of the server");
    T_EQ(store_user_restore(s, a.user.id, &e), 0);
    T_STR(disks_of(s, a.server.id), "alice pv data ");
    T_EQ(store_user_remove(s, a.user.id, 3000, &e), 0);
    T_STR(volumes_of(s, a.user.id), "pv ");
    T_EQ(store_user_purge(s, a.user.id, see_volume, &shown, &e), 0);
    T_STR(shown.text, ""); /* nothing of it is to be destroyed */
    T_EQ(store_volume_by_claim(s, "pv", &w, &e), 0);
    T_EQ(w.phase, STORE_RELEASED);
    T_STR(w.server, "");
    T_STR(w.component, "");
    FAILS(store_user_add(s, &new, &b, &e), ERR_BUSY, "it is released");
    T_EQ(store_volume_bind(s, v.id, "", STORE_AVAILABLE, &e), 0);
    T_EQ(store_user_add(s, &new, &b, &e), 0);
    new.login = "carl";
    new.volume = "x";
    FAILS(store_user_add(s, &new, &b, &e), ERR_NOT_FOUND, "no volume");
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void a_claim_that_is_taken_gets_a_number(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("bob");
    struct store_account a = add(s, "alice"), b, c;
    struct store_volume v;
    char long_claim[STORE_CLAIM_SIZE];

    T_EQ(store_user_rename(s, a.user.id, "alicia", &e), 0);
    b = add(s, "alice"); /* the renamed one's volume has kept the name */
    T_STR(b.volume.claim, "alice-2");
    T_EQ(store_volume_by_claim(s, "alice-2", &v, &e), 0);
    T_STR(v.id, b.volume.id);
    T_EQ(store_user_remove(s, b.user.id, 2000, &e), 0);
    new.claim = "alice-2";
    T_EQ(store_user_add(s, &new, &c, &e), 0);
    T_EQ(store_user_restore(s, b.user.id, &e), 0);
    T_EQ(store_volume_of(s, b.server.id, &v, &e), 0);
    T_STR(v.claim, "alice-2-2");
    memset(long_claim, 'x', sizeof(long_claim));
    memcpy(long_claim + sizeof(long_claim) - 4, "\xe2\x82\xac", 4);
    new = wish("d");
    new.claim = long_claim;
    T_EQ(store_user_add(s, &new, &c, &e), 0);
    T_STR(c.volume.claim, long_claim);
    for (int i = 2; i < 12; i++) {
        char login[8], tail[16];

        (void)snprintf(login, sizeof(login), "d%d", i);
        (void)snprintf(tail, sizeof(tail), "x-%d", i);
        new.login = new.superuser = login;
        T_EQ(store_user_add(s, &new, &c, &e), 0);
        T_STR(c.volume.claim + strlen(c.volume.claim) - strlen(tail), tail);
    }
    store_close(s);
}

static void a_user_whose_data_was_destroyed_does_not_come_back(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_user u;

    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_EQ(store_volume_purge(s, a.volume.id, &e), 0);
    FAILS(store_user_restore(s, a.user.id, &e), ERR_MISSING, "data of the server \"alice\"");
    FAILS(store_user_by_login(s, "alice", &u, &e), ERR_NOT_FOUND, "alice");
    T_EQ(store_user_purge(s, a.user.id, NULL, NULL, &e), 0);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static struct store_snapshot snapshot(const char *id, const char *of, const char *label, int64_t at)
{
    struct store_snapshot n = {.why = STORE_BEFORE_RESET,
                               .class = "ssd",
                               .capacity = 1u << 30,
                               .extents = 12,
                               .took_us = 345,
                               .running = true,
                               .taken_at = at,
                               .keep_until = 9000};

    (void)snprintf(n.id, sizeof(n.id), "%s%.*s", id, (int)(ID_SIZE - 1 - strlen(id)),
                   "-------------");
    (void)snprintf(n.volume, sizeof(n.volume), "%s", of);
    (void)snprintf(n.label, sizeof(n.label), "%s", label);
    return n;
}

static int see_snapshot(void *arg, const struct store_snapshot *n, const struct store_volume *v,
                        struct err *error)
{
    char id[ID_SIZE];
    struct store_snapshot again;

    T_STR(n->volume, v->id);
    T_EQ(store_snapshot_by_id(((struct seen *)arg)->s, n->id, &again, error), 0);
    (void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(n->id, "-"), n->id);
    see(arg, id);
    return 0;
}

static const char *snapshots_of(struct store *s, const char *id)
{
    static struct seen seen;

    seen = (struct seen){.s = s};
    T_EQ(store_snapshots(s, id, see_snapshot, &seen, &e), 0);
    return seen.text;
}

static void snapshots_are_listed_by_age_and_found_by_label(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_snapshot one = snapshot("one", a.volume.id, "before", 3000), n,
                          two = snapshot("two", b.volume.id, "", 2000),
                          three = snapshot("three", a.volume.id, "before", 1000),
                          four = snapshot("four", a.volume.id, "before", 3000);
    struct store_counts counts;

    T_EQ(store_snapshot_add(s, &one, &e), 0);
    T_EQ(store_snapshot_add(s, &two, &e), 0);
    T_EQ(store_snapshot_add(s, &three, &e), 0);
    s = reopen(s);
    T_EQ(store_snapshot_by_id(s, one.id, &n, &e), 0);
    T_OK(memcmp(&n, &one, sizeof(n)) == 0);
    T_STR(snapshots_of(s, NULL), "three two one ");
    T_STR(snapshots_of(s, a.volume.id), "three one ");
    T_EQ(store_snapshot_by_label(s, a.volume.id, "before", &n, &e), 0);
    T_STR(n.id, one.id);
    T_EQ(store_snapshot_add(s, &four, &e), 0); /* in the same second, but later */
    T_EQ(store_snapshot_by_label(s, a.volume.id, "before", &n, &e), 0);
    T_STR(n.id, four.id);
    FAILS(store_snapshot_by_label(s, b.volume.id, "", &n, &e), ERR_NOT_FOUND, "no snapshot");
    FAILS(store_snapshot_by_label(s, b.volume.id, "before", &n, &e), ERR_NOT_FOUND, "before");
    T_EQ(store_snapshot_set_keep(s, four.id, 0, &e), 0);
    T_EQ(store_snapshot_by_id(s, four.id, &n, &e), 0);
    T_EQ(n.keep_until, 0);
    T_EQ(store_count(s, &counts, &e), 0);
    T_EQ(counts.snapshots, 4);
    T_EQ(store_snapshot_remove(s, four.id, &e), 0);
    FAILS(store_snapshot_remove(s, four.id, &e), ERR_NOT_FOUND, four.id);
    FAILS(store_snapshot_set_keep(s, four.id, 1, &e), ERR_NOT_FOUND, four.id);
    FAILS(store_snapshot_set_keep(s, one.id, -1, &e), ERR_INPUT, "not a time");
    FAILS(store_snapshot_add(s, &one, &e), ERR_EXISTS, one.id);
    memcpy(four.volume, "abcdefghijklm", ID_SIZE);
    FAILS(store_snapshot_add(s, &four, &e), ERR_NOT_FOUND, "abcdefghijklm");
    four.capacity = 0;
    FAILS(store_snapshot_add(s, &four, &e), ERR_INPUT, "bytes");
    four.id[0] = '\0';
    FAILS(store_snapshot_add(s, &four, &e), ERR_INPUT, "without an id");
    four.label[0] = '\xff';
    FAILS(store_snapshot_add(s, &four, &e), ERR_INPUT, "UTF-8");
    store_close(s);
}

static struct store_undo deed(const char *server, const char *of, const char *n, int64_t until)
{
    struct store_undo u = {.deed = STORE_DID_MOVE,
                           .text = "moved to ssd",
                           .before = "standard",
                           .done_at = 1000,
                           .until = until};

    (void)snprintf(u.server, sizeof(u.server), "%s", server);
    (void)snprintf(u.volume, sizeof(u.volume), "%s", of);
    (void)snprintf(u.snapshot, sizeof(u.snapshot), "%s", n);
    return u;
}

static int see_undo(void *arg, const struct store_undo *u, const char *server, const char *claim,
                    struct err *error)
{
    struct store_undo again;
    char text[400];

    T_EQ(store_undo_get(((struct seen *)arg)->s, u->number, &again, error), 0);
    (void)snprintf(text, sizeof(text), "%d:%s:%s", (int)u->number, server, claim);
    see(arg, text);
    return 0;
}

static const char *undos_at(struct store *s, int64_t now)
{
    static struct seen seen;

    seen = (struct seen){.s = s};
    T_EQ(store_undos(s, now, see_undo, &seen, &e), 0);
    return seen.text;
}

static void what_can_be_undone_has_a_number_that_never_comes_again(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_undo one = deed(a.server.id, a.volume.id, "", 5000), u,
                      two = deed("", a.volume.id, "", 3000), three = deed("", "", "", 4000);

    T_EQ(store_undo_add(s, &one, &e), 0);
    T_EQ(store_undo_add(s, &two, &e), 0);
    T_EQ(store_undo_add(s, &three, &e), 0);
    s = reopen(s);
    T_EQ(one.number, 1);
    T_EQ(three.number, 3);
    T_EQ(store_undo_get(s, 1, &u, &e), 0);
    T_OK(memcmp(&u, &one, sizeof(u)) == 0);
    T_STR(undos_at(s, 2999), "3:: 2::alice 1:alice:alice ");
    T_STR(undos_at(s, 3000), "3:: 1:alice:alice ");
    T_EQ(store_undo_get(s, 2, &u, &e), 0);
    T_EQ(store_undo_expire(s, 3000, &e), 0);
    FAILS(store_undo_get(s, 2, &u, &e), ERR_NOT_FOUND, "number 2");
    T_EQ(store_undo_remove(s, 3, &e), 0);
    FAILS(store_undo_remove(s, 3, &e), ERR_NOT_FOUND, "number 3");
    T_EQ(store_backup(s, in_dir("copy.db"), &e), 0);
    s = reopen(s);
    T_EQ(store_undo_add(s, &three, &e), 0);
    T_EQ(three.number, 4);
    store_close(s);
    T_EQ(rename(in_dir("copy.db"), in_dir("record.db")), 0);
    s = reopen(NULL); /* nor after a backup was put in its place */
    T_EQ(store_undo_add(s, &three, &e), 0);
    T_EQ(three.number, 4);
    three = deed("", "abcdefghijklm", "", 1);
    FAILS(store_undo_add(s, &three, &e), ERR_NOT_FOUND, "abcdefghijklm");
    T_EQ(three.number, 0);
    three = deed("", "", "", 1);
    three.text[0] = '\0';
    FAILS(store_undo_add(s, &three, &e), ERR_INPUT, "not said");
    three.text[0] = '\xff';
    FAILS(store_undo_add(s, &three, &e), ERR_INPUT, "UTF-8");
    store_close(s);
}

static void what_belongs_to_a_volume_or_snapshot_goes_with_it(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_volume v = extra(s, "v", &a);
    struct store_snapshot one = snapshot("one", v.id, "", 1000), two = snapshot("two", v.id, "", 1),
                          mine = snapshot("mine", b.volume.id, "", 1000);
    struct store_undo by_snapshot = deed("", "", one.id, 9000), other = deed("", "", two.id, 9000),
                      by_volume = deed(a.server.id, v.id, "", 9000),
                      bobs = deed(b.server.id, b.volume.id, mine.id, 9000);

    T_EQ(store_snapshot_add(s, &one, &e), 0);
    T_EQ(store_snapshot_add(s, &two, &e), 0);
    T_EQ(store_snapshot_add(s, &mine, &e), 0);
    T_EQ(store_undo_add(s, &by_snapshot, &e), 0);
    T_EQ(store_undo_add(s, &other, &e), 0);
    T_EQ(store_undo_add(s, &by_volume, &e), 0);
    T_EQ(store_undo_add(s, &bobs, &e), 0);
    T_EQ(use_at(s, b.server.id, v.id, 1, "/v"), 0);
    T_EQ(store_snapshot_remove(s, one.id, &e), 0);
    T_STR(undos_at(s, 1), "4:bob:bob 3:alice:v 2:: ");
    T_EQ(store_volume_remove(s, v.id, 2000, &e), 0);
    T_EQ(store_volume_purge(s, v.id, &e), 0);
    T_STR(undos_at(s, 1), "4:bob:bob ");
    T_STR(snapshots_of(s, NULL), "mine ");
    T_STR(disks_of(s, b.server.id), "bob bob data ");
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void a_purged_user_takes_all_that_is_theirs_and_nothing_else(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_volume own = extra(s, "own", &a), shared = extra(s, "shared", NULL),
                        pv = static_volume("pv", "/pv");
    struct store_snapshot n = snapshot("one", own.id, "", 1), m = snapshot("two", shared.id, "", 1);
    struct store_undo u[] = {deed(a.server.id, "", "", 9000), deed("", own.id, "", 9000),
                             deed("", "", n.id, 9000), deed("", shared.id, m.id, 9000)};
    struct seen shown = {.s = s};

    T_EQ(store_volume_add(s, &pv, &e), 0);
    T_EQ(store_volume_bind(s, pv.id, a.server.id, STORE_BOUND, &e), 0);
    T_EQ(store_snapshot_add(s, &n, &e), 0);
    T_EQ(store_snapshot_add(s, &m, &e), 0);
    for (size_t i = 0; i < sizeof(u) / sizeof(u[0]); i++)
        T_EQ(store_undo_add(s, &u[i], &e), 0);
    T_EQ(use_at(s, a.server.id, own.id, 1, "/own"), 0);
    T_EQ(use_at(s, a.server.id, shared.id, 2, "/shared"), 0);
    T_EQ(use_at(s, a.server.id, pv.id, 3, "/pv"), 0);
    T_EQ(use_at(s, b.server.id, own.id, 1, "/own"), 0);
    T_EQ(use_at(s, b.server.id, shared.id, 2, "/shared"), 0);
    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_STR(disks_of(s, a.server.id), "alice shared /shared ro alice pv /pv ");
    T_EQ(store_user_restore(s, a.user.id, &e), 0);
    T_STR(disks_of(s, a.server.id), "alice alice data alice own /own alice shared /shared ro "
                                    "alice pv /pv ");
    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_EQ(store_user_purge(s, a.user.id, see_volume, &shown, &e), 0);
    T_OK(strcmp(shown.text, "alice own ") == 0 || strcmp(shown.text, "own alice ") == 0);
    T_STR(disks_of(s, b.server.id), "bob bob data bob shared /shared ro ");
    T_STR(users_of(s, shared.id), "bob shared /shared ro ");
    T_STR(undos_at(s, 1), "4::shared ");
    T_STR(snapshots_of(s, NULL), "two ");
    T_EQ(store_volume_by_id(s, pv.id, &pv, &e), 0);
    T_EQ(pv.phase, STORE_RELEASED);
    T_STR(pv.server, "");
    T_STR(users_of(s, pv.id), "");
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    T_RUN(words_are_those_of_the_record);
    T_RUN(a_volume_comes_back_as_it_was_put_in);
    T_RUN(a_wrong_volume_is_refused_with_what_is_wrong);
    T_RUN(each_field_of_a_volume_that_may_change_is_changed);
    T_RUN(volumes_are_listed_by_claim_and_component);
    T_RUN(a_removed_volume_frees_its_name_and_comes_back_when_that_is_free);
    T_RUN(volumes_of_removed_users_are_left_to_the_purge_of_those);
    T_RUN(a_server_uses_a_volume_once_and_its_data_for_ever);
    T_RUN(a_static_volume_is_bound_once);
    T_RUN(what_a_server_uses_is_bound_when_it_is_awake);
    T_RUN(a_user_gets_a_static_volume_and_leaves_it_behind);
    T_RUN(a_claim_that_is_taken_gets_a_number);
    T_RUN(a_user_whose_data_was_destroyed_does_not_come_back);
    T_RUN(snapshots_are_listed_by_age_and_found_by_label);
    T_RUN(what_can_be_undone_has_a_number_that_never_comes_again);
    T_RUN(what_belongs_to_a_volume_or_snapshot_goes_with_it);
    T_RUN(a_purged_user_takes_all_that_is_theirs_and_nothing_else);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
