/* musl_worker: prints "ready PID"; with a line on stdin a second thread writes through a null pointer. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static volatile int wanted;

__attribute__((noinline)) static void write_through_null(void)
{
    volatile int *null = NULL;
    __asm__ volatile("" : "+r"(null));
    *null = 42;
}

static void *work(void *argument)
{
    while (!wanted)
        usleep(1000);
    write_through_null();
    return argument;
}

int main(void)
{
    pthread_t worker;
    char line[16];
    if (pthread_create(&worker, NULL, work, NULL) != 0)
        return 1;
    printf("ready %d\n", getpid());
    fflush(stdout);
    if (fgets(line, sizeof line, stdin))
        wanted = 1;
    return fgets(line, sizeof line, stdin) != NULL;
}
