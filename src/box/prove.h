/* prove.h: `dorm doctor` believes nothing it has not tried. Both block for up to a few seconds. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct box_groups;

/*
 * Is a process killed that takes four times the memory of its group? Tried in a group of its own,
 * which is removed again. -1 only when it could not be tried.
 */
int box_prove_memory(const struct box_groups *g, bool *ret_enforced, struct err *e);

/*
 * Can this uid make a user namespace by bubblewrap? 0, or -1 with what stands in the way (a sysctl,
 * AppArmor, bubblewrap missing or setuid) and the way out as the hint.
 */
int box_prove_userns(uid_t uid, gid_t gid, struct err *e);
