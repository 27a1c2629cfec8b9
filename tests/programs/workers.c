/* workers N VICTIM [stdin]: N threads named worker-1..N, of which VICTIM writes through a null pointer at offset 8.
 * Thread I keeps MAGIC | I on its stack and in a callee-saved register; prints "ready pid=P fault_pc=A", then faults at once, or after a line on stdin. */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#define MAGIC 0x51c4ba0000000000UL
#define STACK_BYTES (64 * 1024)

static sem_t go;
static atomic_long set;
static long count, victim;

extern const char fault_site[];

#if defined __x86_64__
/* The magic value stays in r12 across the pause(2) that the thread repeats for ever. Counted without a call, so that a
 * thread that is set is in no library. */
static void wait_holding(uint64_t magic)
{
    register uint64_t kept __asm__("r12") = magic;
    __asm__ volatile("" : "+r"(kept));
    atomic_fetch_add(&set, 1);
    for (;;) {
        long number = SYS_pause;
        __asm__ volatile("syscall" : "+a"(number) : "r"(kept) : "rcx", "r11", "memory");
    }
}

__attribute__((noinline, noclone)) static void fault_holding(uint64_t magic)
{
    register uint64_t kept __asm__("r12") = magic;
    void *field = NULL;
    __asm__ volatile(".globl fault_site\nfault_site:\n\tmovl $42, 8(%0)" ::"r"(field), "r"(kept) : "memory");
}
#elif defined __aarch64__
static void wait_holding(uint64_t magic)
{
    register uint64_t kept __asm__("x19") = magic;
    __asm__ volatile("" : "+r"(kept));
    atomic_fetch_add(&set, 1);
    for (;;)
        __asm__ volatile("mov x8, %0\n\tmov x0, #0\n\tmov x1, #0\n\tmov x2, #0\n\tmov x3, #0\n\tsvc #0" ::"i"(SYS_ppoll), "r"(kept)
                         : "x0", "x1", "x2", "x3", "x8", "memory");
}

__attribute__((noinline, noclone)) static void fault_holding(uint64_t magic)
{
    register uint64_t kept __asm__("x19") = magic;
    void *field = NULL;
    __asm__ volatile(".globl fault_site\nfault_site:\n\tstr wzr, [%0, #8]" ::"r"(field), "r"(kept) : "memory");
}
#endif

static void *work(void *argument)
{
    long index = (long)argument;
    char name[16];
    snprintf(name, sizeof name, "worker-%ld", index);
    pthread_setname_np(pthread_self(), name);

    volatile uint64_t on_stack[2] = {MAGIC | (uint64_t)index, MAGIC | (uint64_t)index};
    if (index == victim) {
        atomic_fetch_add(&set, 1);
        while (sem_wait(&go) != 0)
            ;
        while (atomic_load(&set) <= count)
            sched_yield();
        fault_holding(on_stack[0]);
    }
    wait_holding(on_stack[0]);
    return (void *)on_stack[1];
}

int main(int argc, char **argv)
{
    count = number_or(argc, argv, 1, 4);
    victim = number_or(argc, argv, 2, 1);
    int wait_for_line = argc > 3 && strcmp(argv[3], "stdin") == 0;

    need(sem_init(&go, 0, 0) == 0, "sem_init");
    pthread_attr_t attributes;
    need(pthread_attr_init(&attributes) == 0, "pthread_attr_init");
    need(pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0, "pthread_attr_setstacksize");
    for (long index = 1; index <= count; index++) {
        pthread_t thread;
        need(pthread_create(&thread, &attributes, work, (void *)index) == 0, "pthread_create");
    }
    while (atomic_load(&set) < count)
        sched_yield();
    say("ready pid=%d fault_pc=%p", getpid(), (const void *)fault_site);
    if (wait_for_line)
        getchar();
    sem_post(&go);
    wait_holding(MAGIC);
}
