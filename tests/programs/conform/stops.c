/* stops: a child is stopped and continued by an outsider; what its parent is told by waitpid(2), waitid(2) and SIGCHLD, and that no thread of
 * the child runs while it is stopped. The child has threads that start others all the time, so some are born during a stop. */
#include "conform.h"

#define ROUNDS 3
#define SPAWNERS 3

struct shared {
    long steps[SPAWNERS];
    int continued;
};

static struct shared *shared;
static volatile int told_stopped, told_continued, told_else;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code == CLD_STOPPED)
        told_stopped++;
    else if (info->si_code == CLD_CONTINUED)
        told_continued++;
    else
        told_else++;
}

static void count_continuation(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    __atomic_fetch_add(&shared->continued, 1, __ATOMIC_SEQ_CST);
}

static void *end_at_once(void *nothing) { return nothing; }

static void *spawn_for_ever(void *steps)
{
    for (;;) {
        join(start_thread(end_at_once, NULL));
        __atomic_fetch_add((long *)steps, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static long steps(void)
{
    long all = 0;
    for (int index = 0; index < SPAWNERS; index++)
        all += __atomic_load_n(&shared->steps[index], __ATOMIC_SEQ_CST);
    return all;
}

static void await_steps(long more)
{
    long before = steps();
    while (steps() < before + more)
        sched_yield();
}

static void stop_and_continue(pid_t child, int by)
{
    told_stopped = told_continued = told_else = 0;
    int continued = __atomic_load_n(&shared->continued, __ATOMIC_SEQ_CST);
    kill(child, by);
    const char *words = in_words(wait_for(child, WUNTRACED));
    char expected[32];
    snprintf(expected, sizeof expected, "stopped by %d", by);
    expect(strcmp(words, expected) == 0, "%s where it should be %s", words, expected);
    long before = steps();
    await_all_stopped(child);
    for (int look = 0; look < 20; look++)
        sched_yield();
    expect(steps() == before, "a stopped process made %ld steps", steps() - before);

    kill(child, SIGCONT);
    siginfo_t info;
    while (waitid(P_PID, (id_t)child, &info, WCONTINUED) != 0)
        need(errno == EINTR, "waitid");
    expect(info.si_code == CLD_CONTINUED && info.si_status == SIGCONT, "code %d status %d", info.si_code, info.si_status);
    await_steps(SPAWNERS);
    while (__atomic_load_n(&shared->continued, __ATOMIC_SEQ_CST) == continued)
        sched_yield();
    expect(__atomic_load_n(&shared->continued, __ATOMIC_SEQ_CST) == continued + 1, "SIGCONT was handled more than once");
    expect(told_else == 0, "told %d stops, %d continuations, %d others", told_stopped, told_continued, told_else);
}

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(shared != MAP_FAILED, "mmap");
    handle(SIGCHLD, take, SA_RESTART);
    pid_t child = start_child();
    if (child == 0) {
        handle(SIGCONT, count_continuation, SA_RESTART);
        for (int index = 0; index < SPAWNERS; index++)
            start_thread(spawn_for_ever, &shared->steps[index]);
        for (;;)
            pause();
    }
    await_steps(SPAWNERS);
    say("ready");
    while (once_more(ROUNDS)) {
        stop_and_continue(child, SIGSTOP);
    }
    /* A stopped process obeys SIGKILL. */
    kill(child, SIGSTOP);
    wait_for(child, WUNTRACED);
    kill(child, SIGKILL);
    say("%s", in_words(wait_for(child, 0)));
    return verdict();
}
