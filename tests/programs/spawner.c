/* spawner [THREADS]: that many threads (8 unless given) start short-lived threads as fast as they can; prints "ready PID".
 * A line on stdin stops the storm: each spawner starts four lasting threads, then "holding T threads, spawned N"; end of file ends it. */
#include "fixture.h"

#include <pthread.h>

#define LASTING_EACH 4
#define STACK_BYTES (64 * 1024)

static volatile int stop;
static long spawned;
static pthread_attr_t small;
static pthread_barrier_t settled;

static void *end_at_once(void *nothing)
{
    return nothing;
}

static void *last(void *nothing)
{
    pthread_barrier_wait(&settled);
    for (;;)
        pause();
    return nothing;
}

static void *spawn(void *nothing)
{
    pthread_t thread;
    while (!stop) {
        if (pthread_create(&thread, &small, end_at_once, NULL) != 0) {
            sched_yield();
            continue;
        }
        __atomic_fetch_add(&spawned, 1, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
    }
    for (int index = 0; index < LASTING_EACH; index++)
        need(pthread_create(&thread, &small, last, NULL) == 0, "pthread_create");
    return last(nothing);
}

int main(int argc, char **argv)
{
    long spawners = number_or(argc, argv, 1, 8);
    long lasting = spawners * (LASTING_EACH + 1);
    need(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, STACK_BYTES) == 0, "attributes");
    need(pthread_barrier_init(&settled, NULL, (unsigned int)lasting + 1) == 0, "pthread_barrier_init");
    for (long index = 0; index < spawners; index++) {
        pthread_t thread;
        need(pthread_create(&thread, NULL, spawn, NULL) == 0, "pthread_create");
    }
    say("ready %d", getpid());
    if (getchar() == EOF)
        return 0;
    stop = 1;
    pthread_barrier_wait(&settled);
    say("holding %ld threads, spawned %ld", lasting + 1, __atomic_load_n(&spawned, __ATOMIC_RELAXED));
    while (getchar() != EOF)
        ;
    return 0;
}
