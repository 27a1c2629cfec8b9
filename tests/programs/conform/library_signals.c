/* library_signals: pthread_cancel (signal 32) reaches threads that compute, sleep and read; setuid (signal 33) reaches every thread. */
#include "conform.h"

#define ROUNDS 10
#define KINDS 4

static sem_t started;
static int quiet[2];
static int cleaned;

static void clean(void *nothing)
{
    (void)nothing;
    __atomic_fetch_add(&cleaned, 1, __ATOMIC_SEQ_CST);
}

static void *cancelled(void *kind)
{
    char byte;
    int old;
    pthread_cleanup_push(clean, NULL);
    if ((intptr_t)kind == 3)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    sem_post(&started);
    for (;;) {
        if ((intptr_t)kind == 0)
            pause();
        else if ((intptr_t)kind == 1)
            (void)!read(quiet[0], &byte, 1);
        else if ((intptr_t)kind == 2)
            sleep(1000);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

/* The ids of one thread of the process, as the kernel knows them. */
static void *read_ids(void *ids)
{
    uid_t *found = ids;
    need(syscall(SYS_getresuid, &found[0], &found[1], &found[2]) == 0, "getresuid");
    return NULL;
}

int main(void)
{
    need(pipe(quiet) == 0 && sem_init(&started, 0, 0) == 0, "initialise");
    say("ready");
    int rounds = 0;
    while (once_more(ROUNDS)) {
        pthread_t threads[KINDS];
        for (intptr_t kind = 0; kind < KINDS; kind++)
            threads[kind] = start_thread(cancelled, (void *)kind);
        for (int kind = 0; kind < KINDS; kind++)
            while (sem_wait(&started) != 0)
                ;
        uid_t real = getuid(), ids[3];
        need(setresuid(real, real, real) == 0 && setgid(getgid()) == 0, "setresuid");
        join(start_thread(read_ids, ids));
        expect(ids[0] == real && ids[1] == real && ids[2] == real, "ids differ");
        for (int kind = 0; kind < KINDS; kind++) {
            need(pthread_cancel(threads[kind]) == 0, "pthread_cancel");
            expect(join(threads[kind]) == PTHREAD_CANCELED, "kind %d was not cancelled", kind);
        }
        rounds++;
    }
    expect(cleaned == rounds * KINDS, "%d clean-ups of %d", cleaned, rounds * KINDS);
    return verdict();
}
