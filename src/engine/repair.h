/*
 * repair.h: what is tried when a server does not start, or does not let its owner in. For the files
 * pod*.c alone.
 *
 * A wake has at most REPAIR_STARTS starts: as it is; without postgresql.auto.conf; with nothing but
 * the hub's settings. What is changed on the disk is changed in the child that becomes the pod, as
 * the owner of the data, and is told to who comes in.
 */
#pragma once

#include "pg/mend.h"
#include "pod-int.h"

enum { REPAIR_STARTS = 3, REPAIR_ASIDES = 2 };

/* Written by the child that starts the server, read by dormd: a page of both. */
struct repair {
    struct pg_mended mended; /* what was put right */
    bool emptied;            /* nothing is in the data directory */
    char where[8];           /* the data are, below the volume */
    struct {
        char name[PG_ASIDE_SIZE], aside[PG_ASIDE_SIZE]; /* "": none */
    } asides[REPAIR_ASIDES];
};

/* ---- in the child ---- */

/* Data that are attached and locked, ready to be started. -1 when it is not worth a start. */
int repair_data(const struct pod *p, const char *where, int lock_fd, struct err *e);

/* ---- in dormd ---- */

/* Before each start. */
int repair_begin(struct pod *p, struct err *e);
void repair_done(struct pod *p);
/* Its processes are gone and it never was ready. True: something more is tried, or put back, and p
 * lives on. */
bool repair_goes_on(struct pod *p);
/* What was done so that it is ready now, for who comes in. False: nothing. */
bool repair_told(const struct pod *p, struct err *ret);
