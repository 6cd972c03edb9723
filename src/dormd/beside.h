/*
 * beside.h: a snapshot opened as a server of its own beside the present one, so that its owner can
 * copy a table back: "alice~alice-friday". It has a volume of its own and goes by `server remove`.
 */
#pragma once

#include "dormd/control.h"
#include "store/store.h"

/* Each answers the call. */
void beside_open(struct call *c, const struct store_volume *v, const struct store_snapshot *s);
void beside_remove(struct call *c, const struct store_account *a);
