/* Backups that somebody has changed: every one is refused before anything is written. */
#include "t_backup.h"

#include <endian.h>
#include <zstd.h>

static const char before[] = "what was here before";

static int out_new(void)
{
    int fd = scratch_fd();

    T_EQ(write(fd, before, sizeof(before)), sizeof(before));
    return fd;
}

static bool untouched(int fd)
{
    char at[64];

    return pread(fd, at, sizeof(at), 0) == sizeof(before) &&
           memcmp(at, before, sizeof(before)) == 0;
}

static int open_in(const char *backup, const char *file, int flags)
{
    AUTO_FREE char *path = mem_printf("%s/%s/%s", target, backup, file);

    return open(path, flags | O_CLOEXEC);
}

/* Whoever opens it, verifies it, reads its record or takes the image out of it is refused where
 * that file is concerned, and there only. */
static void refused(const char *file)
{
    AUTO_CLOSE int out = out_new();
    struct backup *b = NULL;
    char *data = NULL;
    size_t len = 0;
    bool of_record = str_is(file, "record.db"), of_image = str_is(file, "vol0.img");

    if (str_is(file, "manifest")) {
        T_REFUSED(backup_open(target, "a", &b, &e), ERR_INPUT);
        T_STR(listed(), "!a ");
        return;
    }
    T_DO(backup_open(target, "a", &b, &e));
    T_REFUSED(backup_verify(b, NULL, NULL, &e), ERR_INPUT);
    T_EQ(backup_read_file(b, "record.db", 100, &data, &len, &e), of_record ? -1 : 0);
    T_OK(of_record == (data == NULL));
    free(data);
    T_EQ(backup_extract_image(b, "vol0.img", out, NULL, NULL, &e), of_image ? -1 : 0);
    T_EQ(untouched(out), of_image);
    backup_close(b);
}

static void a_flipped_bit_anywhere_is_refused(void)
{
    static const char *const files[] = {"manifest", "record.db", "vol0.img"};
    int image = image_new(MIB, 1, 1);
    unsigned n = 0;

    target_new();
    T_DO(make("a", 1, &image, 1, &e));
    for (size_t i = 0; i < COUNT(files); i++) {
        AUTO_CLOSE int fd = open_in("a", files[i], O_RDWR);
        off_t size = lseek(fd, 0, SEEK_END);
        off_t step = size > 800 ? size / 400 : 1;

        for (off_t at = 0; at < size; at += step, n++) {
            char was, is;

            T_EQ(pread(fd, &was, 1, at), 1);
            is = (char)(was ^ 1 << n % 8);
            T_EQ(pwrite(fd, &is, 1, at), 1);
            refused(files[i]);
            T_EQ(pwrite(fd, &was, 1, at), 1);
        }
    }
    check("a", &image, 1);
    printf("# %u bits\n", n);
    close_fd(&image);
    target_gone();
}

static void a_file_that_was_cut_off_or_lengthened_is_refused(void)
{
    static const char *const files[] = {"manifest", "record.db", "vol0.img"};
    int image = image_new(MIB, 1, 1);

    target_new();
    T_DO(make("a", 1, &image, 1, &e));
    for (size_t i = 0; i < COUNT(files); i++) {
        AUTO_CLOSE int fd = open_in("a", files[i], O_RDWR);
        char bytes[8192];
        ssize_t size = pread(fd, bytes, sizeof(bytes), 0);

        for (ssize_t at = 0; at < size; at += 1 + size / 100) {
            T_EQ(ftruncate(fd, at), 0);
            refused(files[i]);
            T_STR(listed(), "!a ");
        }
        T_EQ(ftruncate(fd, size + 1), 0);
        T_EQ(pwrite(fd, bytes, (size_t)size, 0), size);
        refused(files[i]);
        T_EQ(ftruncate(fd, size), 0);
    }
    check("a", &image, 1);
    close_fd(&image);
    target_gone();
}

