/* classes.h: from the storage classes of the hub file to places that can be opened. */
#pragma once

#include <limits.h>

#include "base/err.h"
#include "base/rand.h"
#include "dormd/hub.h"
#include "vol/place.h"

struct conf_class;

/* Texts that a described class points into, beside those of the hub file. */
struct class_texts {
    char id[ID_SIZE], mountpoint[PATH_MAX];
};

/* own: where the pool of a class is that names none. The hub's id is left to who opens it. */
int class_describe(struct hub *h, const struct conf_class *c, const char *own,
                   struct class_texts *texts, struct vol_place_spec *ret, struct err *e);
/* Which disk a class has, from now on. "": it is to get another one. */
int class_record(struct hub *h, const char *class, const char *id, struct err *e);
