/* alternate THREADS ROUNDS: so many threads send themselves three signals in turn, without pause, and look after each whether its
 * handler ran, and no other. Ends with 0 and "every signal was the one that was sent", else with 1. */
#include "fixture.h"

#include <pthread.h>

static __thread volatile int taken;
static long rounds;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    taken = taken == 0 ? signal : -1;
}

static void *alternate(void *nothing)
{
    int signals[] = {SIGUSR1, SIGUSR2, SIGRTMIN + 1};
    for (long index = 0; index < rounds; index++) {
        int sent = signals[index % 3];
        taken = 0;
        syscall(SYS_tgkill, getpid(), gettid(), sent);
        if (taken != sent) {
            say("sent %d, took %d", sent, taken);
            exit(1);
        }
    }
    return nothing;
}

int main(int argc, char **argv)
{
    long threads = number_or(argc, argv, 1, 4);
    rounds = number_or(argc, argv, 2, 1000);
    handle(SIGUSR1, note, SA_RESTART);
    handle(SIGUSR2, note, SA_RESTART);
    handle(SIGRTMIN + 1, note, SA_RESTART);
    pthread_t thread[threads];
    for (long index = 0; index < threads; index++)
        need(pthread_create(&thread[index], NULL, alternate, NULL) == 0, "pthread_create");
    for (long index = 0; index < threads; index++)
        pthread_join(thread[index], NULL);
    say("every signal was the one that was sent");
    return 0;
}
