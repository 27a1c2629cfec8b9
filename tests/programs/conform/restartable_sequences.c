/* restartable_sequences: threads count per CPU in restartable sequences (rseq(2)) while signals hit them; no count is lost or doubled. */
#include "conform.h"

#define ROUNDS 2
#define THREADS 3
#define EACH 20000
#define CPUS 1024

#if defined(__x86_64__) && __has_include(<sys/rseq.h>)
#include <sys/rseq.h>

static struct {
    volatile long count;
    char rest[56];
} counters[CPUS];
static volatile int busy;

static void nothing(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
}

/* Adds one to the counter of this CPU; 0 where the sequence was interrupted. */
static int add_one(struct rseq *area)
{
    int cpu = (int)__atomic_load_n(&area->cpu_id_start, __ATOMIC_RELAXED);
    volatile long *counter = &counters[cpu].count;
    __asm__ goto(".pushsection __rseq_cs, \"aw\"\n"
                 ".balign 32\n"
                 "3: .long 0, 0\n"
                 ".quad 1f, 2f - 1f, 4f\n"
                 ".popsection\n"
                 "leaq 3b(%%rip), %%rax\n"
                 "movq %%rax, %[sequence]\n"
                 "1: cmpl %[cpu], %[current]\n"
                 "jnz 4f\n"
                 "movq %[counter], %%rax\n"
                 "addq $1, %%rax\n"
                 "movq %%rax, %[counter]\n"
                 "2:\n"
                 ".pushsection __rseq_failure, \"ax\"\n"
                 ".byte 0x0f, 0xb9, 0x3d\n"
                 ".long %c[signature]\n"
                 "4: jmp %l[aborted]\n"
                 ".popsection\n"
                 :
                 : [sequence] "m"(area->rseq_cs), [current] "m"(area->cpu_id), [cpu] "r"(cpu), [counter] "m"(*counter), [signature] "i"(RSEQ_SIG)
                 : "rax", "memory", "cc"
                 : aborted);
    return 1;
aborted:
    return 0;
}

static void *count(void *given)
{
    (void)given;
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    for (int done = 0; done < EACH;)
        done += add_one(area);
    __atomic_fetch_sub(&busy, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(void)
{
    handle(SIGUSR1, nothing, SA_RESTART);
    say("ready");
    while (once_more(ROUNDS)) {
        pthread_t threads[THREADS];
        long all = 0;
        memset(counters, 0, sizeof counters);
        busy = THREADS;
        for (int index = 0; index < THREADS; index++)
            threads[index] = start_thread(count, NULL);
        while (busy > 0)
            for (int index = 0; index < THREADS; index++)
                pthread_kill(threads[index], SIGUSR1);
        for (int index = 0; index < THREADS; index++)
            join(threads[index]);
        for (int cpu = 0; cpu < CPUS; cpu++)
            all += counters[cpu].count;
        expect(all == (long)THREADS * EACH, "counted %ld of %ld", all, (long)THREADS * EACH);
    }
    return verdict();
}
#else
int main(void)
{
    say("ready");
    return verdict();
}
#endif
