/* Signals that are sent rather than caused, by the process itself or from outside, and faults whose signal
 * is blocked, ignored or handled: cases in which the tables of the kernel decide, not the instruction. */
#include "die.h"

#include <pthread.h>

static void fault(void)
{
    volatile unsigned int *field = (volatile unsigned int *)8;
    __asm__ volatile("" : "+r"(field));
    *field = 42;
}

static void by_raise(const char *argument)
{
    need(argument != NULL, "raise needs a signal");
    raise(signal_by_name(argument));
}

static void by_kill(const char *argument)
{
    need(argument != NULL, "kill needs a signal");
    kill(getpid(), signal_by_name(argument));
    pause();
}

static void by_tgkill(const char *argument)
{
    need(argument != NULL, "tgkill needs a signal");
    syscall(SYS_tgkill, getpid(), gettid(), signal_by_name(argument));
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void *idle(void *tid)
{
    pthread_setname_np(pthread_self(), "target");
    __atomic_store_n((int *)tid, gettid(), __ATOMIC_SEQ_CST);
    wait_for_ever();
    return NULL;
}

/* Sends the signal from the main thread to another one of the process. */
static void by_pthread_kill(const char *argument)
{
    need(argument != NULL, "pthread-kill needs a signal");
    static int target_tid;
    pthread_t target;
    need(pthread_create(&target, NULL, idle, &target_tid) == 0, "pthread_create");
    while (__atomic_load_n(&target_tid, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    await_thread_state(target_tid, 'S');
    pthread_kill(target, signal_by_name(argument));
    wait_for_ever();
}

static void wait_outside(const char *argument)
{
    (void)argument;
    say("ready %d", getpid());
    wait_for_ever();
}

static void blocked_fault(const char *argument)
{
    (void)argument;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGSEGV);
    need(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0, "sigprocmask");
    fault();
}

static void ignored_fault(const char *argument)
{
    (void)argument;
    need(signal(SIGSEGV, SIG_IGN) != SIG_ERR, "signal");
    fault();
}

/* What redis does: tell the story, step back, die of the same signal again. */
static void tell_and_kill(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    static const char story[] = "handler ran\n";
    need(write(STDOUT_FILENO, story, sizeof story - 1) > 0, "write");
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(signal, &standard, NULL);
    kill(getpid(), signal);
}

static void handler_reset_reraise(const char *argument)
{
    (void)argument;
    handle(SIGSEGV, tell_and_kill, SA_NODEFER);
    fault();
}

const struct way signal_ways[] = {
    {"raise", by_raise},
    {"kill", by_kill},
    {"tgkill", by_tgkill},
    {"pthread-kill", by_pthread_kill},
    {"wait", wait_outside},
    {"blocked-fault", blocked_fault},
    {"ignored-fault", ignored_fault},
    {"handler-reset-reraise", handler_reset_reraise},
    {NULL, NULL},
};
