/* leader_exits_first: the leader ends, its threads go on: they handle signals, start threads and children, and end the process. */
#include "conform.h"

#define ROUNDS 5

static volatile int handled;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handled++;
}

static void *end_at_once(void *nothing) { return nothing; }

static void *go_on(void *nothing)
{
    while (thread_state(getpid()) != 'Z')
        sched_yield();
    say("ready");
    while (once_more(ROUNDS)) {
        handled = 0;
        kill(getpid(), SIGUSR1);
        expect(handled == 1, "handled %d", handled);
        join(start_thread(end_at_once, NULL));
        pid_t child = start_child();
        if (child == 0)
            _exit(5);
        int status = wait_for(child, 0);
        expect(WIFEXITED(status) && WEXITSTATUS(status) == 5, "%s", in_words(status));
    }
    exit(verdict());
    return nothing;
}

int main(void)
{
    handle(SIGUSR1, count, SA_RESTART);
    start_thread(go_on, NULL);
    pthread_exit(NULL);
}
