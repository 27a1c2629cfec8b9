/* daemon: double fork with a new session in between; the grandchild, whose parent is gone, works on and answers over a pipe. And children
 * that nobody waits for, because SIGCHLD is ignored: wait(2) fails with ECHILD once all are gone. */
#include "conform.h"

#define ROUNDS 5

static void daemonize(void)
{
    int answer[2];
    need(pipe(answer) == 0, "pipe");
    pid_t child = start_child();
    if (child == 0) {
        need(setsid() == getpid(), "setsid");
        if (fork() != 0)
            _exit(3);
        while (getppid() == getsid(0))
            sched_yield();
        long facts[2] = {getpid() != getsid(0), getpgrp() == getsid(0)};
        need(write(answer[1], facts, sizeof facts) == sizeof facts, "write");
        _exit(0);
    }
    close(answer[1]);
    int status = wait_for(child, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 3, "%s", in_words(status));
    long facts[2] = {0, 0};
    expect(read(answer[0], facts, sizeof facts) == sizeof facts && facts[0] && facts[1], "the daemon said %ld %ld", facts[0], facts[1]);
    expect(read(answer[0], facts, 1) == 0, "the daemon holds on");
    close(answer[0]);
}

static void ignore_children(void)
{
    need(signal(SIGCHLD, SIG_IGN) != SIG_ERR, "signal");
    for (int index = 0; index < 5; index++)
        if (start_child() == 0)
            _exit(index);
    int status;
    errno = 0;
    expect(wait(&status) == -1 && errno == ECHILD, "wait: %s", strerror(errno));
    need(signal(SIGCHLD, SIG_DFL) != SIG_ERR, "signal");
}

int main(void)
{
    say("ready");
    while (once_more(ROUNDS)) {
        daemonize();
        ignore_children();
    }
    return verdict();
}
