/* seccomp.h: the system calls a pod may make: an allow-list, everything else EPERM. */
#pragma once

#include "base/err.h"

/* The filter as BPF in a sealed memfd, for bubblewrap's --seccomp; one serves every pod. */
int box_seccomp_open(struct err *e);
