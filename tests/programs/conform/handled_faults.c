/* handled_faults: a program handles its own faults: on an alternate stack after an overflow, by siglongjmp, by changing the program counter; and
 * breakpoints and single steps of its own. */
#include "conform.h"

#include <setjmp.h>
#include <ucontext.h>

#define ROUNDS 20

static sigjmp_buf back;
static volatile int steps, breakpoints, overflows;
static char *stack_low;

static void jump_back(int signal, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(back, signal * 1000 + (info->si_code & 0xff));
}

static void overflow_handled(int signal, siginfo_t *info, void *context)
{
    char here = 0;
    (void)signal;
    (void)context;
    (void)info;
    if (&here >= stack_low && &here < stack_low + 65536)
        overflows++;
    siglongjmp(back, 1);
}

static void skip_page(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    need(mprotect((void *)((uintptr_t)info->si_addr & ~4095UL), 4096, PROT_READ | PROT_WRITE) == 0, "mprotect");
}

static void trapped(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code == TRAP_TRACE || info->si_code == TRAP_BRKPT)
        steps++;
    else
        breakpoints++;
}

__attribute__((noinline)) static int recurse(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static void expect_code(int expected)
{
    static volatile int zero;
    int came = sigsetjmp(back, 1);
    if (came == 0) {
        switch (expected / 1000) {
        case SIGSEGV: *(volatile int *)8 = 1; break;
        case SIGFPE: zero = 7 / zero; break;
#ifdef __x86_64__
        case SIGILL: __asm__ volatile("ud2"); break;
#endif
        case SIGABRT: raise(SIGABRT); break;
        }
        fail("nothing was raised for %d", expected);
    }
    expect(came == expected, "%d where it should be %d", came, expected);
}

static void *overflow(void *nothing)
{
    stack_t alternate = {.ss_sp = stack_low, .ss_size = 65536};
    need(sigaltstack(&alternate, NULL) == 0, "sigaltstack");
    if (sigsetjmp(back, 1) == 0)
        recurse(0);
    return nothing;
}

static void trap_itself(void)
{
#ifdef __x86_64__
    steps = breakpoints = 0;
    __asm__ volatile("int3");
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop; pushfq; andq $~0x100, (%%rsp); popfq" ::: "cc", "memory");
    expect(breakpoints == 1 && steps == 5, "%d breakpoints, %d steps", breakpoints, steps);
#endif
}

int main(void)
{
    stack_low = malloc(65536);
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(stack_low && page != MAP_FAILED, "memory");
    handle(SIGTRAP, trapped, 0);
    say("ready");
    int rounds = 0;
    while (once_more(ROUNDS)) {
        handle(SIGFPE, jump_back, 0);
        handle(SIGILL, jump_back, 0);
        handle(SIGABRT, jump_back, 0);
        handle(SIGSEGV, jump_back, 0);
        expect_code(SIGSEGV * 1000 + SEGV_MAPERR);
#ifdef __x86_64__
        expect_code(SIGFPE * 1000 + FPE_INTDIV);
        expect_code(SIGILL * 1000 + ILL_ILLOPN);
#endif
        expect_code(SIGABRT * 1000 + (SI_TKILL & 0xff));
        handle(SIGSEGV, overflow_handled, SA_ONSTACK);
        join(start_thread(overflow, NULL));
        handle(SIGSEGV, skip_page, 0);
        need(mprotect(page, 4096, PROT_NONE) == 0, "mprotect");
        page[rounds % 4096] = 1;
        trap_itself();
        rounds++;
    }
    expect(overflows == rounds, "%d of %d overflows on the alternate stack", overflows, rounds);
    return verdict();
}
