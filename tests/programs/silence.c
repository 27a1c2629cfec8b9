/* silence SILENT STORMING TURNS: SILENT idle threads, besides the main one. After a line on stdin, STORMING more handle signals that
 * they send to themselves without pause, and while they do, TURNS of the silent ones are sent a signal, one after the other, each
 * once the one before has handled its own; "answered TURNS". After another line one of the silent ones, named "silent", writes
 * through a null pointer. */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t started, answered;
static pthread_t faulting;
static long stormed;

static void storm(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    __atomic_fetch_add(&stormed, 1, __ATOMIC_RELAXED);
}

static void answer(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    volatile unsigned int *field = (volatile unsigned int *)8;
    __asm__ volatile("" : "+r"(field));
    if (faulting && pthread_equal(faulting, pthread_self()))
        *field = 42;
    sem_post(&answered);
}

static void await(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void *keep_silent(void *nothing)
{
    pthread_setname_np(pthread_self(), "silent");
    sem_post(&started);
    for (;;)
        pause();
    return nothing;
}

static void *rage(void *nothing)
{
    pthread_setname_np(pthread_self(), "storming");
    sem_post(&started);
    for (;;)
        syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    return nothing;
}

int main(int argc, char **argv)
{
    long silent = number_or(argc, argv, 1, 100), storming = number_or(argc, argv, 2, 4), turns = number_or(argc, argv, 3, 10);
    pthread_attr_t small;
    pthread_t *threads = calloc(silent, sizeof *threads), thread;
    need(threads && sem_init(&started, 0, 0) == 0 && sem_init(&answered, 0, 0) == 0, "initialise");
    need(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 16 * 1024) == 0, "stack size");
    handle(SIGUSR1, storm, SA_RESTART);
    handle(SIGUSR2, answer, SA_RESTART);
    for (long index = 0; index < silent; index++) {
        need(pthread_create(&threads[index], &small, keep_silent, NULL) == 0, "pthread_create");
        await(&started);
    }
    say("ready");
    while (getchar() != '\n')
        ;
    for (long index = 0; index < storming; index++) {
        need(pthread_create(&thread, NULL, rage, NULL) == 0, "pthread_create");
        await(&started);
    }
    for (long turn = 0; turn < turns; turn++) {
        long before = __atomic_load_n(&stormed, __ATOMIC_RELAXED);
        need(pthread_kill(threads[turn * 7919 % silent], SIGUSR2) == 0, "pthread_kill");
        await(&answered);
        while (__atomic_load_n(&stormed, __ATOMIC_RELAXED) == before)
            sched_yield();
    }
    say("answered %ld", turns);
    while (getchar() != '\n')
        ;
    faulting = threads[silent / 3];
    need(pthread_kill(faulting, SIGUSR2) == 0, "pthread_kill");
    for (;;)
        pause();
}
