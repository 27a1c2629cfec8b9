/* ends: children that end in every way, and what their parent is told: wait status, siginfo of SIGCHLD and of waitid(2). */
#include "conform.h"

#define ROUNDS 2

static siginfo_t told;
static volatile int times;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    told = *info;
    times++;
}

static void *exit_group(void *code)
{
    exit((int)(intptr_t)code);
}

static void *outlive(void *nothing)
{
    while (thread_state(getpid()) != 'Z')
        sched_yield();
    syscall(SYS_exit_group, 44);
    return nothing;
}

/* One way to end: by exit (0-255), by exit from a thread, by a thread that outlives the leader, by a signal (1000 + number). */
static void end(int way)
{
    if (way < 256)
        _exit(way);
    if (way == 300)
        join(start_thread(exit_group, (void *)43));
    if (way == 301) {
        start_thread(outlive, NULL);
        pthread_exit(NULL);
    }
    signal(way - 1000, SIG_DFL);
    for (;;)
        raise(way - 1000);
}

static void expect_end(int way, int print)
{
    sigset_t chld, before;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    need(sigprocmask(SIG_BLOCK, &chld, &before) == 0, "sigprocmask");
    times = 0;
    pid_t child = start_child();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        end(way);
    }
    while (times == 0)
        sigsuspend(&before);
    siginfo_t info;
    need(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0, "waitid");
    expect(times == 1 && told.si_pid == child && info.si_pid == child, "way %d: told %d times", way, times);
    expect(told.si_code == info.si_code && told.si_status == info.si_status, "way %d: told %d %d, found %d %d", way, told.si_code, told.si_status,
           info.si_code, info.si_status);
    const char *words = in_words(wait_for(child, 0));
    if (print)
        say("way %d: %s, code %d, status %d", way, words, told.si_code, told.si_status);
    need(sigprocmask(SIG_SETMASK, &before, NULL) == 0, "sigprocmask");
}

int main(void)
{
    static const int ways[] = {0,    1,    255,  300,  301,  1000 + SIGHUP,  1000 + SIGINT,  1000 + SIGQUIT, 1000 + SIGILL,
                               1000 + SIGABRT, 1000 + SIGFPE, 1000 + SIGKILL, 1000 + SIGSEGV, 1000 + SIGPIPE, 1000 + SIGALRM, 1000 + SIGTERM, 1000 + SIGUSR1,
                               1000 + SIGXCPU, 1000 + SIGSYS, 1034, 1064};
    handle(SIGCHLD, take, SA_RESTART);
    say("ready");
    for (int round = 0; once_more(ROUNDS); round++)
        for (size_t index = 0; index < sizeof ways / sizeof *ways; index++)
            expect_end(ways[index], round == 0);
    return verdict();
}
