/* locks SCENE [N]: threads that wait for locks, each in a way that its scene is named after; worker-1..N are their names.
 * Prints "ready PID" once every thread that is to wait sleeps in futex(2); ends at end of file on stdin.
 *   cycle N      each holds a mutex and waits for the next one's
 *   self         worker-1 locks a mutex twice
 *   timed        worker-1 and worker-2 wait for each other's mutex, with a time limit
 *   robust, pi   worker-1 holds a mutex of that kind, worker-2 waits for it
 *   recursive    the same, locked three times
 *   writer       worker-1 has a rwlock for writing, worker-2 wants to read, worker-3 to write
 *   readers      worker-1 and worker-2 have it for reading, worker-3 wants to write
 *   ended        worker-1 has ended with a mutex, worker-2 waits for it
 *   condition    worker-1 and worker-2 wait for a condition
 *   semaphore    worker-1 waits for a semaphore
 *   stream       worker-1 has the lock of stdout, worker-2 writes to it
 *   join         worker-1 waits for the end of worker-2, which waits for a mutex of worker-1's
 *   fault        worker-1 holds locks of each kind, in static memory, on the heap and on its stack, worker-2 waits for one of
 *                them; worker-1 faults at the end of file */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>

#define MAX_WORKERS 64

static pthread_mutex_t mutexes[MAX_WORKERS];
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore, go;
static pthread_barrier_t all_hold;
static pthread_t threads[MAX_WORKERS];
static int tids[MAX_WORKERS];
static int met;
static long workers;
static const char *scene;

static int is(const char *name)
{
    return strcmp(scene, name) == 0;
}

static void make_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    need(pthread_mutexattr_init(&attributes) == 0, "pthread_mutexattr_init");
    if (is("robust"))
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (is("pi"))
        pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    if (is("recursive"))
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    need(pthread_mutex_init(mutex, &attributes) == 0, "pthread_mutex_init");
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void lock_with_time_limit(pthread_mutex_t *mutex)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 1000;
    pthread_mutex_timedlock(mutex, &end);
}

/* From here on a thread that sleeps in futex(2) waits for the lock that it is to wait for. */
static void meet(void)
{
    pthread_barrier_wait(&all_hold);
    __atomic_fetch_add(&met, 1, __ATOMIC_SEQ_CST);
}

static void fault_with_locks(void)
{
    pthread_mutex_t on_stack = PTHREAD_MUTEX_INITIALIZER, robust;
    pthread_mutex_t *on_heap = malloc(sizeof *on_heap);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    pthread_mutex_init(on_heap, NULL);
    pthread_mutex_lock(&mutexes[0]);
    pthread_mutex_lock(&on_stack);
    pthread_mutex_lock(on_heap);
    pthread_mutex_lock(&robust);
    pthread_rwlock_wrlock(&rwlock);
    say("locks %p %p %p %p %p", (void *)&mutexes[0], (void *)&on_stack, (void *)on_heap, (void *)&robust, (void *)&rwlock);
    meet();
    while (sem_wait(&go) != 0)
        ;
    *(volatile int *)8 = 0;
    free(on_heap);
}

/* What worker-I does before all of them wait: the locks that it holds. */
static void take(long index)
{
    if (is("cycle") || is("timed"))
        pthread_mutex_lock(&mutexes[index]);
    else if (is("readers") && index < 2)
        pthread_rwlock_rdlock(&rwlock);
    else if (index > 0)
        return;
    else if (is("writer"))
        pthread_rwlock_wrlock(&rwlock);
    else if (is("stream"))
        flockfile(stdout);
    else if (is("fault"))
        fault_with_locks();
    else if (is("self") || is("robust") || is("pi") || is("join") || is("ended"))
        pthread_mutex_lock(&mutexes[0]);
    else if (is("recursive"))
        for (int times = 0; times < 3; times++)
            pthread_mutex_lock(&mutexes[0]);
}

/* What it waits for then. Returns for those that are to end. */
static void wait_for(long index)
{
    if (is("cycle"))
        pthread_mutex_lock(&mutexes[(index + 1) % workers]);
    else if (is("timed"))
        lock_with_time_limit(&mutexes[(index + 1) % workers]);
    else if (is("self"))
        pthread_mutex_lock(&mutexes[0]);
    else if (is("condition")) {
        pthread_mutex_lock(&mutexes[0]);
        for (;;)
            pthread_cond_wait(&condition, &mutexes[0]);
    } else if (is("semaphore"))
        while (sem_wait(&semaphore) != 0)
            ;
    else if (is("join") && index == 0)
        pthread_join(threads[1], NULL);
    else if (is("ended") && index == 0)
        return;
    else if (is("stream") && index == 1)
        puts("never seen");
    else if (is("writer") && index == 1)
        pthread_rwlock_rdlock(&rwlock);
    else if ((is("writer") || is("readers")) && index == 2)
        pthread_rwlock_wrlock(&rwlock);
    else if (index == 1 && !is("readers")) {
        if (is("ended"))
            pthread_join(threads[0], NULL);
        pthread_mutex_lock(&mutexes[0]);
    }
    wait_for_ever();
}

static void *work(void *argument)
{
    long index = (long)argument;
    char name[16];
    snprintf(name, sizeof name, "worker-%d", (int)(index + 1) % 1000);
    pthread_setname_np(pthread_self(), name);
    tids[index] = gettid();
    take(index);
    meet();
    wait_for(index);
    return NULL;
}

/* Whether a thread of this process sleeps in a system call of that number. */
static int sleeps_in(int tid, long number)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return length > 0 && strncmp(text, "running", 7) != 0 && strtol(text, NULL, 10) == number;
}

/* Which of them wait for a lock for good. */
static int is_to_wait(long index)
{
    if (is("cycle") || is("timed") || is("self") || is("condition") || is("semaphore") || is("join"))
        return 1;
    return is("readers") ? index == 2 : index > 0;
}

static void say_ready(void)
{
    char line[32];
    int length = snprintf(line, sizeof line, "ready %d\n", getpid());
    need(write(STDOUT_FILENO, line, (size_t)length) == length, "write");
}

int main(int argc, char **argv)
{
    scene = argc > 1 ? argv[1] : "cycle";
    workers = is("cycle") ? number_or(argc, argv, 2, 3) : is("self") || is("semaphore") ? 1 : is("writer") || is("readers") ? 3 : 2;
    need(workers <= MAX_WORKERS, "number of workers");
    for (long index = 0; index < workers; index++)
        make_mutex(&mutexes[index]);
    need(sem_init(&semaphore, 0, 0) == 0 && sem_init(&go, 0, 0) == 0, "sem_init");
    need(pthread_barrier_init(&all_hold, NULL, (unsigned)workers) == 0, "pthread_barrier_init");
    for (long index = 0; index < workers; index++)
        need(pthread_create(&threads[index], NULL, work, (void *)index) == 0, "pthread_create");
    while (__atomic_load_n(&met, __ATOMIC_SEQ_CST) < workers)
        sched_yield();
    for (long index = 0; index < workers; index++)
        while (is_to_wait(index) && !sleeps_in(tids[index], SYS_futex))
            sched_yield();
    say_ready();
    char bytes[64];
    while (read(STDIN_FILENO, bytes, sizeof bytes) > 0)
        ;
    if (is("fault"))
        sem_post(&go);
    else
        _exit(0);
    wait_for_ever();
}
