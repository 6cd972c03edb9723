/*
 * tool.h: a program beside a server, its streams relayed between dormd's pipes or terminal and
 * ours.
 *
 * No descriptor of ours ever gets into a pod: whoever runs this may be root at a terminal.
 */
#pragma once

#include "base/err.h"

struct cli;
struct call_words;

/*
 * Ask for it with these words and relay until it has ended. *ret_status is what it ended with, as a
 * shell has it. With a terminal, ours is in raw mode meanwhile.
 */
int tool_relay(const struct cli *c, const struct call_words *w, int *ret_status, struct err *e);
