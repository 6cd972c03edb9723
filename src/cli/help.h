/* help.h: what the table of commands says about itself. */
#pragma once

struct buf;
struct cmd;

void help_all(struct buf *b);
void help_command(struct buf *b, const struct cmd *cmd);
void help_completion_bash(struct buf *b);
