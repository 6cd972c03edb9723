/*
 * claim.h: which volume a claim gets. Pure: who owns what is in the record, and what is decided
 * here is carried out elsewhere. The rules are those of Kubernetes, save that a claim that cannot
 * be met says which field does not match.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The bits are those of the record. */
#define CLAIM_MODES(X)                                           \
    X(RWO, 1, "ReadWriteOnce")     /* every pod of one server */ \
    X(RWOP, 2, "ReadWriteOncePod") /* one pod */                 \
    X(ROX, 4, "ReadOnlyMany")      /* any pod, for reading */    \
    X(RWX, 8, "ReadWriteMany")     /* any pod */
enum claim_mode {
#define X(mode, bit, word) CLAIM_##mode = bit,
    CLAIM_MODES(X)
#undef X
        CLAIM_ANY_MODE = 15
};

/* Everything is borrowed, and no text is NULL: "" says there is none. */
struct claim {
    const char *name, *hub;
    const char *class; /* "": static volumes without a class only */
    uint64_t capacity; /* bytes */
    unsigned modes;    /* all of which the volume must offer */
};

struct claim_offer {
    const char *name;  /* the volume's, to show */
    const char *class; /* "": none */
    uint64_t capacity;
    unsigned modes;
    const char *ref_hub, *ref_name; /* claimRef: whom it is kept for; a hub of "" is any */
    const char *bound_to;           /* the server whose it is; "": nobody's */
    bool released;                  /* whose it was is gone, their data is not */
};

/* May that claim have this volume? -1: ERR_CONFIG with the field that does not match, ERR_INPUT
 * when no volume at all could match such a claim. */
int claim_fits(const struct claim *c, const struct claim_offer *o, struct err *e);

enum {
    CLAIM_REFUSED = -1, /* with the reason of the nearest miss */
    CLAIM_NONE = -2,    /* nothing here concerns it: make one, if its class can */
};
/*
 * The index of the volume it gets. One whose claimRef names the claim comes before all others, and
 * when none of these fits that is an error, although another might do or could be made: whoever
 * reserved a volume must not find the data elsewhere. Then the smallest that fits and is reserved
 * for nobody. Ties go by name.
 *
 * A claim with a class is not refused because static volumes of that class are taken or too small,
 * for one can be made (CLAIM_NONE); a claim without is, since only a volume made by hand can meet
 * it.
 */
ssize_t claim_choose(const struct claim *c, const struct claim_offer *offers, size_t n,
                     struct err *why);
