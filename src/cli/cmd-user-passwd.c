#include "commands.h"

#include "cli/password.h"

const struct cmd cmd_user_passwd = {
    .name = "user passwd",
    .summary = "a new password for a user",
    .example = "dorm user passwd alice\necho secret | dorm user passwd alice --password -",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .options =
        (const struct cmd_option[]){
            {"password", 0, "-", "password",
             "- asks for it, or reads it from standard input; without: one is made"},
            {0}},
    .run = call_with_password,
};