/* In the place of a file: a link to one with the same content, nothing, a FIFO nobody writes to. */
static void what_is_not_a_file_is_refused(void)
{
    static const char *const files[] = {"manifest", "record.db", "vol0.img"};
    int image = image_new(MIB, 1, 1);

    target_new();
    T_DO(make("a", 1, &image, 1, &e));
    for (size_t i = 0; i < COUNT(files); i++) {
        AUTO_FREE char *path = mem_printf("%s/a/%s", target, files[i]);
        AUTO_FREE char *away = mem_printf("%s/away", scratch);
        struct backup *b = NULL;

        T_EQ(rename(path, away), 0);
        for (unsigned how = 0; how < 3; how++) {
            T_EQ(how == 0 ? symlink(away, path) : how == 1 ? mkfifo(path, 0600) : 0, 0);
            if (backup_open(target, "a", &b, &e) == 0) {
                AUTO_CLOSE int out = out_new();
                char *data;
                size_t len;

                T_EQ(backup_verify(b, NULL, NULL, &e), -1);
                T_EQ(backup_read_file(b, "record.db", 100, &data, &len, &e), i == 1 ? -1 : 0);
                if (i != 1)
                    free(data);
                T_EQ(backup_extract_image(b, "vol0.img", out, NULL, NULL, &e), i == 2 ? -1 : 0);
                T_EQ(untouched(out), i == 2);
                backup_close(b);
            } else {
                T_EQ(i, 0);
            }
            T_OK(!str_is(listed(), "a "));
            T_EQ(how < 2 ? unlink(path) : 0, 0);
        }
        T_EQ(rename(away, path), 0);
    }
    check("a", &image, 1);
    close_fd(&image);
    target_gone();
}

/* ---- forged: every checksum is right ---- */

struct stream {
    uint8_t at[4096];
    size_t n;
};

static void put_number(struct stream *s, uint64_t v)
{
    uint64_t be = htobe64(v);

    memcpy(s->at + s->n, &be, 8);
    s->n += 8;
}

static struct stream stream(uint64_t size)
{
    struct stream s = {.n = 8};

    memcpy(s.at, STREAM_MAGIC, 8);
    put_number(&s, size);
    return s;
}

static void extent(struct stream *s, uint64_t offset, uint64_t len, size_t data)
{
    put_number(s, offset);
    put_number(s, len);
    memset(s->at + s->n, 'x', data);
    s->n += data;
}

/* A backup whose image of 8192 bytes is that stream. What taking it out says; the file is empty. */
static const char *forged(const struct stream *s, size_t cut, const char *behind)
{
    static char packed[8192];
    struct backup_label label = {.name = "f", .hub = "h", .created = 1};
    struct backup_writer *w = NULL;
    AUTO_CLOSE int out = out_new();
    struct backup *b = NULL;
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    struct stat st;
    size_t n;

    T_OK(!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1)));
    n = ZSTD_compress2(zstd, packed, sizeof(packed), s->at, s->n) - cut;
    (void)ZSTD_freeCCtx(zstd);

    (void)snprintf(packed + n, sizeof(packed) - n, "%s", behind);
    target_new();
    T_DO(backup_begin(target, &label, &w, &e));
    T_DO(backup_add_bytes(w, "i", packed, n + strlen(behind), &e));
    T_DO(backup_finish(w, &(uint64_t){0}, &e));
    T_DO(backup_open(target, "f", &b, &e));
    b->m.files[0].kind = BACKUP_IMAGE; /* as a forger would have it in the manifest */
    b->m.files[0].size = 8192;
    memset(&e, 0, sizeof(e));
    if (backup_extract_image(b, "i", out, NULL, NULL, &e) == 0)
        (void)snprintf(e.msg, sizeof(e.msg), "taken");
    else
        T_EQ(e.kind, ERR_INPUT);
    T_EQ(fstat(out, &st), 0);
    T_EQ(st.st_size, str_is(e.msg, "taken") ? 8192 : 0);
    backup_close(b);
    target_gone();
    return e.msg;
}

#define SAYS(s, cut, behind, words) T_OK(strstr(forged(&(s), (cut), (behind)), (words)) != NULL)

static void a_forged_image_never_reaches_beyond_its_size(void)
{
    static const struct {
        uint64_t offset, len;
        size_t data;
    } wrong[] = {{8192, 1, 1},           {8191, 2, 2},       {0, 8193, 100},
                 {UINT64_MAX, 1, 1},     {9000, 0, 0},       {100, 0, 0},
                 {UINT64_MAX - 1, 8, 8}, {1, UINT64_MAX, 9}, {0, UINT64_C(1) << 63, 9}};
    struct stream s = stream(8192), good;

    extent(&s, 0, 100, 100);
    extent(&s, 100, 100, 100); /* touching is not overlapping */
    extent(&s, 8191, 1, 1);
    good = s;
    extent(&good, 8192, 0, 0);
    T_STR(forged(&good, 0, ""), "taken");
    for (size_t i = 0; i < COUNT(wrong); i++) {
        s = stream(8192);
        extent(&s, wrong[i].offset, wrong[i].len, wrong[i].data);
        extent(&s, 8192, 0, 0);
        SAYS(s, 0, "", wrong[i].len == 0 && wrong[i].offset == 100 ? "empty" : "can be none");
    }
    s = stream(8192);
    extent(&s, 200, 100, 100);
    extent(&s, 299, 100, 100);
    SAYS(s, 0, "", "can be none");
    s = stream(8192);
    extent(&s, 200, 100, 100);
    extent(&s, 0, 100, 100);
    SAYS(s, 0, "", "can be none");
    s = stream(8193);
    extent(&s, 8193, 0, 0);
    SAYS(s, 0, "", "another size");
    s = stream(8192);
    s.at[0] = 'd';
    SAYS(s, 0, "", "begin");
}

