/*
 * json.h: writing JSON into a buf. Text that is not valid UTF-8 is written byte by byte as \u00NN;
 * what could steer a terminal (see str_show) is escaped, for JSON is looked at there, too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* A quoted, escaped string. False when the buffer is full. */
bool json_put_string(struct buf *b, const char *s, size_t len) __attribute__((warn_unused_result));
