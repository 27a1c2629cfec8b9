/* threads_hold N [STACK_KIB]: N idle threads besides the main one, with stacks of that size (16 KiB unless given, which is the least).
 * Prints "ready PID" once all exist; ends at end of file on stdin. */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t started;

static void *idle(void *nothing)
{
    sem_post(&started);
    for (;;)
        pause();
    return nothing;
}

int main(int argc, char **argv)
{
    long count = number_or(argc, argv, 1, 100);
    size_t stack = (size_t)number_or(argc, argv, 2, 16) * 1024;
    pthread_attr_t small;
    need(sem_init(&started, 0, 0) == 0 && pthread_attr_init(&small) == 0, "initialise");
    need(pthread_attr_setstacksize(&small, stack) == 0, "stack size");
    for (long index = 0; index < count; index++) {
        pthread_t thread;
        need(pthread_create(&thread, &small, idle, NULL) == 0, "pthread_create");
    }
    for (long index = 0; index < count; index++)
        while (sem_wait(&started) != 0)
            ;
    say("ready %d", getpid());
    while (getchar() != EOF)
        ;
    return 0;
}
