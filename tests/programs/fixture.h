/* What every fixture shares: lines a test can wait for, and a loud end when the fixture itself is at fault.
 * A fixture never sleeps and hopes: it waits for an event, or it watches /proc until a thread is where it must be. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Exit status of a fixture that could not set its own scene; no test expects it. */
#define FIXTURE_BROKEN 99

/* Prints one line on stdout and makes it visible at once. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* Ends the fixture when a step of its preparation failed. */
static inline void need(int succeeded, const char *step)
{
    if (!succeeded) {
        fprintf(stderr, "fixture: %s: %s\n", step, strerror(errno));
        _exit(FIXTURE_BROKEN);
    }
}

/* A number from the command line, or the fallback when the argument is absent. */
static inline long number_or(int argc, char **argv, int index, long fallback)
{
    return index < argc ? strtol(argv[index], NULL, 0) : fallback;
}

/* The number of a signal named like SIGSEGV or SIGRTMIN+3; ends the fixture on an unknown name. */
static inline int signal_by_name(const char *name)
{
    if (strncmp(name, "SIGRTMIN", 8) == 0)
        return SIGRTMIN + atoi(name + 8);
    for (int signal = 1; signal < 32; signal++) {
        const char *short_name = sigabbrev_np(signal);
        if (short_name && strncmp(name, "SIG", 3) == 0 && strcmp(name + 3, short_name) == 0)
            return signal;
    }
    errno = EINVAL;
    need(0, name);
    return 0;
}

static inline void handle_with(int signal, void (*handler)(int, siginfo_t *, void *), int flags, const sigset_t *blocked)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    action.sa_mask = *blocked;
    need(sigaction(signal, &action, NULL) == 0, "sigaction");
}

/* Installs a handler, with SA_SIGINFO and the given further flags. */
static inline void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    sigset_t none;
    sigemptyset(&none);
    handle_with(signal, handler, flags, &none);
}

/* No other handler interrupts this one. */
static inline void handle_alone(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    sigset_t all;
    sigfillset(&all);
    handle_with(signal, handler, flags, &all);
}

/* The state letter of one thread of this process, 0 when it is gone. */
static inline char thread_state(int tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *stat = fopen(path, "re");
    if (!stat)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, stat);
    fclose(stat);
    text[length] = 0;
    const char *after_name = strrchr(text, ')');
    return after_name && after_name[1] ? after_name[2] : 0;
}

/* Returns once a thread of this process has reached the given state. */
static inline void await_thread_state(int tid, char state)
{
    while (thread_state(tid) != state)
        sched_yield();
}

#endif
