/*
 * keeper.h: what happens to volumes by itself: snapshots by time, the end of what was kept for an
 * undo, and making room by dropping the oldest snapshots when a pool runs low. One thing after the
 * other, so that a large class never forks a thousand children.
 */
#pragma once

#include "dormd/hub.h"
#include "store/store.h"

struct keeper;

struct keeper *keeper_new(struct hub *h);
void keeper_free(struct keeper *k);
/* A server has fallen asleep after use. */
void keeper_slept(struct hub *h, const char *server);
/* Whatever has had its time. */
void keeper_sweep(struct hub *h);
/* A snapshot is to go now; its row goes when its blocks have. */
void keeper_drop(struct hub *h, const struct store_snapshot *s);
/* Rows of snapshots that a crash kept from being taken. */
int keeper_check(struct hub *h, struct err *e);
