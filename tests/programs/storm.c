/* storm THREADS SIGNALS: that many threads handle signals they send to themselves without pause, while the thread "silent" waits.
 * After SIGNALS handled signals in all, and with the storm going on, "silent" writes through a null pointer. */
#include "fixture.h"

#include <pthread.h>

static long handled;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void *rage(void *nothing)
{
    pthread_setname_np(pthread_self(), "storming");
    for (;;)
        syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    return nothing;
}

static void *wait_and_fault(void *threshold)
{
    pthread_setname_np(pthread_self(), "silent");
    while (__atomic_load_n(&handled, __ATOMIC_RELAXED) < (long)threshold)
        sched_yield();
    volatile unsigned int *field = (volatile unsigned int *)8;
    __asm__ volatile("" : "+r"(field));
    *field = 42;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    handle(SIGUSR1, count, SA_RESTART);
    need(pthread_create(&thread, NULL, wait_and_fault, (void *)number_or(argc, argv, 2, 10000)) == 0, "pthread_create");
    for (long index = 0; index < number_or(argc, argv, 1, 8); index++) {
        pthread_t storming;
        need(pthread_create(&storming, NULL, rage, NULL) == 0, "pthread_create");
    }
    pthread_join(thread, NULL);
    return FIXTURE_BROKEN;
}
