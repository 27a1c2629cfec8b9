/* Stack overflows: on the main stack and a small one, with every kind of handler a program may have.
 * The handlers are what decides how many stops a tracer sees, and which of them is the fatal one. */
#include "die.h"

#include <sys/resource.h>

#define SMALL_STACK (64 * 1024)

static int depth_reached;

/* Recurses for ever; the volatile page of locals keeps each frame real. */
__attribute__((noinline)) static int recurse(int depth)
{
    volatile char page[1024];
    page[0] = (char)depth;
    depth_reached = depth;
    return recurse(depth + 1) + page[0];
}

static void overflow(void)
{
    /* A machine without a limit would fill its memory first. */
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    need(getrlimit(RLIMIT_STACK, &limit) == 0, "getrlimit");
    limit.rlim_cur = 1 << 20;
    need(setrlimit(RLIMIT_STACK, &limit) == 0, "setrlimit");
    exit(recurse(0));
}

static void alternate_stack(void)
{
    stack_t stack = {.ss_sp = malloc(SMALL_STACK), .ss_size = SMALL_STACK};
    need(sigaltstack(&stack, NULL) == 0, "sigaltstack");
}

/* Steps back and dies of a signal of its own sending, as many crash handlers do. */
static void reset_and_raise(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(signal, &standard, NULL);
    raise(signal);
}

/* Steps back and returns, so that the same instruction faults again. */
static void reset_and_return(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(signal, &standard, NULL);
}

static void on_main(const char *argument)
{
    (void)argument;
    overflow();
}

static void on_thread(const char *argument)
{
    (void)argument;
    in_thread(overflow, SMALL_STACK);
}

static void with_alternate_stack(const char *argument)
{
    (void)argument;
    alternate_stack();
    handle(SIGSEGV, reset_and_raise, SA_ONSTACK);
    overflow();
}

static void with_alternate_stack_and_return(const char *argument)
{
    (void)argument;
    alternate_stack();
    handle(SIGSEGV, reset_and_return, SA_ONSTACK);
    overflow();
}

static void without_alternate_stack(const char *argument)
{
    (void)argument;
    handle(SIGSEGV, reset_and_raise, 0);
    overflow();
}

const struct way stack_ways[] = {
    {"stack-overflow-main", on_main},
    {"stack-overflow-thread", on_thread},
    {"stack-overflow-altstack", with_alternate_stack},
    {"stack-overflow-altstack-return", with_alternate_stack_and_return},
    {"stack-overflow-no-altstack", without_alternate_stack},
    {NULL, NULL},
};
