/* install.h: the PostgreSQL servers that are installed on this machine. */
#pragma once

#include "base/err.h"

#define PG_MAJOR_MIN 13
#define PG_MAJOR_MAX 18
#define PG_INSTALLS  16 /* at most this many are looked at */

struct pg_install {
    int major;
    char version[32]; /* "15.20" */
    char bin[256];    /* directory that holds postgres and initdb */
};

/*
 * "postgres" (the newest there is), "postgres:15", "postgres:15.3" (the major alone counts: minors
 * are the operating system's business). *ret_major is 0 for the newest.
 */
int pg_image_parse(const char *image, int *ret_major, struct err *e);

/* "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", "... 19devel", "... 18rc1". Pure. */
int pg_version_parse(const char *text, int *ret_major, char *ret_version, size_t size);

/*
 * The installed servers of supported majors, newest first; returns how many were put into ret.
 * root is "" or a directory below which a test has made a machine. Each candidate's
 * `postgres --version` is run, for at most two seconds: call from a job.
 */
int pg_list(const char *root, struct pg_install ret[PG_INSTALLS], struct err *e);

/* ERR_INPUT: no such image. ERR_MISSING: not installed; message and hint say what is, and what to
 * do. */
int pg_find(const char *root, const char *image, struct pg_install *ret, struct err *e);
