/* isolated LOCK: worker-0..3 take a lock of the given kind in turn (nothing, mutex, robust, rwlock, or hidden: a mutex in
 * memory of its own whose address nothing holds as it is) and count; the main thread obeys stdin:
 *   fault N    worker N writes through a null pointer, holding the lock        main-fault   the main thread does
 *   counts N   prints "counts N: A B C D"                                      join N       prints "joined N"
 *   setgid     calls setgid(3), which every thread takes part in               fork         prints "forked" when a child has ended
 *   exec       becomes `echo executed`                                         raise SIG    worker 0 raises a signal
 *   inside N X worker N faults inside X: malloc, printf, qsort, handler (of a signal)
 *   gather N   every worker but N waits for a condition with the mutex; prints "gathered"
 * As a C++ program it has a kind more, guard: a std::lock_guard; and a handler around each turn of a worker. */
#include "fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <pthread.h>
#include <sys/mman.h>
#include <stdint.h>
#include <sys/wait.h>

#ifdef __cplusplus
#include <exception>
#include <mutex>
static std::mutex guarded;
#endif

#define WORKERS 4

enum kind { NOTHING, MUTEX, ROBUST, RWLOCK, HIDDEN, GUARD };

static enum kind kind;
static pthread_mutex_t mutex;
static volatile uintptr_t hidden;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_t workers[WORKERS];
static volatile long counts[WORKERS];
static volatile int victim = -1, raiser = -1, raised;
static void (*volatile run_into)(void);
static volatile int runner = -1, left_out = -1, gathered;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static pthread_mutex_t *hidden_mutex(void)
{
    return (pthread_mutex_t *)~hidden;
}

__attribute__((noinline)) static void take_lock(void)
{
    if (kind == RWLOCK) {
        pthread_rwlock_wrlock(&rwlock);
    } else if (kind == HIDDEN) {
        pthread_mutex_lock(hidden_mutex());
#ifdef __x86_64__
        /* Nor do registers hold it any more. */
        __asm__ volatile("xor %%edi, %%edi\nxor %%edx, %%edx\nxor %%r8d, %%r8d" : : : "rdi", "rdx", "r8");
#endif
    } else if (kind != NOTHING && kind != GUARD && pthread_mutex_lock(&mutex) == EOWNERDEAD) {
        pthread_mutex_consistent(&mutex);
    }
}

static void release_lock(void)
{
    if (kind == RWLOCK)
        pthread_rwlock_unlock(&rwlock);
    else if (kind == HIDDEN)
        pthread_mutex_unlock(hidden_mutex());
    else if (kind != NOTHING && kind != GUARD)
        pthread_mutex_unlock(&mutex);
}

/* A leaf with a name of its own. */
__attribute__((noinline)) static void write_through_null(void)
{
    volatile int *null = NULL;
    __asm__ volatile("" : "+r"(null));
    *null = 42;
}

/* Called through a pointer, as through another library: the compiler does not know that it throws nothing. */
static void (*volatile fault)(void) = write_through_null;

/* Freed memory says where the next freed memory is, mixed with its own address; here it leads to nowhere. */
static void fault_in_malloc(void)
{
    char *first = (char *)malloc(64), *second = (char *)malloc(64);
    uintptr_t *next = (uintptr_t *)second;
    __asm__ volatile("" : "+r"(first), "+r"(next));
    free(first);
    free(second);
    *next = 0x10 ^ ((uintptr_t)next >> 12);
    char *taken[3];
    for (int index = 0; index < 3; index++) {
        taken[index] = (char *)malloc(64);
        __asm__ volatile("" : : "r"(taken[index]) : "memory");
    }
}

static void fault_in_printf(void)
{
    const char *nowhere = (const char *)1;
    __asm__ volatile("" : "+r"(nowhere));
    fprintf(stderr, "%d: %s", 1, nowhere);
}

static int compare(const void *left, const void *right)
{
    write_through_null();
    return left < right;
}

static void fault_in_qsort(void)
{
    int numbers[] = {2, 1};
    qsort(numbers, 2, sizeof numbers[0], compare);
}

static void fault_again(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    write_through_null();
}

/* An instruction raises the signal, so that no function of the C library is on the stack. */
static void fault_in_handler(void)
{
    handle(SIGILL, fault_again, 0);
    handle(SIGTRAP, fault_again, 0);
    __builtin_trap();
}

