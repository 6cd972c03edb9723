/* login.h: who is it that knocks? Decides from the record alone; wakes nothing. */
#pragma once

#include "base/err.h"
#include "dormd/hub.h"
#include "ipc/ipc.h"
#include "store/store.h"

struct login_ask {
    const char *user, *database; /* as typed: any bytes but NUL */
    uint64_t os_uid;             /* UINT64_MAX unless the kernel vouches for them */
    const char *pod;             /* the server beside which they run, by its id; or NULL */
};

struct login_answer {
    enum ipc_verdict verdict;
    struct store_account account; /* unless IPC_WHO_NOBODY */
    char role[STORE_NAME_SIZE];
    char database[STORE_NAME_SIZE];
    struct err refusal; /* kind NONE: welcome */
};

/* Fails only when the record cannot be read. */
int login_who(struct hub *h, const struct login_ask *ask, struct login_answer *ret, struct err *e);
