/* auto.h: locals that release what they hold when they leave scope, and how to hand it on. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(fn) __attribute__((cleanup(fn)))

static inline void auto_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* once only: after EINTR the number may already be someone else's */
}

static inline void auto_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void auto_closedir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

static inline void auto_fclose(FILE **file)
{
    if (*file != NULL)
        (void)fclose(*file);
}

#define AUTO_CLOSE    AUTO(auto_close)
#define AUTO_FREE     AUTO(auto_free)
#define AUTO_CLOSEDIR AUTO(auto_closedir)
#define AUTO_FCLOSE   AUTO(auto_fclose)

/* Empty a descriptor variable and return what it held; its cleanup then does nothing. */
static inline int take_fd(int *fd)
{
    int held = *fd;

    *fd = -1;
    return held;
}

/* The same for a pointer variable. */
#define take_ptr(variable)                            \
    __extension__({                                   \
        __typeof__(variable) *take_at_ = &(variable); \
        __typeof__(variable) take_held_ = *take_at_;  \
        *take_at_ = NULL;                             \
        take_held_;                                   \
    })

/* Close and forget; safe on a variable that holds nothing. */
static inline void close_fd(int *fd)
{
    auto_close(fd);
    *fd = -1;
}
