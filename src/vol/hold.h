/*
 * hold.h: keeping one volume from using up what others of its pool need. Both work on a mounted
 * image, at once, and cost the pool nothing.
 */
#pragma once

#include "vol.h"

/*
 * Hold: what is free in the volume is taken by a file of ours that has no blocks in the pool, so
 * that from the next moment on the volume cannot grow: its owner is told "no space left", can
 * delete, and use what that freed until the next hold takes it, too. Idempotent.
 */
int vol_hold(const char *mountpoint, bool on, struct err *e);
/* 1, 0, or -1. */
int vol_held(const char *mountpoint, struct err *e);
/* At most that much may be written by its users and not be on the disk yet. Before Linux 6.2 it can
 * be said only roughly: 0 is returned then, else 1. */
int vol_bound_dirty(const char *mountpoint, uint64_t bytes, struct err *e);
