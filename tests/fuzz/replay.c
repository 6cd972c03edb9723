/* Runs a fuzz target over a stored corpus, and over every prefix of each entry. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/fd.h"
#include "fuzz.h"

/* Copied to the heap at its exact size, so that reading past the end is an error ASan can see. */
static void run(const char *data, size_t len)
{
    uint8_t *exact = malloc(len == 0 ? 1 : len);

    if (exact == NULL)
        abort();
    memcpy(exact, data, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

int main(int argc, char **argv)
{
    AUTO_CLOSEDIR DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    unsigned entries = 0;

    if (dir == NULL) {
        fprintf(stderr, "usage: replay CORPUS-DIRECTORY\n");
        return 2;
    }
    while ((entry = readdir(dir)) != NULL) {
        AUTO_FREE char *data = NULL;
        struct err e;
        int len;

        if (entry->d_name[0] == '.')
            continue;
        len = fd_read_file(dirfd(dir), entry->d_name, 1 << 20, &data, &e);
        if (len < 0) {
            fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
        for (int n = len > 2000 ? len - 2000 : 0; n <= len; n++)
            run(data, (size_t)n);
        entries++;
    }
    if (entries == 0) {
        fprintf(stderr, "%s holds no corpus\n", argv[1]);
        return 1;
    }
    printf("%u entries\n", entries);
    return 0;
}
