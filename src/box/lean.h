/* lean.h: carrying a plan's binds into the small mount namespace of box_lean_open; for exec.c. */
#pragma once

#include <stddef.h>

#include "base/err.h"

#include "box.h"

#define BOX_PLACE_SIZE 32

struct box_places {
    char path[BOX_BINDS_MAX][BOX_PLACE_SIZE];
};

/*
 * Move the calling process there, and make the plan's binds mean the same there. places must live
 * as long as the plan. After failure the process is fit for nothing but reporting e.
 */
int box_lean_enter(struct box_plan *p, struct box_places *places, struct err *e);
