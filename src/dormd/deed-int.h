/* deed-int.h: the steps that deeds have in common, for the files deed*.c alone. */
#pragma once

#include "deed.h"

int64_t deed_undo_until(const struct hub *h);
/* Whoever is in hears why before the server goes. From here on the call lasts to the end. */
void deed_rest_then(struct deed *d, const char *what, void (*act)(struct deed *d));
struct engine_task deed_task(const struct deed *d, enum engine_task_what what);
/* The end of it, either way. */
void deed_finish(struct deed *d, const struct err *e);
/* It was not done: take back what was recorded for it. */
void deed_revert(struct deed *d);
/* Let the engine do it; a refusal is a failure like any other. */
void deed_work(struct deed *d, const struct engine_task *task, engine_task_fn done);
/* What is to be recorded before the effect: what it was, and how it is undone. */
void deed_will_keep(struct deed *d, enum store_why why, bool running);
void deed_will_undo(struct deed *d, enum store_deed deed, const char *text);
void deed_say_undo(struct deed *d);
/* Those whose server it was hear of it when they come in, if it was the administrator's doing. */
void deed_tell_users(const struct call *c, const struct store_undo *u);
/* Fails the call when there is nothing in the server yet. */
bool deed_never_used(struct deed *d);
/* The act: d->from, or nothing, in the place of the present content. */
void deed_replace(struct deed *d);
void deed_restore_from(struct deed *d, const struct store_snapshot *from);
