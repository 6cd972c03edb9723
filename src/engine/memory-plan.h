/*
 * memory-plan.h: when somebody has to give memory back, how much, and who. Pure.
 *
 * The kernel kills when what is held (not page cache) reaches the limit. Before that happens the
 * largest are asked to stop: as few as will do, and no more while what was asked for is on its way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a group of processes has grown. */
struct memory_pace {
    uint64_t limit, held; /* bytes; limit 0: nothing is decided */
    uint64_t at_ms;       /* of that look; 0: there was none */
    uint64_t speed;       /* bytes a millisecond; what it was counts on for a while */
    uint64_t crowd;       /* processes */
};

struct memory_eater {
    uint64_t weight; /* bytes that would come back if it ended */
    int pid;
};

/*
 * RLIMIT_DATA of each process of a server. Shared memory is not in it, so it need not have room for
 * the buffers; but of a small server it must leave something to the others.
 */
uint64_t memory_of_one(uint64_t limit);

/* Usage levels at which to look. How many; at most MEMORY_LEVELS. */
enum { MEMORY_LEVELS = 8 };
size_t memory_levels(uint64_t limit, uint64_t ret[MEMORY_LEVELS]);

void memory_look(struct memory_pace *pace, uint64_t limit, uint64_t held, uint64_t crowd,
                 uint64_t now_ms);
/* How much has to come back now; coming is what was asked for and has not come yet. */
uint64_t memory_need(const struct memory_pace *pace, uint64_t coming);
/* The kernel is about to kill: whoever is largest, however small, is better than that. */
bool memory_dire(const struct memory_pace *pace);
/* Milliseconds in which nothing can happen that a look would have to prevent. */
uint64_t memory_pause(const struct memory_pace *pace);
/* Has it grown so that it must be looked at again whether or not there is an event? */
bool memory_restless(const struct memory_pace *pace);

/* What would come back if a process ended: of the shared part not what everybody has, the buffers.
 */
uint64_t memory_weight(uint64_t limit, uint64_t own, uint64_t shared);
/* Whom it is not worth asking. */
uint64_t memory_least(uint64_t limit);
/* In the order in which they are to be asked. */
void memory_sort(struct memory_eater *eaters, size_t n);
