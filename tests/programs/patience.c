/* patience CALL [MILLISECONDS]: waits in CALL for that long (300 unless given) while SIGCHLD, which is ignored, comes every 20 ms until it
 * returns. Prints "CALL: its timeout passed", or what else happened. `patience --list` prints the calls. */
#include "fixture.h"

#include <linux/aio_abi.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>

static struct timespec limit;
static int milliseconds, waiting_tid, returned;

static long by_epoll_wait(void)
{
    struct epoll_event event;
    return epoll_wait(epoll_create1(0), &event, 1, milliseconds);
}

static long by_epoll_pwait2(void)
{
    struct epoll_event event;
    return syscall(SYS_epoll_pwait2, epoll_create1(0), &event, 1, &limit, NULL, 0);
}

static long by_semtimedop(void)
{
    struct sembuf take = {0, -1, 0};
    int id = semget(IPC_PRIVATE, 1, 0600);
    long result = semtimedop(id, &take, 1, &limit);
    int error = errno;
    semctl(id, 0, IPC_RMID);
    errno = error;
    return result;
}

static long by_io_getevents(void)
{
    aio_context_t ring = 0;
    struct io_event event;
    need(syscall(SYS_io_setup, 8, &ring) == 0, "io_setup");
    return syscall(SYS_io_getevents, ring, 1L, 1L, &event, &limit);
}

static long by_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &limit);
}

/* What a passed timeout looks like: this result, and this errno where that is -1. */
static const struct way {
    const char *name;
    long (*wait)(void);
    long result;
    int error;
} ways[] = {
    {"epoll_wait", by_epoll_wait, 0, 0},
    {"epoll_pwait2", by_epoll_pwait2, 0, 0},
    {"semtimedop", by_semtimedop, -1, EAGAIN},
    {"io_getevents", by_io_getevents, 0, 0},
    {"sigtimedwait", by_sigtimedwait, -1, EAGAIN},
};

static void *disturb(void *nothing)
{
    struct timespec pause = {0, 20000000};
    while (!__atomic_load_n(&returned, __ATOMIC_SEQ_CST)) {
        nanosleep(&pause, NULL);
        syscall(SYS_tgkill, getpid(), waiting_tid, SIGCHLD);
    }
    return nothing;
}

static void wait_in(const struct way *way)
{
    struct timespec before, after;
    pthread_t thread;
    waiting_tid = gettid();
    need(pthread_create(&thread, NULL, disturb, NULL) == 0, "pthread_create");
    clock_gettime(CLOCK_MONOTONIC, &before);
    long result = way->wait();
    int error = errno;
    clock_gettime(CLOCK_MONOTONIC, &after);
    __atomic_store_n(&returned, 1, __ATOMIC_SEQ_CST);
    long waited = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    if (result != way->result || (result == -1 && error != way->error))
        say("%s: returned %ld, %s", way->name, result, result == -1 ? strerror(error) : "");
    else
        say(waited < milliseconds ? "%s: its timeout passed early" : "%s: its timeout passed", way->name);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--list";
    milliseconds = (int)number_or(argc, argv, 2, 300);
    limit = (struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L};
    for (size_t index = 0; index < sizeof ways / sizeof *ways; index++) {
        if (strcmp(name, "--list") == 0)
            say("%s", ways[index].name);
        else if (strcmp(name, ways[index].name) == 0)
            wait_in(&ways[index]);
    }
    return 0;
}
