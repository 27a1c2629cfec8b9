/* reraise SIGNAL: raises it twice: its handler puts the default action back and raises it again. SIGNAL is a number; "sys" is a
 * SIGSYS that a seccomp filter raises at a system call, which the handler makes again. */
#include "fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static void raise_again(int signal_number)
{
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void call_again(int signal_number)
{
    signal(signal_number, SIG_DFL);
    syscall(SYS_getppid);
}

static void trap_getppid(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
    need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "PR_SET_SECCOMP");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sys") == 0) {
        struct sigaction action = {.sa_handler = call_again, .sa_flags = SA_NODEFER};
        need(sigaction(SIGSYS, &action, NULL) == 0, "sigaction");
        trap_getppid();
        syscall(SYS_getppid);
    } else {
        int number = (int)number_or(argc, argv, 1, SIGQUIT);
        signal(number, raise_again);
        raise(number);
    }
    return 0;
}
