/* forker HOW [COUNT] -- PROG ARGS...: starts PROG by fork, vfork, spawn or double (fork), COUNT times, and waits for each.
 * Prints one line per child with its end; for double the end of the grandchild is seen as end of file on a pipe. */
#include "fixture.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static void say_end(pid_t child)
{
    int status;
    need(waitpid(child, &status, 0) == child, "waitpid");
    if (WIFSIGNALED(status))
        say("child killed by %d", WTERMSIG(status));
    else
        say("child exited with %d", WEXITSTATUS(status));
}

static void by_fork(char **program)
{
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        execv(program[0], program);
        need(0, program[0]);
    }
    say_end(child);
}

static void by_vfork(char **program)
{
    pid_t child = vfork();
    if (child == 0) {
        execv(program[0], program);
        _exit(FIXTURE_BROKEN);
    }
    say_end(child);
}

static void by_spawn(char **program)
{
    pid_t child;
    errno = posix_spawn(&child, program[0], NULL, NULL, program, environ);
    need(errno == 0, "posix_spawn");
    say_end(child);
}

static void by_double_fork(char **program)
{
    int held_open[2];
    need(pipe(held_open) == 0, "pipe");
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        pid_t grandchild = fork();
        need(grandchild >= 0, "fork");
        if (grandchild == 0) {
            close(held_open[0]);
            execv(program[0], program);
            need(0, program[0]);
        }
        _exit(0);
    }
    close(held_open[1]);
    say_end(child);
    char byte;
    while (read(held_open[0], &byte, 1) > 0)
        ;
    close(held_open[0]);
    say("grandchild ended");
}

int main(int argc, char **argv)
{
    int separator = 1;
    while (separator < argc && strcmp(argv[separator], "--") != 0)
        separator++;
    if (separator < 2 || separator + 1 >= argc) {
        fprintf(stderr, "usage: forker fork|vfork|spawn|double [COUNT] -- PROG ARGS...\n");
        return FIXTURE_BROKEN;
    }
    const char *how = argv[1];
    long count = number_or(separator, argv, 2, 1);
    char **program = argv + separator + 1;
    for (long turn = 0; turn < count; turn++) {
        if (strcmp(how, "fork") == 0)
            by_fork(program);
        else if (strcmp(how, "vfork") == 0)
            by_vfork(program);
        else if (strcmp(how, "spawn") == 0)
            by_spawn(program);
        else
            by_double_fork(program);
    }
    return 0;
}
