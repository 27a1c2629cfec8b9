/* Instructions that trap by themselves: division, an undefined opcode, a breakpoint.
 * The architecture's own trapping instruction is used where C has no portable spelling. */
#include "die.h"

#include <limits.h>

static volatile int zero, minimum = INT_MIN, minus_one = -1, result;

static void divide_by_zero(const char *argument)
{
    (void)argument;
    result = 5 / zero;
}

static void divide_overflow(const char *argument)
{
    (void)argument;
    result = minimum / minus_one;
}

static void undefined_instruction(const char *argument)
{
    (void)argument;
    __builtin_trap();
}

static void breakpoint(const char *argument)
{
    (void)argument;
#if defined __x86_64__
    __asm__ volatile("int3");
#elif defined __aarch64__
    __asm__ volatile("brk #0");
#endif
}

const struct way instruction_ways[] = {
    {"div-zero", divide_by_zero}, {"int-overflow-div", divide_overflow},
    {"ud2", undefined_instruction}, {"int3", breakpoint},
    {NULL, NULL},
};
