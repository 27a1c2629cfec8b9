/* vforks IDLE VFORKS: dies of a fault while so many of its threads are idle, and others wait in vfork(2), where they stop for nobody.
 * vforks IDLE VFORKS child: a child does so. Afterwards each of the parent's idle threads is sent a signal, five times; it prints how
 * many took all of them. */
#include "fixture.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MOST 1000
#define ROUNDS 5

static int taken[MOST];
static int ready;
static __thread int own;
static volatile int in_vfork[MOST];

static void note(int signal_number)
{
    (void)signal_number;
    __atomic_add_fetch(&taken[own], 1, __ATOMIC_SEQ_CST);
}

static void *be_idle(void *number)
{
    own = (int)(long)number;
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
    return NULL;
}

static void *be_in_vfork(void *number)
{
    if (vfork() == 0) {
        /* The memory is shared, so that the others see it. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        in_vfork[(long)number] = 1;
        for (;;)
            pause();
    }
    return NULL;
}

static void die(long vforks)
{
    pthread_t thread;
    for (long index = 0; index < vforks; index++)
        need(pthread_create(&thread, NULL, be_in_vfork, (void *)index) == 0, "pthread_create");
    for (long index = 0; index < vforks; index++)
        while (!in_vfork[index])
            sched_yield();
    *(volatile int *)8 = 1;
}

static int took(long idle, int round)
{
    int count = 0;
    for (long index = 0; index < idle; index++)
        count += __atomic_load_n(&taken[index], __ATOMIC_SEQ_CST) >= round;
    return count;
}

int main(int argc, char **argv)
{
    long idle = number_or(argc, argv, 1, 10), vforks = number_or(argc, argv, 2, 1);
    need(idle <= MOST && vforks <= MOST, "number of threads");
    signal(SIGUSR1, note);
    pthread_t thread[MOST];
    for (long index = 0; index < idle; index++)
        need(pthread_create(&thread[index], NULL, be_idle, (void *)index) == 0, "pthread_create");
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < idle)
        sched_yield();
    if (argc <= 3)
        die(vforks);
    pid_t child = fork();
    if (child == 0)
        die(vforks);
    int status, last = 0;
    need(waitpid(child, &status, 0) == child, "waitpid");
    for (int round = 1; round <= ROUNDS; round++) {
        for (long index = 0; index < idle; index++)
            pthread_kill(thread[index], SIGUSR1);
        for (int tries = 0; (last = took(idle, round)) < idle && tries < 500; tries++)
            usleep(10000);
        if (last < idle)
            break;
    }
    say("child died of %d, %d of %ld threads took all", WTERMSIG(status), last, idle);
    return 0;
}
