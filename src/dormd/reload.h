/* reload.h: `dorm reload`: the hub file again, swapped whole or not at all. */
#pragma once

#include "dormd/control.h"

void reload_run(struct call *c);
