/* Ends that the C library decides: abort, assert, heap checks, the stack protector, fortified functions.
 * Built with -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-all, as distributions build their services. */
#include "die.h"

#include <assert.h>

static volatile size_t too_many = 64;

static void by_abort(const char *argument)
{
    (void)argument;
    abort();
}

static void by_assert(const char *argument)
{
    (void)argument;
    int balance = (int)too_many;
    assert(balance == 0);
}

static void double_free(const char *argument)
{
    (void)argument;
    char *block = malloc(24);
    __asm__ volatile("" : "+r"(block));
    free(block);
    __asm__ volatile("" : "+r"(block));
    free(block);
}

static void bad_free(const char *argument)
{
    (void)argument;
    char *block = malloc(64);
    __asm__ volatile("" : "+r"(block));
    block += 8;
    __asm__ volatile("" : "+r"(block));
    free(block);
}

__attribute__((noinline)) static void overrun(size_t length)
{
    volatile char buffer[16];
    volatile char *cursor = buffer;
    __asm__ volatile("" : "+r"(cursor));
    for (size_t index = 0; index < length; index++)
        cursor[index] = 'A';
}

static void stack_smash(const char *argument)
{
    (void)argument;
    overrun(too_many);
}

static void fortify(const char *argument)
{
    (void)argument;
    char buffer[16];
    memset(buffer, 'A', too_many);
    __asm__ volatile("" ::"r"(buffer) : "memory");
}

const struct way library_ways[] = {
    {"abort", by_abort},          {"assert", by_assert},   {"double-free", double_free},
    {"bad-free", bad_free},       {"stack-smash", stack_smash}, {"fortify", fortify},
    {NULL, NULL},
};
