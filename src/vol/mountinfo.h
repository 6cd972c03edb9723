/* mountinfo.h: one line of /proc/self/mountinfo: bytes in, fields out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MOUNTINFO_PATH_SIZE 4096
#define MOUNTINFO_MAX       (64u << 20) /* of the whole file: some 500 000 mounts */

struct mountinfo {
    unsigned id, parent, major, minor;
    bool read_only;
    /* Unescaped, so any byte but NUL may be in them. Of NFS the root is the path on the server. */
    char root[MOUNTINFO_PATH_SIZE], mountpoint[MOUNTINFO_PATH_SIZE];
    char type[64], source[MOUNTINFO_PATH_SIZE];
};

/* Parse a line (without its newline). False when it is not one; *ret_mount is then undefined. */
bool mountinfo_parse(const char *line, size_t len, struct mountinfo *ret_mount);
/* The value of an option of the file system itself ("" for one without), which are the last field
 * of the line. False when it is not set, or its value does not fit. */
bool mountinfo_option(const char *line, size_t len, const char *option, char *at, size_t size);
/* The last component of path when it lies directly in dir, else NULL. */
const char *mountinfo_below(const char *path, const char *dir);
