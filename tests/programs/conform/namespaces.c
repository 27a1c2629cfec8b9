/* namespaces: the init of a pid namespace in a user namespace of its own: its ids, the signals that it takes, handles, and is spared. */
#include "conform.h"

#define ROUNDS 3

static volatile int handled;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handled++;
}

static int init(void)
{
    if (getpid() != 1)
        return 90;
    handle(SIGUSR1, count, SA_RESTART);
    /* Without a handler a signal does nothing to an init. */
    kill(1, SIGTERM);
    kill(1, SIGUSR1);
    if (handled != 1)
        return 91;
    pid_t child = fork();
    if (child == 0)
        _exit(getpid() == 2 && getppid() == 1 ? 6 : 92);
    int status = wait_for(child, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 6)
        return 93;
    child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        for (;;)
            kill(getpid(), SIGTERM);
    }
    status = wait_for(child, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 9 : 94;
}

static void run(int flags, int kill_it)
{
    int ready[2];
    need(pipe(ready) == 0, "pipe");
    pid_t child = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);
    need(child >= 0, "clone");
    if (child == 0) {
        int status = init();
        if (!kill_it || status != 9)
            _exit(status);
        need(write(ready[1], "r", 1) == 1, "write");
        for (;;)
            pause();
    }
    if (kill_it) {
        char byte;
        close(ready[1]);
        expect(read(ready[0], &byte, 1) == 1, "no init");
        kill(child, SIGTERM);
        kill(child, SIGKILL);
    } else
        close(ready[1]);
    const char *words = in_words(wait_for(child, 0));
    expect(strcmp(words, kill_it ? "killed by 9" : "exited with 9") == 0, "%s", words);
    close(ready[0]);
}

int main(void)
{
    say("ready");
    while (once_more(ROUNDS)) {
        run(CLONE_NEWUSER | CLONE_NEWPID, 0);
        run(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS, 0);
        run(CLONE_NEWUSER | CLONE_NEWPID, 1);
    }
    return verdict();
}
