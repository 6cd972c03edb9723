#include "vol/mountinfo.h"

#include "t.h"

static struct mountinfo m;

static bool parse(const char *line)
{
    return mountinfo_parse(line, strlen(line), &m);
}

static void a_plain_line_is_read(void)
{
    T_OK(parse("91 22 7:3 / /run/v/abc rw,nosuid,nodev shared:40 - ext4 /dev/loop3 rw"));
    T_EQ(m.id, 91);
    T_EQ(m.parent, 22);
    T_EQ(m.major, 7);
    T_EQ(m.minor, 3);
    T_OK(!m.read_only);
    T_STR(m.root, "/");
    T_STR(m.mountpoint, "/run/v/abc");
    T_STR(m.type, "ext4");
    T_STR(m.source, "/dev/loop3");
}

static void any_number_of_optional_fields_may_stand_before_the_hyphen(void)
{
    T_OK(parse("1 2 0:5 / /x rw - tmpfs none rw"));
    T_STR(m.type, "tmpfs");
    T_OK(parse("1 2 0:5 / /x rw shared:1 master:2 unbindable - tmpfs none rw"));
    T_STR(m.type, "tmpfs");
    T_OK(!parse("1 2 0:5 / /x rw shared:1 master:2"));
    T_OK(!parse("1 2 0:5 / /x rw -"));
}

static void escaped_bytes_come_back(void)
{
    T_OK(parse("1 2 7:4 /a\\040b /mnt/a\\040b\\011c\\012d\\134e rw - ext4 /dev/x rw"));
    T_STR(m.root, "/a b");
    T_STR(m.mountpoint, "/mnt/a b\tc\nd\\e");
}

static void the_root_of_an_nfs_mount_is_the_path_on_its_server(void)
{
    T_OK(parse("1 2 0:5 / /x rw - nfs4 10.0.0.5:/homes/volumes/a\\040b rw"));
    T_STR(m.root, "/homes/volumes/a b");
    T_OK(parse("1 2 0:5 / /x rw - nfs4 [fe80::1]:/homes rw"));
    T_STR(m.root, "/homes");
    T_OK(parse("1 2 0:5 / /x rw - nfs4 nonsense rw"));
    T_STR(m.root, "/");
    T_OK(parse("1 2 0:5 / /x rw - fuse 10.0.0.5:/homes rw"));
    T_STR(m.root, "/");
}

static void a_backslash_without_three_octal_digits_is_itself(void)
{
    T_OK(parse("1 2 7:4 / /mnt/\\04 rw - ext4 /dev/x rw"));
    T_STR(m.mountpoint, "/mnt/\\04");
    T_OK(parse("1 2 7:4 / /mnt/\\089 rw - ext4 /dev/x rw"));
    T_STR(m.mountpoint, "/mnt/\\089");
}

static void what_no_path_can_hold_is_refused(void)
{
    T_OK(!parse("1 2 7:4 / /mnt/a\\000b rw - ext4 /dev/x rw"));
    T_OK(!parse("1 2 7:4 / /mnt/a\\777b rw - ext4 /dev/x rw"));
}

static void a_path_or_type_that_is_too_long_is_refused(void)
{
    static char line[MOUNTINFO_PATH_SIZE + 64];
    int n =
        snprintf(line, sizeof(line), "1 2 7:4 / /%0*d rw - ext4 x rw", MOUNTINFO_PATH_SIZE - 2, 0);

    T_OK(n > 0 && (size_t)n < sizeof(line));
    T_OK(parse(line));
    (void)snprintf(line, sizeof(line), "1 2 7:4 / /%0*d rw - ext4 x rw", MOUNTINFO_PATH_SIZE - 1,
                   0);
    T_OK(!parse(line));
    T_OK(parse("1 2 7:4 / / rw - "
               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x rw"));
    T_OK(!parse("1 2 7:4 / / rw - "
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x rw"));
}

static void numbers_are_checked(void)
{
    T_OK(!parse("4294967296 2 7:4 / / rw - a b c"));
    T_OK(!parse("-1 2 7:4 / / rw - a b c"));
    T_OK(!parse("1 2 7 / / rw - a b c"));
    T_OK(!parse("1 2 7: / / rw - a b c"));
    T_OK(!parse("1 2 7:4:1 / / rw - a b c"));
    T_OK(!parse(""));
}

static void read_only_is_a_whole_word_of_the_options(void)
{
    T_OK(parse("1 2 7:4 / / nosuid,ro,nodev - a b c") && m.read_only);
    T_OK(parse("1 2 7:4 / / ro - a b c") && m.read_only);
    T_OK(parse("1 2 7:4 / / rw,nosuid,rox,xro - a b c") && !m.read_only);
}

static void only_what_lies_directly_in_the_directory_is_below_it(void)
{
    T_STR(mountinfo_below("/run/v/abc", "/run/v"), "abc");
    T_STR(mountinfo_below("/run/v/abc", "/run/v/"), "abc");
    T_STR(mountinfo_below("/abc", "/"), "abc");
    T_OK(mountinfo_below("/run/v/abc/d", "/run/v") == NULL);
    T_OK(mountinfo_below("/run/vabc", "/run/v") == NULL);
    T_OK(mountinfo_below("/run/v", "/run/v") == NULL);
    T_OK(mountinfo_below("/run/v/", "/run/v") == NULL);
}

static bool option(const char *line, const char *name, char value[8])
{
    return mountinfo_option(line, strlen(line), name, value, 8);
}

static void an_option_of_the_file_system_is_found_by_its_whole_name(void)
{
    static const char line[] =
        "1 2 7:4 / /ro rw,ro - ext4 /dev/x rw,resuid=2001,ro2,a\\040b=c\\040";
    char value[8];

    T_OK(option(line, "resuid", value));
    T_STR(value, "2001");
    T_OK(option(line, "rw", value));
    T_STR(value, "");
    T_OK(!option(line, "ro", value)); /* of this mount, not of the file system */
    T_OK(!option(line, "resui", value));
    T_OK(!option(line, "resuid=", value));
    T_OK(option("- ext4 x resuid=1234567", "resuid", value));
    T_OK(!option("- ext4 x resuid=12345678", "resuid", value));
    T_OK(!option("", "resuid", value));
    T_OK(!option(" ", "resuid", value));
    T_OK(!option("x resuid=\\000", "resuid", value));
}

int main(void)
{
    T_RUN(a_plain_line_is_read);
    T_RUN(any_number_of_optional_fields_may_stand_before_the_hyphen);
    T_RUN(escaped_bytes_come_back);
    T_RUN(the_root_of_an_nfs_mount_is_the_path_on_its_server);
    T_RUN(a_backslash_without_three_octal_digits_is_itself);
    T_RUN(what_no_path_can_hold_is_refused);
    T_RUN(a_path_or_type_that_is_too_long_is_refused);
    T_RUN(numbers_are_checked);
    T_RUN(read_only_is_a_whole_word_of_the_options);
    T_RUN(only_what_lies_directly_in_the_directory_is_below_it);
    T_RUN(an_option_of_the_file_system_is_found_by_its_whole_name);
    return t_end();
}
