/* attr.h: the attributes of a SCRAM message, "n=user,r=nonce", read one after the other. */
#pragma once

#include "message.h"

/* "malformed SCRAM message" with this detail; returns -1. */
int attr_malformed(struct refusal *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), cold));
/* A foreign character as it can be shown; at has 8 bytes. Returns at. */
#define ATTR_SHOWN 8
const char *attr_show(char at[ATTR_SHOWN], char c);

/* Read "name=value" up to a comma or the end at *at, end the value with a NUL in place, and step
 * behind the comma. -1 with *why when something else stands there. */
int attr_read(char **at, char name, char **ret_value, struct refusal *why)
    __attribute__((warn_unused_result));
/* The same for an attribute of any name. */
int attr_read_any(char **at, char *ret_name, char **ret_value, struct refusal *why)
    __attribute__((warn_unused_result));
