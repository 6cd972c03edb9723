#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "box/seccomp-table.h"
#include "box/seccomp.h"
#include "t.h"

static void the_table_is_sorted_and_has_no_name_twice(void)
{
    for (size_t i = 1; i < sizeof(seccomp_names) / sizeof(seccomp_names[0]); i++)
        T_OK(strcmp(seccomp_names[i - 1].name, seccomp_names[i].name) < 0);
}

static void what_breaks_out_is_not_in_the_table(void)
{
    static const char *const never[] = {"add_key",
                                        "bpf",
                                        "chroot",
                                        "clock_settime",
                                        "clone",
                                        "clone3",
                                        "fanotify_init",
                                        "fcntl",
                                        "finit_module",
                                        "fsopen",
                                        "init_module",
                                        "inotify_add_watch",
                                        "inotify_init1",
                                        "io_setup",
                                        "io_uring_enter",
                                        "io_uring_setup",
                                        "ioctl",
                                        "iopl",
                                        "kcmp",
                                        "kexec_load",
                                        "keyctl",
                                        "mount",
                                        "mount_setattr",
                                        "move_mount",
                                        "name_to_handle_at",
                                        "open_by_handle_at",
                                        "open_tree",
                                        "perf_event_open",
                                        "personality",
                                        "pidfd_getfd",
                                        "pivot_root",
                                        "process_vm_readv",
                                        "prctl",
                                        "process_vm_readv",
                                        "process_vm_writev",
                                        "ptrace",
                                        "quotactl",
                                        "reboot",
                                        "request_key",
                                        "seccomp",
                                        "setns",
                                        "setsockopt",
                                        "settimeofday",
                                        "socket",
                                        "socketpair",
                                        "swapon",
                                        "umount2",
                                        "unshare",
                                        "userfaultfd"};

    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        for (size_t j = 0; j < sizeof(seccomp_names) / sizeof(seccomp_names[0]); j++)
            T_OK(!str_is(never[i], seccomp_names[j].name));
}

static void the_filter_is_a_bpf_program_and_sealed(void)
{
    struct sock_filter code[4096];
    struct err e = {.msg = ""};
    AUTO_CLOSE int fd = box_seccomp_open(&e);
    ssize_t n;

    T_STR(e.msg, "");
    T_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
    T_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    n = read(fd, code, sizeof(code));
    T_OK(n > 0 && (size_t)n < sizeof(code) && (size_t)n % sizeof(code[0]) == 0);
    T_EQ(code[0].code, BPF_LD | BPF_W | BPF_ABS);
    T_EQ(code[0].k, offsetof(struct seccomp_data, arch));
}

int main(void)
{
    T_RUN(the_table_is_sorted_and_has_no_name_twice);
    T_RUN(what_breaks_out_is_not_in_the_table);
    T_RUN(the_filter_is_a_bpf_program_and_sealed);
    return t_end();
}
