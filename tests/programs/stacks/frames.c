/* frames: threads that wait at the end of calls of many shapes, compiled as the Makefile says (with and without frame
 * pointers, with and without tables, static): large frames, alloca, realigned stacks, variadic and recursive calls,
 * callbacks of the C library, calls through pointers. Prints "ready pid=P". */
#include "../fixture.h"

#include <alloca.h>
#include <immintrin.h>
#include <pthread.h>
#include <search.h>

#define KEEP __attribute__((noinline, noclone))

static int gate[2];

/* Nothing is ever written to the pipe. */
KEEP static long wait_here(long seed)
{
    char byte;
    return seed + read(gate[0], &byte, 1) + byte;
}

KEEP static long large_frame(long seed)
{
    volatile char room[40 * 1024];
    room[seed & 1023] = 1;
    return wait_here(seed) + room[seed & 511];
}

KEEP static long variable_frame(long seed)
{
    volatile char *room = alloca(64 + (seed & 255));
    room[0] = 7;
    return wait_here(seed) + room[0];
}

KEEP static long realigned(long seed)
{
    _Alignas(64) volatile double vector[8] = {1.0};
    volatile char *room = alloca(32 + (seed & 15));
    room[0] = 1;
    return variable_frame(seed) + (long)vector[seed & 7] + room[0];
}

KEEP static long variadic(long seed, ...)
{
    va_list arguments;
    va_start(arguments, seed);
    long sum = realigned(va_arg(arguments, long));
    va_end(arguments);
    return sum;
}

KEEP static long recursive(long depth)
{
    volatile long here = depth;
    return depth == 0 ? variadic(1, 2L, 3.0) + here : recursive(depth - 1) + here;
}

static int compare(const void *left, const void *right)
{
    (void)left;
    return large_frame((long)right & 7) > 0;
}

KEEP static long from_qsort(long seed)
{
    long values[4] = {seed, 3, 1, 2};
    qsort(values, 4, sizeof values[0], compare);
    return values[0];
}

KEEP static long many_arguments(long a, long b, long c, long d, long e, long f, long g, long h)
{
    return wait_here(a + b + c + d + e + f) + g * h;
}

KEEP static long through_pointer(long seed)
{
    long (*volatile call)(long, long, long, long, long, long, long, long) = many_arguments;
    return call(seed, 2, 3, 4, 5, 6, 7, 8) + 1;
}

struct shape {
    const char *name;
    long (*enter)(long);
    long seed;
};

static const struct shape shapes[] = {
    {"recursive", recursive, 20},
    {"qsort", from_qsort, 9},
    {"pointer", through_pointer, 1},
    {"large", large_frame, 3},
};

static void *enter(void *argument)
{
    const struct shape *shape = argument;
    pthread_setname_np(pthread_self(), shape->name);
    return (void *)shape->enter(shape->seed);
}

int main(void)
{
    need(pipe(gate) == 0, "pipe");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        pthread_t thread;
        need(pthread_create(&thread, NULL, enter, (void *)&shapes[i]) == 0, "pthread_create");
    }
    say("ready pid=%d", getpid());
    return (int)recursive(3);
}
