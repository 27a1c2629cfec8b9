/* given IGNORED BLOCKED CLOSED CMD ARGS...: execs CMD with exactly these signals ignored and blocked (hexadecimal masks as in
 * /proc/PID/status) and these descriptors closed (digits, or "-"). The C library keeps signals 32 and 33 for itself, so
 * the kernel is asked. */
#include "fixture.h"

#include <stdint.h>

/* struct sigaction of the kernel: all zero is the default action. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags, restorer;
    uint64_t mask;
};

int main(int argc, char **argv)
{
    need(argc > 4, "arguments");
    uint64_t ignored = strtoull(argv[1], NULL, 16), blocked = strtoull(argv[2], NULL, 16);
    for (int signal = 1; signal <= 64; signal++) {
        struct kernel_action action = {.handler = ignored >> (signal - 1) & 1 ? SIG_IGN : SIG_DFL};
        if (signal != SIGKILL && signal != SIGSTOP)
            need(syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof action.mask) == 0, "rt_sigaction");
    }
    need(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, sizeof blocked) == 0, "rt_sigprocmask");
    for (const char *digit = argv[3]; *digit >= '0' && *digit <= '9'; digit++)
        close(*digit - '0');
    execvp(argv[4], argv + 4);
    need(0, argv[4]);
}
