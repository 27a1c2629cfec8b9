/* What the programs of the conformance suite share. Each goes through its scene again and again, and prints only what does not
 * depend on how often: what it measured must be equal whether nobody, somebody or a coming and going supervisor watches. */
#ifndef CONFORM_H
#define CONFORM_H

#include "../fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

/* Whether to go through the scene once more: ROUNDS times, ROUNDS more for each byte on stdin, and in any case until stdin ends. */
static inline int once_more(int rounds)
{
    static int left = -1;
    if (left < 0)
        left = rounds;
    if (left > 0) {
        left--;
        return 1;
    }
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 0) <= 0)
        return 1;
    char byte;
    ssize_t length = read(STDIN_FILENO, &byte, 1);
    if (length > 0)
        left = rounds - 1;
    return length > 0;
}

/* Counts what must never happen, and prints the first few. */
static int failures;

__attribute__((format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
    if (__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED) >= 20)
        return;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

#define expect(condition, ...)                                                                                                   \
    do {                                                                                                                         \
        if (!(condition))                                                                                                        \
            fail(__VA_ARGS__);                                                                                                   \
    } while (0)

/* The last line and the exit status: 0 where everything was as expected. */
static inline int verdict(void)
{
    say(failures ? "disturbed %d times" : "undisturbed", failures);
    return failures ? 1 : 0;
}

static inline pthread_t start_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, body, argument);
    need(errno == 0, "pthread_create");
    return thread;
}

static inline void *join(pthread_t thread)
{
    void *result = NULL;
    errno = pthread_join(thread, &result);
    need(errno == 0, "pthread_join");
    return result;
}

/* Forks; the child is in a process group of its own choosing and dies with its parent. */
static inline pid_t start_child(void)
{
    fflush(stdout);
    pid_t parent = getpid();
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(FIXTURE_BROKEN);
    }
    return child;
}

/* waitpid(2) that goes on after EINTR. */
static inline int wait_for(pid_t child, int options)
{
    int status = 0;
    while (waitpid(child, &status, options) != child)
        need(errno == EINTR, "waitpid");
    return status;
}

/* Returns once the leader of a process has reached the given state. */
static inline void await_state(pid_t pid, char state)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (;;) {
        FILE *stat = fopen(path, "re");
        need(stat != NULL, path);
        const char *after_name = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
        fclose(stat);
        if (after_name && after_name[2] == state)
            return;
        sched_yield();
    }
}

/* Returns once every thread of a process is stopped; t is how that shows where a tracer listens. */
static inline void await_all_stopped(pid_t pid)
{
    char path[64], line[256];
    int moving;
    do {
        moving = 0;
        snprintf(path, sizeof path, "/proc/%d/task", pid);
        DIR *tasks = opendir(path);
        need(tasks != NULL, path);
        for (struct dirent *task; (task = readdir(tasks));) {
            if (task->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", pid, task->d_name);
            FILE *stat = fopen(path, "re");
            if (!stat)
                continue;
            const char *state = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
            moving += state && state[2] != 'T' && state[2] != 't';
            fclose(stat);
        }
        closedir(tasks);
        if (moving)
            sched_yield();
    } while (moving);
}

/* What waitpid(2) said, in words. The buffer serves the next call. */
static inline const char *in_words(int status)
{
    static char words[64];
    if (WIFEXITED(status))
        snprintf(words, sizeof words, "exited with %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(words, sizeof words, "killed by %d%s", WTERMSIG(status), WCOREDUMP(status) ? " with a core" : "");
    else if (WIFSTOPPED(status))
        snprintf(words, sizeof words, "stopped by %d", WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        snprintf(words, sizeof words, "continued");
    else
        snprintf(words, sizeof words, "status %#x", status);
    return words;
}

#endif
