/* tail_calls: functions that end in a jump to the next, so that they have left the stack when the last one waits.
 * Prints "ready pid=P". */
#include "../fixture.h"

#define KEEP __attribute__((noinline, noclone))

static int gate[2];

KEEP static long wait_here(long seed)
{
    char byte;
    return seed + read(gate[0], &byte, 1) + byte;
}

KEEP static long third(long seed) { return wait_here(seed * 3); }
KEEP static long second(long seed) { return third(seed + 2); }
KEEP static long first(long seed) { return second(seed ^ 1); }
KEEP static long stays(long seed) { return first(seed) + 1; }

int main(int argc, char **argv)
{
    (void)argv;
    need(pipe(gate) == 0, "pipe");
    say("ready pid=%d", getpid());
    return (int)stays(argc);
}
