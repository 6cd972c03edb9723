/* doctor.h: `dorm doctor`: does this machine really do what we count on? Proves rather than reads.
 */
#pragma once

#include "dormd/control.h"

void doctor_run(struct call *c);
