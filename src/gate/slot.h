/*
 * slot.h: the numbers by which dormd and clients that cancel name a session.
 *
 * A session has a slot while it lives. Its id, for dormd, is never used again; its cancel key is
 * the number of the slot, which PostgreSQL's protocol calls a pid, and 32 random bits. A slot is
 * not given to another session while a cancel request for the earlier one is on its way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slot {
    void *owner; /* borrowed; NULL when the session has ended */
    uint64_t id; /* 0: free */
    uint8_t key[4];
    uint32_t pid;
    uint32_t held; /* cancel requests on their way */
    uint32_t next_free;
};

struct slots {
    struct slot **at; /* owned; [0] is not used */
    uint32_t n, size;
    uint32_t free_first, free_last; /* the one free for longest goes first; 0: none */
    uint64_t sequence;
};

void slots_done(struct slots *t);
/* A slot for owner, or NULL when there are 2^20. It stays where it is until slot_leave(). */
struct slot *slot_enter(struct slots *t, void *owner);
/* The session has ended. */
void slot_leave(struct slots *t, struct slot *s);
void slot_hold(struct slot *s);
void slot_release(struct slots *t, struct slot *s);

/* The owner of this id, or NULL when it has ended or never was. */
void *slot_find(const struct slots *t, uint64_t id);
/* The slot whose session has this cancel key, or NULL. Takes as long for every wrong key. */
struct slot *slot_of_key(const struct slots *t, uint32_t pid, const uint8_t *key, size_t key_len);
