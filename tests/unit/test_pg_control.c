/* pg_control of a real server, against PostgreSQL's own reader of it; damage. */
#include "pg/control.h"

#include <inttypes.h>

#include "t_pg.h"

static uint8_t good[8192]; /* of a server that was shut down */

static int read_data(struct pg_control *ret, struct err *e)
{
    AUTO_CLOSE int data = open(PG_DATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return pg_control_read(data, ret, e);
}

/* What pg_controldata says after that label, "" when there is no such line. */
static const char *says(const char *label)
{
    static char value[200];
    struct pg_words argv = {0};
    AUTO_FREE char *text = NULL;
    char program[300];
    const char *at;
    struct err e;
    int status = -1;

    (void)snprintf(program, sizeof(program), "%s/pg_controldata", installed.bin);
    pg_words_add(&argv, strdup(program));
    pg_words_add(&argv, strdup(PG_DATA));
    (void)waitpid(run(&argv, "/run/controldata.log"), &status, 0);
    pg_words_done(&argv);
    value[0] = '\0';
    if (status != 0 || fd_read_file(AT_FDCWD, "/run/controldata.log", 1 << 16, &text, &e) < 0)
        return value;
    at = strstr(text, label);
    if (at == NULL)
        return value;
    at += strlen(label);
    at += strspn(at, " ");
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\n"), at);
    return value;
}

static void it_reads_what_pg_controldata_reads(void)
{
    struct pg_control c = {0};
    struct err e = {0};
    char text[100];

    T_EQ(read_data(&c, &e), 0);
    (void)snprintf(text, sizeof(text), "%" PRIu64, c.system);
    T_STR(text, says("Database system identifier:"));
    (void)snprintf(text, sizeof(text), "%u", c.version);
    T_STR(text, says("pg_control version number:"));
    (void)snprintf(text, sizeof(text), "%u", c.catalog);
    T_STR(text, says("Catalog version number:"));
    T_STR(says("Database cluster state:"), "shut down");
    T_EQ(c.state, PG_STATE_SHUT_DOWN);
    (void)snprintf(text, sizeof(text), "%X/%X", (unsigned)(c.checkpoint >> 32),
                   (unsigned)c.checkpoint);
    T_STR(text, says("Latest checkpoint location:"));
    (void)snprintf(text, sizeof(text), "%X/%X", (unsigned)(c.redo >> 32), (unsigned)c.redo);
    T_STR(text, says("Latest checkpoint's REDO location:"));
    (void)snprintf(text, sizeof(text), "%u", c.timeline);
    T_STR(text, says("Latest checkpoint's TimeLineID:"));
    (void)snprintf(text, sizeof(text), "%u:%u", (unsigned)(c.next_xid >> 32), (unsigned)c.next_xid);
    T_STR(text, says("Latest checkpoint's NextXID:"));
    (void)snprintf(text, sizeof(text), "%u", c.checksum);
    T_STR(text, says("Data page checksum version:"));
    (void)snprintf(text, sizeof(text), "%u", c.segment);
    T_STR(text, says("Bytes per WAL segment:"));
    T_EQ(clock_unix() - c.time < 600, 1);
}

static void the_state_is_that_of_the_server(void)
{
    struct pg_control c = {0};
    struct err e = {0};

    T_EQ(read_data(&c, &e), 0);
    T_EQ(c.state, PG_STATE_SHUT_DOWN);
    T_OK(start());
    T_EQ(read_data(&c, &e), 0);
    T_EQ(c.state, PG_STATE_IN_PRODUCTION);
    stop(SIGKILL);
    T_EQ(read_data(&c, &e), 0);
    T_EQ(c.state, PG_STATE_IN_PRODUCTION);
    T_STR(says("Database cluster state:"), "in production");
    T_OK(start());
    stop(SIGINT);
}

static bool put_control(const uint8_t *bytes, size_t len)
{
    AUTO_CLOSE int fd = open(PG_DATA "/" PG_CONTROL_FILE, O_WRONLY | O_TRUNC | O_CLOEXEC);
    struct err e;

    return fd >= 0 && fd_write_all(fd, bytes, len, &e) == 0;
}

static void keep_good(void)
{
    AUTO_FREE char *text = NULL;
    struct err e = {0};

    T_EQ(fd_read_file(AT_FDCWD, PG_DATA "/" PG_CONTROL_FILE, 1 << 16, &text, &e), sizeof(good));
    memcpy(good, text, sizeof(good));
}

static void every_flipped_bit_is_damage(void)
{
    struct pg_control c;
    struct err e = {0};

    keep_good();
    T_EQ(pg_control_parse(good, sizeof(good), &c, &e), 0);
    for (size_t bit = 0; bit < 288 * 8; bit++) {
        uint8_t bytes[8192];

        memcpy(bytes, good, sizeof(bytes));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (pg_control_parse(bytes, sizeof(bytes), &c, &e) != -1 || e.kind != ERR_INTERNAL) {
            printf("# bit %zu\n", bit);
            T_OK(false);
        }
    }
    for (size_t len = 0; len < 292; len++)
        T_EQ(pg_control_parse(good, len, &c, &e), -1);
    T_EQ(pg_control_parse(good, 292, &c, &e), 0);
}

/* Also by its place in the tree: what is not a file is not read, and no link is followed. */
static void damage_is_told_from_an_unknown_version(void)
{
    static const uint8_t zeros[8192];
    struct pg_control c;
    struct err e = {0};

    T_OK(put_control(zeros, sizeof(zeros)));
    T_EQ(read_data(&c, &e), -1);
    T_EQ(e.kind, ERR_INTERNAL);
    T_OK(put_control(good, 100));
    T_EQ(read_data(&c, &e), -1);
    T_STR(e.msg, "global/pg_control is damaged: it is cut off");
    (void)unlink(PG_DATA "/" PG_CONTROL_FILE);
    T_EQ(read_data(&c, &e), -1);
    T_STR(e.msg, "global/pg_control is damaged: it is missing");
    T_EQ(mkfifo(PG_DATA "/" PG_CONTROL_FILE, 0600), 0);
    T_EQ(read_data(&c, &e), -1);
    T_STR(e.msg, "global/pg_control is damaged: it is no file");
    (void)unlink(PG_DATA "/" PG_CONTROL_FILE);
    T_OK(put_file("/run/control", "x", 0));
    T_EQ(symlink("/run/control", PG_DATA "/" PG_CONTROL_FILE), 0);
    T_EQ(read_data(&c, &e), -1);
    T_STR(e.msg, "global/pg_control is damaged: it is reached through a link");
}

static uint32_t crc32c(const uint8_t *at, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (((crc ^ (uint32_t)at[i] >> bit) & 1) != 0 ? 0x82f63b78u : 0);
    return ~crc;
}

static void versions_differ_by_where_their_checksum_is(void)
{
    static const struct {
        uint32_t version;
        size_t crc_at;
        int result;
    } cases[] = {{1300, 288, 0},  {1700, 288, 0},  {1800, 292, 0},
                 {1800, 288, -1}, {1900, 300, -1}, {1201, 284, -1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[8192];
        struct pg_control c = {0};
        struct err e = {0};
        uint32_t crc;

        memcpy(bytes, good, sizeof(bytes));
        memcpy(bytes + 8, &cases[i].version, 4);
        memset(bytes + 252, 7, 100);
        crc = crc32c(bytes, cases[i].crc_at);
        memcpy(bytes + cases[i].crc_at, &crc, 4);
        T_EQ(pg_control_parse(bytes, sizeof(bytes), &c, &e), cases[i].result);
        if (cases[i].result < 0)
            T_EQ(e.kind, cases[i].version == 1800 ? ERR_INTERNAL : ERR_MISSING);
    }
}

int main(void)
{
    const char *why = t_pg_begin();

    if (why != NULL) {
        printf("1..0 # SKIP NOT TESTED with a real PostgreSQL: %s\n", why);
        return 0;
    }
    T_OK(run_initdb("postgres"));
    T_RUN(it_reads_what_pg_controldata_reads);
    T_RUN(the_state_is_that_of_the_server);
    T_RUN(every_flipped_bit_is_damage);
    T_RUN(damage_is_told_from_an_unknown_version);
    T_RUN(versions_differ_by_where_their_checksum_is);
    return t_end();
}
