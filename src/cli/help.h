/* help.h: what the table of commands says about itself. */
#pragma once

struct buf;
struct cmd;

void help_all(struct buf *b);
/* The commands that begin with this word. */
void help_group(struct buf *b, const char *group);
void help_command(struct buf *b, const struct cmd *cmd);
void help_completion_bash(struct buf *b);
