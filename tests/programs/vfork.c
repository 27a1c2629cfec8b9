/* vfork: a thread named "parent" calls vfork(2) and sleeps uninterruptibly until its child, which waits for a line on stdin, ends.
 * Prints "ready PID" once it does; ends with status 0 when the thread has gone on. */
#include "fixture.h"

#include <pthread.h>

static int tid;

static void *parent(void *nothing)
{
    pthread_setname_np(pthread_self(), "parent");
    __atomic_store_n(&tid, gettid(), __ATOMIC_SEQ_CST);
    pid_t child = vfork();
    if (child == 0) {
        char byte;
        while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
            ;
        _exit(0);
    }
    need(child > 0, "vfork");
    return nothing;
}

int main(void)
{
    pthread_t thread;
    need(pthread_create(&thread, NULL, parent, NULL) == 0, "pthread_create");
    while (__atomic_load_n(&tid, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    await_thread_state(tid, 'D');
    say("ready %d", getpid());
    need(pthread_join(thread, NULL) == 0, "pthread_join");
    return 0;
}
