/* obey: prints "ready PID", then "took SIGNAL code C pid P value V" for each signal that it takes; every signal without a
 * handler here (SIGTERM, SIGINT, SIGQUIT, the faults) has its default action. End of file on stdin ends it. One handler
 * runs at a time: with two signals pending a handler that does not block the second is interrupted by it before its first
 * instruction, and the lines come in the wrong order. */
#include "fixture.h"

static void tell(int signal, siginfo_t *info, void *context)
{
    (void)context;
    char name[16], line[128];
    if (signal < SIGRTMIN)
        snprintf(name, sizeof name, "SIG%s", sigabbrev_np(signal));
    else
        snprintf(name, sizeof name, "SIGRTMIN+%d", signal - SIGRTMIN);
    int length = snprintf(line, sizeof line, "took %s code %d pid %d value %d\n", name, info->si_code, info->si_pid,
                          info->si_value.sival_int);
    need(write(STDOUT_FILENO, line, (size_t)length) == length, "write");
}

int main(void)
{
    static const int told[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGCONT, SIGURG, SIGWINCH, SIGIO, SIGPWR, SIGCHLD, SIGSTKFLT};
    for (size_t index = 0; index < sizeof told / sizeof *told; index++)
        handle_alone(told[index], tell, SA_RESTART);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
        handle_alone(signal, tell, SA_RESTART);
    say("ready %d", getpid());
    while (getchar() != EOF)
        ;
    return 0;
}
