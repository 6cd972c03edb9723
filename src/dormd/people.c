#include "people.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/nap.h"
#include "pgwire/scram.h"

enum {
    PASSWORD_BYTES = 12, /* 96 bits: 20 letters */
    FLUSH_MS = 1000,
};

int people_find(struct hub *h, const char *name, struct store_user *ret_user, struct err *e)
{
    int r = strchr(name, '@') != NULL ? store_user_by_email(h->store, name, ret_user, e)
                                      : store_user_by_login(h->store, name, ret_user, e);
    char shown[80];

    if (r < 0 && e->kind == ERR_NOT_FOUND) {
        (void)err_set(e, ERR_NOT_FOUND, "there is no user \"%s\"",
                      str_show(shown, sizeof(shown), name, strlen(name)));
        (void)err_hint(e, "dorm user list");
    }
    return r;
}

static int complete(struct hub *h, struct store_account *a, struct err *e)
{
    return store_user_by_id(h->store, a->server.owner, &a->user, e) < 0 ||
                   store_volume_of(h->store, a->server.id, &a->volume, e) < 0
               ? -1
               : 0;
}

int people_account(struct hub *h, const char *server_id, struct store_account *ret, struct err *e)
{
    return store_server_by_id(h->store, server_id, &ret->server, e) < 0 ? -1 : complete(h, ret, e);
}

