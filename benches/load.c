/* load THREADS: a process with that many threads, the main one included, that measures itself. All but the main one idle, each with
 * STACK_USED bytes of stack in use. Prints "ready PID", then obeys lines on stdin; ends at end of file.
 *
 *   cpu N        run on that CPU from now on, and the threads started from now on; answers "cpu N"
 *   signals MS   send a handled signal to itself for so long; answers "signals COUNT NANOSECONDS"
 *   ignored MS   the same with a signal whose default action is to be ignored
 *   spawn MS     create and join threads for so long; answers "spawn COUNT NANOSECONDS"
 *   silent TURNS while four more threads storm with signals, send one to an idle thread and wait for its handler, so often, each time
 *                to another one; answers "silent MEDIAN LONGEST", nanoseconds
 *   fill MB      take that much memory and write to all of it; answers "fill MB"
 *   fault        answer "fault NANOSECONDS", the time since 1970, and write through a null pointer at once
 */
#include "../tests/programs/fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#define STACK_BYTES (32 * 1024)
#define STACK_USED (8 * 1024)
/* The clock is looked at once in so many signals or threads. */
#define BATCH 16

#define STORMING 4

static sem_t started, answered;
static pthread_t *idlers;
static volatile int storming;
static pthread_attr_t small;
static volatile long handled;

static long nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *idle(void *nothing)
{
    volatile char used[STACK_USED];
    memset((char *)used, 1, sizeof used);
    sem_post(&started);
    for (;;)
        pause();
    return nothing;
}

static void *end_at_once(void *nothing)
{
    return nothing;
}

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handled++;
}

static void answer(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    sem_post(&answered);
}

static void signal_itself(int signal)
{
    syscall(SYS_tgkill, getpid(), gettid(), signal);
}

static void handle_one(void)
{
    signal_itself(SIGUSR1);
}

static void ignore_one(void)
{
    signal_itself(SIGURG);
}

static void spawn_one(void)
{
    pthread_t thread;
    need(pthread_create(&thread, &small, end_at_once, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void measure(const char *what, long milliseconds, void (*once)(void))
{
    long begin = nanoseconds(CLOCK_MONOTONIC), end = begin, done = 0;
    while (end - begin < milliseconds * 1000000) {
        for (int index = 0; index < BATCH; index++)
            once();
        done += BATCH;
        end = nanoseconds(CLOCK_MONOTONIC);
    }
    say("%s %ld %ld", what, done, end - begin);
}

static void *storm(void *nothing)
{
    while (storming)
        signal_itself(SIGUSR1);
    return nothing;
}

static int by_size(const void *left, const void *right)
{
    long difference = *(const long *)left - *(const long *)right;
    return (difference > 0) - (difference < 0);
}

static void silent(long turns, long threads)
{
    pthread_t others[STORMING];
    long *took = calloc(turns, sizeof *took);
    need(took && turns > 0 && threads > 1, "silent");
    storming = 1;
    for (int index = 0; index < STORMING; index++)
        need(pthread_create(&others[index], NULL, storm, NULL) == 0, "pthread_create");
    for (long turn = 0; turn < turns; turn++) {
        long begin = nanoseconds(CLOCK_MONOTONIC);
        need(pthread_kill(idlers[1 + turn * 7919 % (threads - 1)], SIGUSR2) == 0, "pthread_kill");
        while (sem_wait(&answered) != 0)
            ;
        took[turn] = nanoseconds(CLOCK_MONOTONIC) - begin;
    }
    storming = 0;
    for (int index = 0; index < STORMING; index++)
        pthread_join(others[index], NULL);
    qsort(took, turns, sizeof *took, by_size);
    say("silent %ld %ld", took[turns / 2], took[turns - 1]);
    free(took);
}

static void fill(long megabytes)
{
    char *memory = malloc(megabytes << 20);
    need(memory != NULL, "malloc");
    memset(memory, 1, megabytes << 20);
    /* Nobody reads it, and a compiler would leave it out. */
    __asm__ volatile("" : : "r"(memory) : "memory");
    say("fill %ld", megabytes);
}

static void run_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    need(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
    say("cpu %d", cpu);
}

static void fault(void)
{
    volatile int *field = (volatile int *)8;
    __asm__ volatile("" : "+r"(field));
    say("fault %ld", nanoseconds(CLOCK_REALTIME));
    *field = 42;
}

int main(int argc, char **argv)
{
    long threads = number_or(argc, argv, 1, 1), argument = 0;
    idlers = calloc(threads, sizeof *idlers);
    need(idlers && sem_init(&started, 0, 0) == 0 && sem_init(&answered, 0, 0) == 0 && pthread_attr_init(&small) == 0, "initialise");
    need(pthread_attr_setstacksize(&small, STACK_BYTES) == 0, "stack size");
    handle(SIGUSR1, count, SA_RESTART);
    handle(SIGUSR2, answer, SA_RESTART);
    for (long index = 1; index < threads; index++) {
        need(pthread_create(&idlers[index], &small, idle, NULL) == 0, "pthread_create");
    }
    for (long index = 1; index < threads; index++)
        while (sem_wait(&started) != 0)
            ;
    say("ready %d", getpid());

    char line[64], command[16];
    while (fgets(line, sizeof line, stdin)) {
        need(sscanf(line, "%15s %ld", command, &argument) >= 1, "read a command");
        if (strcmp(command, "cpu") == 0)
            run_on((int)argument);
        else if (strcmp(command, "signals") == 0)
            measure(command, argument, handle_one);
        else if (strcmp(command, "ignored") == 0)
            measure(command, argument, ignore_one);
        else if (strcmp(command, "spawn") == 0)
            measure(command, argument, spawn_one);
        else if (strcmp(command, "silent") == 0)
            silent(argument, threads);
        else if (strcmp(command, "fill") == 0)
            fill(argument);
        else if (strcmp(command, "fault") == 0)
            fault();
    }
    return 0;
}
