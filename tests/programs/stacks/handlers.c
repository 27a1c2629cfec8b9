/* handlers: threads that wait in signal handlers: on the interrupted stack, on an alternate one, one handler within
 * another, after a fault in the vdso. Prints "ready pid=P". */
#include "../fixture.h"

#include <pthread.h>
#include <time.h>

#define KEEP __attribute__((noinline, noclone))

static int gate[2];
static int arrived[2];

KEEP static void wait_here(void)
{
    char byte = 0;
    need(write(arrived[1], &byte, 1) == 1, "write");
    if (read(gate[0], &byte, 1) != 0)
        _exit(FIXTURE_BROKEN);
}

KEEP static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    wait_here();
}

KEEP static void on_nested(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    raise(SIGUSR2);
}

KEEP static void plain(void) { raise(SIGUSR2); }

static void use_alternate_stack(void)
{
    stack_t stack = {.ss_sp = malloc(64 * 1024), .ss_size = 64 * 1024};
    need(stack.ss_sp && sigaltstack(&stack, NULL) == 0, "sigaltstack");
}

KEEP static void alternate(void)
{
    use_alternate_stack();
    raise(SIGUSR1);
}

KEEP static void nested(void)
{
    use_alternate_stack();
    raise(SIGTRAP);
}

KEEP static void in_vdso(void)
{
    use_alternate_stack();
    clock_gettime(CLOCK_MONOTONIC, (struct timespec *)8);
}

KEEP static void by_fault(void)
{
    volatile int *volatile field = NULL;
    use_alternate_stack();
    field[4] = 1;
}

KEEP static void jump_to_null(void)
{
    void (*volatile nowhere)(void) = NULL;
    use_alternate_stack();
    nowhere();
}

struct scene {
    const char *name;
    void (*enter)(void);
};

static const struct scene scenes[] = {
    {"plain", plain}, {"alternate", alternate}, {"nested", nested}, {"vdso", in_vdso}, {"fault", by_fault}, {"null", jump_to_null},
};

static void *enter(void *argument)
{
    const struct scene *scene = argument;
    pthread_setname_np(pthread_self(), scene->name);
    scene->enter();
    return NULL;
}

int main(void)
{
    need(pipe(gate) == 0 && pipe(arrived) == 0, "pipe");
    handle(SIGUSR2, on_signal, 0);
    handle(SIGUSR1, on_signal, SA_ONSTACK);
    handle(SIGSEGV, on_signal, SA_ONSTACK);
    handle(SIGTRAP, on_nested, SA_ONSTACK);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        pthread_t thread;
        need(pthread_create(&thread, NULL, enter, (void *)&scenes[i]) == 0, "pthread_create");
        char byte;
        need(read(arrived[0], &byte, 1) == 1, "read");
    }
    say("ready pid=%d", getpid());
    wait_here();
    return 0;
}
