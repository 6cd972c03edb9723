/*
 * inject.h: named places where a test makes the program die, fail or wait, to see what a crash just
 * there leaves behind. DORM_INJECT="vol.cloned=kill" (or =fail, =stop), read once. Compiled away
 * unless the build is made with -Dinject=true: a released dormd has no such places.
 */
#pragma once

#include "err.h"

#ifdef DORM_INJECT
int inject_at(const char *place, struct err *e);
#define INJECT(place, e) inject_at((place), (e))
#else
#define INJECT(place, e) ((void)(e), 0)
#endif