int people_server(struct hub *h, const char *name, struct store_account *ret, struct err *e)
{
    char shown[80];

    if (store_server_by_name(h->store, name, &ret->server, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        (void)err_set(e, ERR_NOT_FOUND, "there is no server \"%s\"",
                      str_show(shown, sizeof(shown), name, strlen(name)));
        return err_hint(e, "dorm server list");
    }
    return complete(h, ret, e);
}

/* ---- passwords ---- */

static void derive(const struct hub *h, const char *purpose, const struct store_user *u,
                   uint8_t ret[EVP_MAX_MD_SIZE])
{
    AUTO_FREE char *text = mem_printf("%s %s %llu", purpose, u->id, (unsigned long long)u->counter);
    unsigned len = 0;

    if (HMAC(EVP_sha256(), h->password_key, HUB_KEY, (const unsigned char *)text, strlen(text), ret,
             &len) == NULL)
        abort();
}

void people_password(const struct hub *h, const struct store_user *u, char ret[PASSWORD_SIZE])
{
    uint8_t mac[EVP_MAX_MD_SIZE];

    derive(h, "password", u, mac);
    str_to_base32(ret, mac, PASSWORD_BYTES);
    explicit_bzero(mac, sizeof(mac));
}

/* A verifier on its way into the record. */
struct made {
    struct list node;
    char user[ID_SIZE];
    uint64_t counter; /* of the password it belongs to */
    char text[SCRAM_VERIFIER_SIZE];
};

static struct made *made_already(struct hub *h, const struct store_user *u)
{
    list_each (&h->verifiers, node) {
        struct made *m = list_of(node, struct made, node);

        if (str_is(m->user, u->id) && m->counter == u->counter)
            return m;
    }
    return NULL;
}

static void flush_one(struct hub *h, const struct made *m)
{
    struct store_user u;
    struct err e;

    /* the password may have been changed since */
    if (store_user_by_id(h->store, m->user, &u, &e) < 0 || u.counter != m->counter)
        return;
    if (store_user_set_password(h->store, m->user, m->text, m->counter, &e) < 0 &&
        e.kind != ERR_NOT_FOUND)
        log_err(NULL, LOG_WARN_, &e); /* it will be made again at the next login */
}

void people_flush(struct hub *h)
{
    struct err e;
    bool one = !list_empty(&h->verifiers) && store_begin(h->store, &e) == 0;

    list_each (&h->verifiers, node) {
        struct made *m = list_of(node, struct made, node);

        flush_one(h, m);
        list_remove(&m->node);
        explicit_bzero(m, sizeof(*m));
        free(m);
    }
    if (one && store_commit(h->store, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

static void flush_now(struct loop_timer *t)
{
    people_flush(list_of(t, struct hub, verifiers_timer));
}

static int make_verifier(struct hub *h, const struct store_user *u, char *text, struct err *e)
{
    char password[PASSWORD_SIZE];
    uint8_t salt[EVP_MAX_MD_SIZE];
    int r;

    people_password(h, u, password);
    derive(h, "salt", u, salt);
    r = scram_verifier_make(password, strlen(password), salt, SCRAM_ITERATIONS, text, e);
    explicit_bzero(password, sizeof(password));
    return r;
}

int people_verifier(struct hub *h, struct store_user *u, struct err *e)
{
    struct made *m;

    if (u->verifier[0] != '\0')
        return 0;
    m = made_already(h, u);
    if (m == NULL) {
        m = mem_new(sizeof(*m));
        if (make_verifier(h, u, m->text, e) < 0) {
            free(m);
            return -1;
        }
        memcpy(m->user, u->id, sizeof(m->user));
        m->counter = u->counter;
        list_append(&h->verifiers, &m->node);
        if (h->verifiers_timer.place == 0)
            loop_timer_set(h->loop, &h->verifiers_timer, loop_now(h->loop) + FLUSH_MS, flush_now);
    }
    (void)snprintf(u->verifier, sizeof(u->verifier), "%s", m->text);
    return 0;
}

int people_set_password(struct hub *h, struct store_user *u, const char *password, struct err *e)
{
    uint8_t salt[SCRAM_SALT_LEN];
    char text[SCRAM_VERIFIER_SIZE];

    if (strlen(password) < 8 || strlen(password) > SCRAM_PASSWORD_MAX)
        return err_set(e, ERR_INPUT, "a password has 8 to %u bytes", SCRAM_PASSWORD_MAX);
    rand_bytes(salt, sizeof(salt));
    if (scram_verifier_make(password, strlen(password), salt, SCRAM_ITERATIONS, text, e) < 0 ||
        store_user_set_password(h->store, u->id, text, 0, e) < 0)
        return -1;
    u->counter = 0;
    (void)snprintf(u->verifier, sizeof(u->verifier), "%s", text);
    return 0;
}

int people_renew_password(struct hub *h, struct store_user *u, struct err *e)
{
    /* the time keeps it from ever being one that was given out before, even after "their own" */
    uint64_t now = (uint64_t)clock_unix(), counter = now > u->counter ? now : u->counter + 1;

    if (store_user_set_password(h->store, u->id, "", counter, e) < 0)
        return -1;
    u->counter = counter;
    u->verifier[0] = '\0';
    return 0;
}

/* ---- servers ---- */

int people_add(struct hub *h, const char *login, const char *email, const char *display,
               enum store_role role, struct store_account *ret, struct err *e)
{
    const struct conf_server *server = &h->conf->server;
    char claim[STORE_CLAIM_SIZE], superuser[STORE_NAME_SIZE], volume[ID_SIZE] = "";
    struct store_user_new new = {
        .login = login,
        .email = email,
        .display = display,
        .counter = 1,
        .role = role,
        .uid_first = h->uid_first + HUB_RESERVED_UIDS,
        .uid_last = h->uid_last,
        .kind = STORE_PERSONAL,
        .image = (int)h->major,
        .superuser = superuser,
        .claim = claim,
        .class = server->claim.class,
        .template = "",
        .capacity = server->claim.capacity,
        .modes = server->claim.modes,
        .volume = volume,
        .now = clock_unix(),
    };

    if (store_login_check(login, e) < 0)
        return -1;
    if (!conf_expand(claim, sizeof(claim), server->claim.name, login, h->conf->hub) ||
        !conf_expand(superuser, sizeof(superuser), server->superuser, login, h->conf->hub))
        return err_set(e, ERR_CONFIG, "the claim or superuser name of \"%s\" would be too long",
                       login);
    if (disks_choose_data(h, claim, volume, e) < 0)
        return -1;
    if (volume[0] == '\0')
        new.volume = NULL;
    return store_user_add(h->store, &new, ret, e);
}

/* One with a life before the hub file said so keeps what is in it until it is reset. */
bool people_ephemeral(const struct hub *h, const struct store_account *a)
{
    return h->conf->server.ephemeral && a->server.kind == STORE_PERSONAL && !a->server.named;
}

int people_want_init(struct people_want *w, struct hub *h, const struct store_account *a,
                     struct err *e)
{
    const struct conf_server *server = &h->conf->server;

    *w = (struct people_want){0};
    if (disks_of(h, a, &w->disks, e) < 0)
        return err_prefix(e, "could not find the disks of server \"%s\"", a->server.name);
    w->parameters = mem_new((2 * server->parameter_n + 1) * sizeof(*w->parameters));
    for (size_t i = 0; i < server->parameter_n; i++) {
        w->parameters[2 * i] = server->parameters[i].name;
        w->parameters[2 * i + 1] = server->parameters[i].value;
    }
    w->want = (struct fleet_want){
        .server = {.id = a->server.id,
                   .login = a->user.login,
                   .superuser = a->server.superuser,
                   .named = a->server.named,
                   .ephemeral = people_ephemeral(h, a),
                   .major = (uint32_t)a->server.image,
                   .uid = a->user.uid,
                   .memory = server->limits.memory,
                   .cpu_milli = server->limits.cpu_milli,
                   .pids = server->limits.pids,
                   .request_memory = server->requests.memory,
                   .request_cpu_milli = server->requests.cpu_milli,
                   .disks = w->disks.at,
                   .disks_n = w->disks.n,
                   .parameters = w->parameters,
                   .parameters_n = 2 * server->parameter_n},
        .name = a->server.name,
        .after_ms = server->sleep_after_ms == UINT64_MAX ? 0 : server->sleep_after_ms,
        .nap_ms = nap_after_ms(server->nap_ms),
        .connected_ms = server->sleep_connected_ms,
    };
    return 0;
}

void people_want_done(struct people_want *w)
{
    free(w->parameters);
    w->parameters = NULL;
    disks_done(&w->disks);
}

/* /etc/passwd alone: a directory service that does not answer must not stop every login. */
bool people_os_name(uid_t uid, char *at, size_t size)
{
    AUTO_FCLOSE FILE *passwd = fopen("/etc/passwd", "re");
    struct passwd *p;

    while (passwd != NULL && (p = fgetpwent(passwd)) != NULL)
        if (p->pw_uid == uid)
            return str_copy(at, size, p->pw_name);
    return false;
}

char *people_psql_line(const struct hub *h, const struct store_account *a, const char *passfile)
{
    const char *host = h->conf->domain[0] != '\0' ? h->conf->domain : "localhost";

    return mem_printf(
        "psql \"postgresql://%s%s%s@%s:%u/%s?sslmode=verify-full&sslrootcert=%s/tls/ca.crt"
        "%s%s\"",
        a->user.login, a->server.kind == STORE_PERSONAL ? "" : "~",
        a->server.kind == STORE_PERSONAL ? "" : a->server.name, host, h->port, a->server.superuser,
        h->state_dir, passfile == NULL ? "" : "&passfile=", passfile == NULL ? "" : passfile);
}
