/* handled [N]: leaves SIGSEGV by siglongjmp N times (100000 unless given), as a runtime with null checks does.
 * Prints "handled H of N, handler kept" and exits 0, or says which it lost and exits 1. */
#include "fixture.h"

#include <setjmp.h>

static sigjmp_buf back;
static volatile long handled;

static void leap(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_addr == (void *)8)
        handled++;
    siglongjmp(back, 1);
}

int main(int argc, char **argv)
{
    volatile long wanted = number_or(argc, argv, 1, 100000);
    handle(SIGSEGV, leap, 0);
    for (volatile long turn = 0; turn < wanted; turn++) {
        volatile int *field = (volatile int *)8;
        __asm__ volatile("" : "+r"(field));
        if (sigsetjmp(back, 1) == 0)
            *field = 42;
    }
    struct sigaction now;
    need(sigaction(SIGSEGV, NULL, &now) == 0, "sigaction");
    int kept = now.sa_sigaction == leap;
    say("handled %ld of %ld, handler %s", handled, wanted, kept ? "kept" : "lost");
    return handled == wanted && kept ? 0 : 1;
}
