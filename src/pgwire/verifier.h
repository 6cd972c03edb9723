/* verifier.h: inside this folder only. */
#pragma once

#include "scram.h"

void verifier_write(const struct scram_verifier *v, char ret_text[SCRAM_VERIFIER_SIZE]);
