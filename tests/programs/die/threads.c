/* Ends that involve more than one thread or process: children, exec by a worker, a leader that left first.
 * The way to die inside is the argument, "null-write" unless given. */
#include "die.h"

#include <pthread.h>
#include <sys/wait.h>

static const char *inner_way;

static const char *inner(const char *argument)
{
    return argument ? argument : "null-write";
}

static void *run_act(void *act)
{
    pthread_setname_np(pthread_self(), "victim");
    ((void (*)(void))act)();
    return NULL;
}

void in_thread(void (*act)(void), size_t stack_bytes)
{
    pthread_attr_t attributes;
    pthread_t thread;
    need(pthread_attr_init(&attributes) == 0, "pthread_attr_init");
    need(pthread_attr_setstacksize(&attributes, stack_bytes) == 0, "pthread_attr_setstacksize");
    need(pthread_create(&thread, &attributes, run_act, (void *)act) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void die_inside(void)
{
    die_by(inner_way, NULL);
}

static void in_a_thread(const char *argument)
{
    inner_way = inner(argument);
    in_thread(die_inside, 1 << 20);
}

static pthread_barrier_t together;

static void *fault_together(void *name)
{
    pthread_setname_np(pthread_self(), name);
    pthread_barrier_wait(&together);
    die_by("null-write", NULL);
    return NULL;
}

static void two_threads_at_once(const char *argument)
{
    (void)argument;
    pthread_t first, second;
    need(pthread_barrier_init(&together, NULL, 2) == 0, "pthread_barrier_init");
    need(pthread_create(&first, NULL, fault_together, "twin-1") == 0, "pthread_create");
    need(pthread_create(&second, NULL, fault_together, "twin-2") == 0, "pthread_create");
    pthread_join(first, NULL);
    pthread_join(second, NULL);
}

/* Says how the child ended, and ends well itself. */
static void say_child_end(pid_t child)
{
    int status;
    need(waitpid(child, &status, 0) == child, "waitpid");
    if (WIFSIGNALED(status))
        say("child killed by %d", WTERMSIG(status));
    else
        say("child exited with %d", WEXITSTATUS(status));
    exit(0);
}

static void in_child(const char *argument)
{
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0)
        die_by(inner(argument), NULL);
    say_child_end(child);
}

static void in_vfork_child(const char *argument)
{
    (void)argument;
    pid_t child = vfork();
    if (child == 0) {
        volatile unsigned int *field = (volatile unsigned int *)8;
        __asm__ volatile("" : "+r"(field));
        *field = 42;
        _exit(FIXTURE_BROKEN);
    }
    say_child_end(child);
}

static void become_another(void)
{
    char *arguments[] = {"die", (char *)inner_way, "7", NULL};
    execv("/proc/self/exe", arguments);
}

/* A worker replaces the process: the leader vanishes without an event of its own. */
static void exec_by_thread(const char *argument)
{
    inner_way = argument ? argument : "exit";
    in_thread(become_another, 1 << 20);
}

static void *fault_after_the_leader(void *leader_tid)
{
    pthread_setname_np(pthread_self(), "survivor");
    await_thread_state(*(int *)leader_tid, 'Z');
    die_by(inner_way, NULL);
    return NULL;
}

static void leader_exits_first(const char *argument)
{
    static int leader_tid;
    pthread_t survivor;
    inner_way = inner(argument);
    leader_tid = gettid();
    need(pthread_create(&survivor, NULL, fault_after_the_leader, &leader_tid) == 0, "pthread_create");
    pthread_exit(NULL);
}

const struct way thread_ways[] = {
    {"in-thread", in_a_thread},
    {"two-threads-fault-at-once", two_threads_at_once},
    {"fault-in-child", in_child},
    {"fault-in-vfork-child", in_vfork_child},
    {"exec-by-thread", exec_by_thread},
    {"leader-exits-first", leader_exits_first},
    {NULL, NULL},
};
