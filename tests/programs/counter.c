/* counter N: takes N queued realtime signals and prints "received N, in order" or what was wrong; SIGTERM ends it early.
 * counter send PID N [FIRST]: queues N realtime signals to PID, each with its number, from FIRST on, as payload. */
#include "fixture.h"

static volatile sig_atomic_t received, out_of_order, terminated;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_value.sival_int != received)
        out_of_order++;
    received++;
}

static void terminate(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    terminated = 1;
}

static int send_to(pid_t pid, long count, int first)
{
    for (int payload = first; payload < first + count; payload++)
        while (sigqueue(pid, SIGRTMIN, (union sigval){.sival_int = payload}) != 0) {
            need(errno == EAGAIN, "sigqueue");
            sched_yield();
        }
    say("sent %ld", count);
    return 0;
}

static int count_to(long wanted)
{
    sigset_t both, before;
    sigemptyset(&both);
    sigaddset(&both, SIGRTMIN);
    sigaddset(&both, SIGTERM);
    need(sigprocmask(SIG_BLOCK, &both, &before) == 0, "sigprocmask");
    handle(SIGRTMIN, take, SA_RESTART);
    handle(SIGTERM, terminate, SA_RESTART);
    say("ready %d", getpid());
    while (received < wanted && !terminated)
        sigsuspend(&before);
    say("received %d, %s", (int)received, out_of_order ? "out of order" : "in order");
    return received == wanted && !out_of_order ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "send") == 0)
        return send_to(atoi(argv[2]), number_or(argc, argv, 3, 0), (int)number_or(argc, argv, 4, 0));
    return count_to(number_or(argc, argv, 1, 1000));
}