static void a_forged_image_has_one_end(void)
{
    struct stream s = stream(8192), good;

    extent(&s, 0, 100, 100);
    SAYS(s, 0, "", "end is missing");
    good = s;
    extent(&good, 8192, 0, 0);
    SAYS(good, 0, "x", "follows its end");
    SAYS(good, 1, "", "end is missing"); /* of zstd's own checksum */
    SAYS(good, 6, "", "end is missing");
    s = good;
    s.at[s.n++] = 'x';
    SAYS(s, 0, "", "follows its end");
    s = good;
    s.n -= 1;
    SAYS(s, 0, "", "end is missing");
    s.n = 0;
    SAYS(s, 0, "", "end is missing");
}

static void a_manifest_says_things_in_one_way(void)
{
    static const char sum[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char *const wrong[] = {
        "dormouse-backup 2\nhub h\ncreated 1\n",
        "dormouse-backup 1\nhub h\n",
        "dormouse-backup 1\nhub h\ncreated 1",
        "dormouse-backup 1\nhub ../h\ncreated 1\n",
        "dormouse-backup 1\nhub h\ncreated -1\n",
        "dormouse-backup 1\nhub h\ncreated 01\n",
        "dormouse-backup 1\nhub h\ncreated 9223372036854775808\n",
        "dormouse-backup 1\nhub h\ncreated 1\n\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 file\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 file a b\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0  file a\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 link a\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 1 file a\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 file ../a\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 file manifest\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 file a\n$ 0 0 file a\n",
        "dormouse-backup 1\nhub h\ncreated 1\n$ 0 0 file b\n$ 0 0 file a\n",
        ("dormouse-backup 1\nhub h\ncreated 1\n$ 9223372036854775807 1 image a\n"
         "$ 9223372036854775807 1 image b\n"),
        "dormouse-backup 1\nhub h\ncreated 1\n$ 9223372036854775808 1 image a\n",
    };

    for (size_t i = 0; i <= COUNT(wrong); i++) {
        const char *text = i < COUNT(wrong) ? wrong[i]
                                            : "dormouse-backup 1\nhub h\ncreated 0\n$ 0 0 file a\n"
                                              "$ 7 9223372036854775807 image b\n";
        AUTO(buf_done) struct buf b;
        AUTO(sum_done) struct sum s = {NULL};
        struct manifest m;
        uint8_t is[BACKUP_SHA256];
        char hex[2 * BACKUP_SHA256 + 1];

        buf_init(&b, 4096);
        for (const char *p = text; *p != '\0'; p++)
            T_OK(*p == '$' ? buf_put(&b, sum, sizeof(sum) - 1) : buf_put(&b, p, 1));
        T_EQ(sum_init(&s, &e) < 0 || sum_add(&s, buf_data(&b), buf_len(&b), &e) < 0 ||
                 sum_end(&s, is, &e) < 0,
             false);
        str_to_hex(hex, is, sizeof(is));
        T_OK(buf_printf(&b, "sha256 %s\n", hex));
        if (i == COUNT(wrong)) {
            T_DO(manifest_parse((char *)buf_data(&b), buf_len(&b), &m, &e));
            T_EQ(m.n, 2);
            manifest_done(&m);
            continue;
        }
        T_REFUSED(manifest_parse((char *)buf_data(&b), buf_len(&b), &m, &e), ERR_INPUT);
        T_OK(strstr(e.msg, "checksum") == NULL);
    }
}

int main(void)
{
    if (mkdtemp(scratch) == NULL)
        return EXIT_FAILURE;
    T_RUN(a_flipped_bit_anywhere_is_refused);
    T_RUN(a_file_that_was_cut_off_or_lengthened_is_refused);
    T_RUN(what_is_not_a_file_is_refused);
    T_RUN(a_forged_image_never_reaches_beyond_its_size);
    T_RUN(a_forged_image_has_one_end);
    T_RUN(a_manifest_says_things_in_one_way);
    return tests_end();
}
