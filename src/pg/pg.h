/* pg.h: all that knows PostgreSQL's server side. It starts nothing: the engine does, with these. */
#pragma once

#include "adopt.h"    /* IWYU pragma: export */
#include "client.h"   /* IWYU pragma: export */
#include "control.h"  /* IWYU pragma: export */
#include "doing.h"    /* IWYU pragma: export */
#include "install.h"  /* IWYU pragma: export */
#include "name.h"     /* IWYU pragma: export */
#include "place.h"    /* IWYU pragma: export */
#include "ready.h"    /* IWYU pragma: export */
#include "settings.h" /* IWYU pragma: export */
#include "survey.h"   /* IWYU pragma: export */
#include "template.h" /* IWYU pragma: export */
