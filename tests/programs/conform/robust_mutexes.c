/* robust_mutexes: the next owner of a robust mutex learns that the last one died holding it, a thread or a process killed by SIGKILL. */
#include "conform.h"

#define ROUNDS 10

static pthread_mutex_t *mutex;

static void *die_with_it(void *nothing)
{
    pthread_mutex_lock(mutex);
    return nothing;
}

static void expect_death_of_owner(const char *who)
{
    int error = pthread_mutex_lock(mutex);
    expect(error == EOWNERDEAD, "after %s: %s", who, strerror(error));
    if (error == EOWNERDEAD)
        pthread_mutex_consistent(mutex);
    pthread_mutex_unlock(mutex);
}

int main(void)
{
    int *locked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mutex = (pthread_mutex_t *)(locked + 16);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    need(pthread_mutex_init(mutex, &attributes) == 0, "pthread_mutex_init");
    say("ready");
    while (once_more(ROUNDS)) {
        join(start_thread(die_with_it, NULL));
        expect_death_of_owner("a thread");
        *locked = 0;
        pid_t child = start_child();
        if (child == 0) {
            pthread_mutex_lock(mutex);
            __atomic_store_n(locked, 1, __ATOMIC_SEQ_CST);
            for (;;)
                pause();
        }
        while (!__atomic_load_n(locked, __ATOMIC_SEQ_CST))
            sched_yield();
        kill(child, SIGKILL);
        expect_death_of_owner("a process");
        wait_for(child, 0);
    }
    return verdict();
}
