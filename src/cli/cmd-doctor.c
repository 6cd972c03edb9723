#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_doctor = {
    .name = "doctor",
    .summary = "try what this machine can and cannot enforce, and say what to change",
    .example = "sudo dorm doctor",
    .run = call_run,
};
