/* exec_by_thread: in a process of 50 threads, one that is not the leader executes another program; so do the leader, and two at once. */
#include "conform.h"

#define ROUNDS 3
#define THREADS 50

static char *self;
static sem_t started;
static pthread_barrier_t together;

static void *wait_for_ever(void *nothing)
{
    sem_post(&started);
    for (;;)
        pause();
    return nothing;
}

static void *execute(void *status)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)(intptr_t)status);
    sem_post(&started);
    pthread_barrier_wait(&together);
    execl(self, self, "child", text, (char *)NULL);
    need(0, "execl");
    return NULL;
}

/* What the new program finds: its own pid unchanged, one thread, the signal that was pending, its mask. */
static int new_program(int status)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", getpid());
    sigset_t pending;
    sigpending(&pending);
    int alone = access(path, F_OK) == 0 && gettid() == getpid();
    return alone && sigismember(&pending, SIGUSR2) ? status : 99;
}

static void run(int executing, int leader)
{
    pid_t child = start_child();
    if (child == 0) {
        sigset_t usr2;
        sigemptyset(&usr2);
        sigaddset(&usr2, SIGUSR2);
        need(sigprocmask(SIG_BLOCK, &usr2, NULL) == 0 && kill(getpid(), SIGUSR2) == 0, "kill");
        need(pthread_barrier_init(&together, NULL, (unsigned)(executing + leader)) == 0, "pthread_barrier_init");
        for (int index = 0; index < THREADS - executing; index++)
            start_thread(wait_for_ever, NULL);
        for (int index = 0; index < executing; index++)
            start_thread(execute, (void *)(intptr_t)7);
        if (leader)
            execute((void *)(intptr_t)7);
        for (;;)
            pause();
    }
    const char *words = in_words(wait_for(child, 0));
    expect(strcmp(words, "exited with 7") == 0, "%d executing, %d leader: %s", executing, leader, words);
}

int main(int argc, char **argv)
{
    self = "/proc/self/exe";
    if (argc == 3 && strcmp(argv[1], "child") == 0)
        return new_program(atoi(argv[2]));
    need(sem_init(&started, 0, 0) == 0, "sem_init");
    say("ready");
    while (once_more(ROUNDS)) {
        run(1, 0);
        run(0, 1);
        run(2, 1);
    }
    return verdict();
}