static void (*function_by_name(const char *name))(void)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } all[] = {{"malloc", fault_in_malloc}, {"printf", fault_in_printf}, {"qsort", fault_in_qsort}, {"handler", fault_in_handler}};
    for (size_t index = 0; index < sizeof all / sizeof all[0]; index++)
        if (strcmp(name, all[index].name) == 0)
            return all[index].function;
    need(0, "a function to fault in");
    return NULL;
}

__attribute__((noinline)) static void count(long self)
{
    counts[self] = counts[self] + 1;
    if (victim == self)
        fault();
}

__attribute__((noinline)) static void take_turn_locked(long self)
{
#ifdef __cplusplus
    if (kind == GUARD) {
        std::lock_guard<std::mutex> guard(guarded);
        count(self);
        return;
    }
#endif
    take_lock();
    if (left_out >= 0 && left_out != self) {
        gathered = gathered + 1;
        pthread_cond_wait(&never, &mutex);
    }
    count(self);
    release_lock();
}

static void take_turn(long self)
{
#ifdef __cplusplus
    try {
        take_turn_locked(self);
    } catch (const std::exception &error) {
        victim = -1;
        say("caught %s", error.what());
    }
#else
    take_turn_locked(self);
#endif
}

static void *work(void *argument)
{
    long self = (long)argument;
    char name[16];
    snprintf(name, sizeof name, "worker-%ld", self);
    pthread_setname_np(pthread_self(), name);
    for (;;) {
        take_turn(self);
        if (runner == self)
            run_into();
        if (raiser == self) {
            raiser = -1;
            raise(raised);
        }
        usleep(100);
    }
    return NULL;
}

static void set_up_mutex(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (kind == ROBUST)
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    need(pthread_mutex_init(&mutex, &attributes) == 0, "pthread_mutex_init");
    /* Between two pages that belong to nothing else. */
    long page = sysconf(_SC_PAGESIZE);
    char *memory = (char *)mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    memory += page;
    need(mprotect(memory, page, PROT_READ | PROT_WRITE) == 0, "mprotect");
    need(pthread_mutex_init((pthread_mutex_t *)memory, NULL) == 0, "pthread_mutex_init");
    hidden = ~(uintptr_t)memory;
}

static enum kind kind_by_name(const char *name)
{
    static const char *const names[] = {"nothing", "mutex", "robust", "rwlock", "hidden", "guard"};
    for (int index = 0; index < 6; index++)
        if (strcmp(name, names[index]) == 0)
            return (enum kind)index;
    need(0, "a kind of lock");
    return NOTHING;
}

/* Every thread of the process has a seccomp filter then, which allows everything. */
static void install_filter(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0, "seccomp");
}

static void obey(const char *line)
{
    int number;
    char name[32];
    if (sscanf(line, "fault %d", &number) == 1) {
        victim = number;
    } else if (sscanf(line, "raise %31s", name) == 1) {
        raised = signal_by_name(name);
        raiser = 0;
    } else if (sscanf(line, "inside %d %31s", &number, name) == 2) {
        run_into = function_by_name(name);
        runner = number;
    } else if (strncmp(line, "main-fault", 10) == 0) {
        write_through_null();
    } else if (sscanf(line, "counts %d", &number) == 1) {
        say("counts %d: %ld %ld %ld %ld", number, counts[0], counts[1], counts[2], counts[3]);
    } else if (sscanf(line, "join %d", &number) == 1) {
        need(pthread_join(workers[number], NULL) == 0, "pthread_join");
        say("joined %d", number);
    } else if (strncmp(line, "setgid", 6) == 0) {
        say("setgid %d", setgid(getgid()));
    } else if (strncmp(line, "fork", 4) == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        need(child > 0 && waitpid(child, NULL, 0) == child, "fork");
        say("forked");
    } else if (sscanf(line, "gather %d", &number) == 1) {
        for (left_out = number; gathered < WORKERS - 1;)
            usleep(100);
        /* Whoever has the mutex after the last has let it go to wait. */
        take_lock();
        release_lock();
        say("gathered");
    } else if (strncmp(line, "filter", 6) == 0) {
        install_filter();
        say("filtered");
    } else if (strncmp(line, "exec", 4) == 0) {
        execlp("echo", "echo", "executed", NULL);
    }
}

int main(int argc, char **argv)
{
    char line[128];
    kind = kind_by_name(argc > 1 ? argv[1] : "nothing");
    set_up_mutex();
    for (long index = 0; index < WORKERS; index++)
        need(pthread_create(&workers[index], NULL, work, (void *)index) == 0, "pthread_create");
    say("ready %d", getpid());
    while (fgets(line, sizeof line, stdin))
        obey(line);
    return 0;
}
