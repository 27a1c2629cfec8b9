/* signal_flood: another process queues signals while this one runs; none is lost, doubled or out of order, and none loses its payload. */
#include "conform.h"

#define ROUNDS 4
#define EACH 500

static volatile int received, wrong;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_value.sival_int != received || info->si_code != SI_QUEUE)
        wrong++;
    received++;
}

int main(void)
{
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN);
    need(sigprocmask(SIG_BLOCK, &blocked, &before) == 0, "sigprocmask");
    handle(SIGRTMIN, take, SA_RESTART);
    say("ready");
    while (once_more(ROUNDS)) {
        received = 0;
        pid_t sender = start_child();
        if (sender == 0) {
            for (int payload = 0; payload < EACH; payload++)
                while (sigqueue(getppid(), SIGRTMIN, (union sigval){.sival_int = payload}) != 0)
                    sched_yield();
            _exit(0);
        }
        while (received < EACH)
            sigsuspend(&before);
        wait_for(sender, 0);
        expect(received == EACH, "received %d", received);
    }
    expect(wrong == 0, "%d wrong or out of order", wrong);
    return verdict();
}
