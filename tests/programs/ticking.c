/* ticking PERIOD_US: handles SIGALRM from a timer of that period. Prints "ready PID"; ends at end of file on stdin. */
#include "fixture.h"

#include <sys/time.h>

static void tick(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
}

int main(int argc, char **argv)
{
    long period = number_or(argc, argv, 1, 2000);
    struct itimerval timer = {{0, period}, {0, period}};
    handle(SIGALRM, tick, SA_RESTART);
    need(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
    say("ready %d", getpid());
    while (getchar() != EOF)
        ;
    return 0;
}
