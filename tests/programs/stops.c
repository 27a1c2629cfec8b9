/* stops: a parent that stops, continues and ends its child, and prints what waitpid(2) told it each time.
 * The lines are the same whether or not anybody traces the child. */
#include "fixture.h"

#include <sys/wait.h>

static void report(pid_t child, int options)
{
    int status;
    need(waitpid(child, &status, options) == child, "waitpid");
    if (WIFSTOPPED(status))
        say("stopped by %s", sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        say("continued");
    else if (WIFSIGNALED(status))
        say("killed by %s", sigabbrev_np(WTERMSIG(status)));
    else
        say("exited with %d", WEXITSTATUS(status));
}

int main(void)
{
    int ready[2];
    need(pipe(ready) == 0, "pipe");
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        close(ready[0]);
        need(write(ready[1], "r", 1) == 1, "write");
        for (;;)
            pause();
    }
    char byte;
    need(read(ready[0], &byte, 1) == 1, "read");

    /* SIGTTIN and SIGTTOU stop only where the process group is not orphaned; SIGSTOP always does. */
    for (int round = 0; round < 3; round++) {
        kill(child, SIGSTOP);
        report(child, WUNTRACED);
        kill(child, SIGCONT);
        report(child, WCONTINUED);
    }
    kill(child, SIGSTOP);
    report(child, WUNTRACED);
    kill(child, SIGTERM);
    kill(child, SIGCONT);
    report(child, 0);
    return 0;
}
