/* Who may use a volume at the same time: a small world, all of it. */
#include "t.h"

#include "claim/claim.h"

static const char *const servers[] = {"alice", "bob", "carl"};
static struct err e;

/* The rules as people state them, of everybody who has the volume. */
static bool lawful(const struct claim_use *uses, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            bool same = strcmp(uses[i].server, uses[k].server) == 0;

            if (uses[i].mode == CLAIM_RWOP && n > 1)
                return false;
            if (uses[i].mode == CLAIM_RWO && (!same || uses[k].mode != CLAIM_RWO))
                return false;
        }
    return true;
}

/* As the kernel will see it: each server that writes alone holds one exclusive lock, others share.
 */
static bool lock_is_free(const struct claim_use *uses, size_t n, const struct claim_grant *g,
                         const char *server)
{
    for (size_t i = 0; i < n; i++) {
        bool exclusive = uses[i].mode == CLAIM_RWO || uses[i].mode == CLAIM_RWOP;

        if (g->held ? !exclusive || strcmp(uses[i].server, server) != 0 : exclusive || g->exclusive)
            return false;
    }
    return true;
}

static bool could(unsigned mode, const struct claim_use *uses, size_t n)
{
    struct claim_use all[4];

    memcpy(all, uses, n * sizeof(*uses));
    all[n] = (struct claim_use){.server = "alice", .mode = (enum claim_mode)mode};
    return lawful(all, n + 1);
}

static void look(unsigned offers, unsigned wanted, const struct claim_use *uses, size_t n)
{
    struct claim_grant g = {0};
    bool any = false;
    int r;

    memset(&e, 0, sizeof(e));
    r = claim_access(offers, wanted, uses, n, "alice", &g, &e);
    for (unsigned mode = 1; mode <= 8; mode *= 2)
        any |= (offers & wanted & mode) != 0 && could(mode, uses, n);
    T_EQ(r, any ? 0 : -1);
    if (r == 0) {
        T_OK((g.mode & offers & wanted) != 0 && (g.mode & (g.mode - 1)) == 0);
        T_OK(could(g.mode, uses, n));
        T_EQ(g.read_only, g.mode == CLAIM_ROX);
        T_EQ(g.exclusive, g.mode == CLAIM_RWO || g.mode == CLAIM_RWOP);
        T_EQ(g.held, g.mode == CLAIM_RWO && n > 0);
        T_OK(lock_is_free(uses, n, &g, "alice"));
        /* Never less than it could have. */
        T_OK(!g.read_only || (offers & wanted & CLAIM_RWX) == 0 || !could(CLAIM_RWX, uses, n));
        T_OK(!g.read_only || (offers & wanted & CLAIM_RWO) == 0 || !could(CLAIM_RWO, uses, n));
        return;
    }
    T_EQ(e.kind, (offers & wanted) == 0 ? ERR_CONFIG : ERR_BUSY);
    T_EQ(g.mode, 0);
    if (e.kind == ERR_BUSY) {
        bool named = false;

        for (size_t i = 0; i < n; i++) {
            char who[32];

            (void)snprintf(who, sizeof(who), "server \"%s\" has it", uses[i].server);
            named |= strncmp(e.msg, who, strlen(who)) == 0;
        }
        T_OK(named);
    }
}

static unsigned worlds;

static void every_mode(const struct claim_use *uses, size_t n)
{
    worlds++;
    for (unsigned offers = 0; offers < 16; offers++)
        for (unsigned wanted = 0; wanted < 16; wanted++)
            look(offers, wanted, uses, n);
}

/* Every lawful world of up to three pods. */
static void users(struct claim_use *uses, size_t n)
{
    if (!lawful(uses, n))
        return;
    every_mode(uses, n);
    for (size_t i = 0; n < 3 && i < 12; i++) {
        uses[n] =
            (struct claim_use){.server = servers[i % 3], .mode = (enum claim_mode)(1 << i / 3)};
        users(uses, n + 1);
    }
}

static void every_small_world_keeps_the_rules(void)
{
    struct claim_use uses[4];

    users(uses, 0);
    printf("# %u worlds, 256 questions in each\n", worlds);
    T_OK(worlds > 200);
}

static void a_refusal_says_who_has_it_and_how(void)
{
    struct claim_use bob = {"bob", CLAIM_RWO}, own = {"alice", CLAIM_RWOP};
    struct claim_grant g;

    T_EQ(claim_access(CLAIM_ANY_MODE, CLAIM_RWO, &bob, 1, "alice", &g, &e), -1);
    T_STR(e.msg, "server \"bob\" has it as ReadWriteOnce, so server \"alice\" cannot have it as "
                 "ReadWriteOnce");
    T_EQ(claim_access(CLAIM_ANY_MODE, CLAIM_RWOP, &own, 1, "alice", &g, &e), -1);
    T_STR(e.msg, "server \"alice\" has it as ReadWriteOncePod, so another pod of server \"alice\" "
                 "cannot have it as ReadWriteOncePod");
    T_EQ(claim_access(CLAIM_RWO | CLAIM_ROX, CLAIM_RWX, NULL, 0, "alice", &g, &e), -1);
    T_STR(e.msg, "accessModes: the volume offers ReadWriteOnce, ReadOnlyMany, not ReadWriteMany");
}

int main(void)
{
    T_RUN(every_small_world_keeps_the_rules);
    T_RUN(a_refusal_says_who_has_it_and_how);
    return t_end();
}
