/* floor PID [one]: the least that a tracer of every thread of a process can do: seize them all, wait, let go on. No table, no look at
 * a signal's disposition, no safety of any kind. Prints "ready" once all are seized; ends with the process, or by a signal.
 *
 * It waits for any thread, which costs time in proportion to their number; with "one" only for the main one, which does not, and
 * is what no real tracer may do: the others would stay stopped.
 */
#include "../tests/programs/fixture.h"

#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* Seizes what the directory lists; returns how many threads were new. */
static int seize_all(DIR *tasks)
{
    int seized = 0;
    rewinddir(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        int tid = atoi(entry->d_name);
        if (tid > 0 && ptrace(PTRACE_SEIZE, tid, 0, (void *)PTRACE_O_TRACECLONE) == 0)
            seized++;
    }
    return seized;
}

int main(int argc, char **argv)
{
    int pid = (int)number_or(argc, argv, 1, 0);
    int who = argc > 2 ? pid : -1;
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    need(tasks != NULL, path);
    while (seize_all(tasks) > 0)
        ;
    say("ready");
    for (;;) {
        int status, tid = waitpid(who, &status, __WALL);
        if (tid < 0)
            return 0;
        if (!WIFSTOPPED(status))
            continue;
        int signal = status >> 16 ? 0 : WSTOPSIG(status);
        ptrace(PTRACE_CONT, tid, 0, (void *)(long)signal);
    }
}
