/* spawn_storm: threads start children by fork, vfork, posix_spawn and clone without pause, and each is told of the end of its own. */
#include "conform.h"

#include <spawn.h>

#define ROUNDS 2
#define EACH 5

extern char **environ;

static pid_t by_fork(int status)
{
    pid_t child = fork();
    if (child == 0)
        _exit(status);
    return child;
}

static pid_t by_vfork(int status)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(status);
    return child;
}

static pid_t by_spawn(int status)
{
    pid_t child;
    char text[32];
    snprintf(text, sizeof text, "exit %d", status);
    char *arguments[] = {"sh", "-c", text, NULL};
    errno = posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ);
    return errno == 0 ? child : -1;
}

static pid_t by_vfork_and_exec(int status)
{
    char text[32];
    snprintf(text, sizeof text, "exit %d", status);
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", text, (char *)NULL);
        _exit(99);
    }
    return child;
}

/* A child that tells its parent nothing by a signal, and is waited for with __WALL. */
static pid_t by_silent_clone(int status)
{
    pid_t child = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
    if (child == 0)
        _exit(status);
    return child;
}

static pid_t (*const ways[])(int) = {by_fork, by_vfork, by_spawn, by_vfork_and_exec, by_silent_clone};
#define WAYS (int)(sizeof ways / sizeof *ways)

static void *storm(void *way)
{
    for (int turn = 0; turn < EACH; turn++) {
        int expected = (int)(intptr_t)way * 10 + turn + 1;
        pid_t child = ways[(intptr_t)way](expected);
        need(child > 0, "start a child");
        int status = wait_for(child, __WALL);
        expect(WIFEXITED(status) && WEXITSTATUS(status) == expected, "way %d: %s", (int)(intptr_t)way, in_words(status));
    }
    return NULL;
}

int main(void)
{
    say("ready");
    while (once_more(ROUNDS)) {
        pthread_t threads[WAYS];
        for (intptr_t way = 0; way < WAYS; way++)
            threads[way] = start_thread(storm, (void *)way);
        for (int way = 0; way < WAYS; way++)
            join(threads[way]);
    }
    return verdict();
}
