/*
 * patience.h: how long a pod is waited for, while it starts and while it stops. For the files
 * pod*.c alone.
 */
#pragma once

#include "pod-int.h"

/*
 * A server that starts is waited for as long as it works: after a crash it may have much to redo.
 * One that does nothing is ended, and has failed to start. ENGINE_SLOW tells of the first.
 */
void patience_start(struct pod *p);
void patience_ready(struct pod *p);

/*
 * Told to stop, it is helped along: SIGINT at once; after a while SIGCONT to all of it, for what
 * its owner has stopped would hold it up; then SIGQUIT, which ends it without a checkpoint; then
 * SIGKILL. STOP_MS in all.
 */
void patience_stop(struct pod *p);

void patience_forget(struct pod *p);
