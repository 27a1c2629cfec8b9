/* skipped: obeys stdin, each line one instruction that faults: load, store, divide, copy (rep movs), push, twice (two loads in
 * a row). Prints what came of it. A first realtime signal is answered by "signal: VALUE, code CODE, from PID". */
#include "fixture.h"

#include <signal.h>

static void arrives(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    char text[64];
    int length = snprintf(text, sizeof text, "signal: %d, code %d, from %d\n", info->si_value.sival_int, info->si_code,
                          info->si_pid);
    if (write(STDOUT_FILENO, text, length) != length)
        _exit(1);
}

static long faulting(const char *line)
{
    long value = 5, nowhere = 8, zero = 0;
#ifdef __x86_64__
    if (strncmp(line, "load", 4) == 0)
        __asm__ volatile("mov (%1), %0" : "+r"(value) : "r"(nowhere));
    else if (strncmp(line, "store", 5) == 0)
        __asm__ volatile("mov %0, (%1)" : "+r"(value) : "r"(nowhere) : "memory");
    else if (strncmp(line, "divide", 6) == 0)
        __asm__ volatile("cqo\nidiv %1" : "+a"(value) : "r"(zero) : "rdx");
    else if (strncmp(line, "copy", 4) == 0)
        __asm__ volatile("mov $3, %%ecx\nmov %0, %%rsi\nmov %0, %%rdi\nrep movsb" : : "r"(nowhere) : "rcx", "rsi", "rdi", "memory");
    else if (strncmp(line, "push", 4) == 0)
        __asm__ volatile("push (%0)\npop %0" : "+r"(nowhere) : : "memory");
    else if (strncmp(line, "twice", 5) == 0)
        __asm__ volatile("mov (%1), %0\nmov 8(%1), %0" : "+r"(value) : "r"(nowhere));
#else
    (void)line, (void)nowhere, (void)zero;
#endif
    return value;
}

int main(void)
{
    char line[32];
    struct sigaction action = {.sa_sigaction = arrives, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    say("ready %d", getpid());
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        say("%s: %ld", line, faulting(line));
    }
    return 0;
}
