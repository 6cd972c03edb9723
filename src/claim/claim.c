#include "claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { MODES_SIZE = 64 };

/* "ReadWriteOnce, ReadOnlyMany"; returns at. */
static char *modes_text(unsigned modes, char at[MODES_SIZE])
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
#define X(mode, bit, word) {bit, word},
        CLAIM_MODES(X)
#undef X
    };
    size_t used = 0;

    (void)snprintf(at, MODES_SIZE, "none");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((modes & words[i].bit) != 0)
            used += (size_t)snprintf(at + used, MODES_SIZE - used, "%s%s", used == 0 ? "" : ", ",
                                     words[i].word);
    return at;
}

/* In the order in which they are looked at: the later, the nearer it was. */
enum miss { FITS, NAME, HUB, CLASS, MODES, CAPACITY, RELEASED, BOUND };

static enum miss look(const struct claim *c, const struct claim_offer *o)
{
    if (o->ref_name[0] != '\0' && !str_is(o->ref_name, c->name))
        return NAME;
    if (o->ref_hub[0] != '\0' && !str_is(o->ref_hub, c->hub))
        return HUB;
    if (!str_is(o->class, c->class))
        return CLASS;
    if ((c->modes & ~o->modes) != 0)
        return MODES;
    if (o->capacity < c->capacity)
        return CAPACITY;
    if (o->released)
        return RELEASED;
    return o->bound_to[0] != '\0' ? BOUND : FITS;
}

static int too_small(const struct claim *c, const struct claim_offer *o, struct err *e)
{
    char has[24], asks[24];

    (void)str_size(has, sizeof(has), o->capacity);
    (void)str_size(asks, sizeof(asks), c->capacity);
    if (str_is(has, asks)) { /* both are rounded */
        (void)snprintf(has, sizeof(has), "%" PRIu64, o->capacity);
        (void)snprintf(asks, sizeof(asks), "%" PRIu64, c->capacity);
    }
    return err_set(e, ERR_CONFIG, "capacity: %s is less than the %s that the claim asks for", has,
                   asks);
}

static int other_class(const struct claim *c, const struct claim_offer *o, struct err *e)
{
    if (o->class[0] == '\0')
        return err_set(e, ERR_CONFIG, "class: the volume has none, the claim asks for \"%s\"",
                       c->class);
    if (c->class[0] == '\0')
        return err_set(e, ERR_CONFIG, "class: the volume's is \"%s\", the claim asks for none",
                       o->class);
    return err_set(e, ERR_CONFIG, "class: the volume's is \"%s\", the claim asks for \"%s\"",
                   o->class, c->class);
}

static int say(enum miss miss, const struct claim *c, const struct claim_offer *o, struct err *e)
{
    char offers[MODES_SIZE], asks[MODES_SIZE];

    switch (miss) {
    case NAME:
        return err_set(e, ERR_CONFIG, "name: claimRef.name is \"%s\", the claim is \"%s\"",
                       o->ref_name, c->name);
    case HUB:
        return err_set(e, ERR_CONFIG, "hub: claimRef.hub is \"%s\", this hub is \"%s\"", o->ref_hub,
                       c->hub);
    case CLASS:
        return other_class(c, o, e);
    case MODES:
        return err_set(e, ERR_CONFIG, "accessModes: the volume offers %s, the claim asks for %s",
                       modes_text(o->modes, offers), modes_text(c->modes, asks));
    case CAPACITY:
        return too_small(c, o, e);
    case RELEASED:
        return err_set(e, ERR_CONFIG, "it is released: its data is still another's");
    case BOUND:
        return err_set(e, ERR_CONFIG, "it is bound to server %s", o->bound_to);
    case FITS:
        break;
    }
    return 0;
}

static int possible(const struct claim *c, struct err *e)
{
    if (c->name[0] == '\0')
        return err_set(e, ERR_INPUT, "a claim needs a name");
    if (c->modes == 0 || (c->modes & ~(unsigned)CLAIM_ANY_MODE) != 0)
        return err_set(e, ERR_INPUT, "claim \"%s\": accessModes: at least one is needed", c->name);
    if (c->capacity == 0)
        return err_set(e, ERR_INPUT, "claim \"%s\": capacity: it must be more than 0", c->name);
    return 0;
}

int claim_fits(const struct claim *c, const struct claim_offer *o, struct err *e)
{
    enum miss miss;

    if (possible(c, e) < 0)
        return -1;
    miss = look(c, o);
    if (miss == FITS)
        return 0;
    (void)say(miss, c, o, e);
    return err_prefix(e, "volume \"%s\" does not fit claim \"%s\"", o->name, c->name);
}

static bool reserved(const struct claim *c, const struct claim_offer *o)
{
    enum miss miss = look(c, o);

    return o->ref_name[0] != '\0' && miss != NAME && miss != HUB;
}

/* Among those that fit the smallest; among those that do not, the nearest, then the largest. */
static bool better(const struct claim *c, const struct claim_offer *a, const struct claim_offer *b)
{
    enum miss of_a = look(c, a), of_b = look(c, b);

    if (of_a != of_b)
        return of_a == FITS || (of_b != FITS && of_a > of_b);
    if (a->capacity != b->capacity)
        return (a->capacity < b->capacity) == (of_a == FITS);
    return strcmp(a->name, b->name) < 0;
}

/* Whether an offer takes part, in the rounds in which they are looked at. */
enum round { RESERVED, FREE, MISSED, ROUNDS };

static bool takes_part(enum round round, const struct claim *c, const struct claim_offer *o)
{
    if (round == RESERVED)
        return reserved(c, o);
    if (round == FREE)
        return o->ref_name[0] == '\0' && look(c, o) == FITS;
    /* With a slip in claimRef.hub it was still meant for this claim. */
    return c->class[0] == '\0' || str_is(o->ref_name, c->name);
}

ssize_t claim_choose(const struct claim *c, const struct claim_offer *offers, size_t n,
                     struct err *why)
{
    if (possible(c, why) < 0)
        return CLAIM_REFUSED;
    for (enum round round = RESERVED; round < ROUNDS; round++) {
        const struct claim_offer *best = NULL;

        for (size_t i = 0; i < n; i++)
            if (takes_part(round, c, &offers[i]) && (best == NULL || better(c, &offers[i], best)))
                best = &offers[i];
        if (best != NULL)
            return claim_fits(c, best, why) < 0 ? CLAIM_REFUSED : best - offers;
    }
    return CLAIM_NONE;
}
