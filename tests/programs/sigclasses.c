/* sigclasses: uses the two realtime signals that glibc keeps for itself: 32 by pthread_cancel, 33 by setuid's broadcast.
 * Prints "cancelled N" and "setuid reached N threads"; a supervisor that loses either leaves it hanging. */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>

#define THREADS 16

static sem_t started;

static void *cancellable(void *nothing)
{
    sem_post(&started);
    for (;;)
        pause();
    return nothing;
}

int main(void)
{
    pthread_t threads[THREADS];
    need(sem_init(&started, 0, 0) == 0, "sem_init");
    for (int index = 0; index < THREADS; index++)
        need(pthread_create(&threads[index], NULL, cancellable, NULL) == 0, "pthread_create");
    for (int index = 0; index < THREADS; index++)
        while (sem_wait(&started) != 0)
            ;
    for (int round = 0; round < 50; round++)
        need(setuid(getuid()) == 0, "setuid");
    say("setuid reached %d threads", THREADS);

    int cancelled = 0;
    for (int index = 0; index < THREADS; index++) {
        void *result;
        need(pthread_cancel(threads[index]) == 0, "pthread_cancel");
        need(pthread_join(threads[index], &result) == 0, "pthread_join");
        cancelled += result == PTHREAD_CANCELED;
    }
    say("cancelled %d", cancelled);
    return cancelled == THREADS ? 0 : 1;
}
