#include "commands.h"

#include "cli/password.h"

const struct cmd cmd_user_add = {
    .name = "user add",
    .summary = "a new user, with a server of their own",
    .help = "LOGIN may be an e-mail address: the login is made from it.",
    .example = "dorm user add alice@example.edu --name \"Alice Liddell\"\necho secret | dorm user "
               "add bob --password -",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .options =
        (const struct cmd_option[]){
            {"email", 0, "ADDRESS", "email", "their e-mail address"},
            {"name", 0, "TEXT", "display", "their name as people write it"},
            {"role", 0, "ROLE", "role", "user, assistant, admin or service"},
            {"password", 0, "-", "password",
             "- asks for it, or reads it from standard input; without: one is made"},
            {0}},
    .run = call_with_password,
};
