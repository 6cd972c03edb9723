/* fd.h: files by descriptor, whole or not at all; and descriptors that travel over a socket. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

/* Open below dir_fd, never through a link or out of it: the tree may belong to a user. */
int fd_open_beneath(int dir_fd, const char *path, int flags, struct err *e);
/* Make the directory if need be, then open it (O_PATH not set). Parents are not made. */
int fd_open_dir(int dir_fd, const char *path, mode_t mode, struct err *e);

/* The whole file, NUL added, at most max bytes. The caller frees. */
int fd_read_file(int dir_fd, const char *path, size_t max, char **ret_text, struct err *e);
/* Replace the file: temporary, fsync, rename, fsync of the directory. Old or new, never half. */
int fd_write_file(int dir_fd, const char *path, mode_t mode, uid_t uid, gid_t gid, const void *data,
                  size_t len, struct err *e);
/* Write a short text to a kernel file (cgroup, proc). */
int fd_put(int dir_fd, const char *path, const char *text, struct err *e);
int fd_get_u64(int dir_fd, const char *path, unsigned long long *ret_value, struct err *e);

/*
 * Remove a file, or a directory and what is in it, without following a link or entering another
 * mount: what somebody has mounted there is theirs. Missing is success.
 */
int fd_remove_tree(int dir_fd, const char *name, struct err *e);

int fd_write_all(int fd, const void *data, size_t len, struct err *e);
int fd_nonblocking(int fd, struct err *e);
/*
 * Take no descriptors that are sent along on this unix socket, or on one accepted from it. Whoever
 * reads a socket also closes what is sent over it, unasked; and closing a stranger's descriptor can
 * take as long as the stranger wishes (a TCP socket that lingers, a file of their own file system).
 * Kernels before 6.16 cannot refuse: there it does nothing.
 */
void fd_refuse_fds(int socket);

/* An anonymous file that holds data and can no longer be changed, positioned at its start. */
int fd_sealed(const char *name, const void *data, size_t len, struct err *e);
