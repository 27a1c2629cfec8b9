/* Ends by resource limits, by seccomp, by SIGKILL and by plain exit.
 * Those that the kernel forces (seccomp's kill actions, SIGKILL) show a tracer no signal stop. */
#include "die.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void cpu_time(const char *argument)
{
    (void)argument;
    struct rlimit limit = {1, 10};
    need(setrlimit(RLIMIT_CPU, &limit) == 0, "setrlimit");
    for (volatile unsigned long turns = 0;; turns++)
        ;
}

static void file_size(const char *argument)
{
    (void)argument;
    int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    need(file >= 0, "open");
    struct rlimit limit = {4096, 4096};
    need(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    static char block[8192];
    while (write(file, block, sizeof block) > 0)
        ;
}

/* Applies one seccomp action to one system call, and calls it. */
static void forbid_and_call(unsigned int action, int number)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "seccomp");
    syscall(number);
}

static void seccomp_trap(const char *argument)
{
    (void)argument;
    forbid_and_call(SECCOMP_RET_TRAP, SYS_getppid);
}

static void seccomp_kill(const char *argument)
{
    (void)argument;
    forbid_and_call(SECCOMP_RET_KILL_PROCESS, SYS_getppid);
}

static void *lose_this_thread(void *unused)
{
    (void)unused;
    forbid_and_call(SECCOMP_RET_KILL_THREAD, SYS_getppid);
    return NULL;
}

/* Only the thread ends; the process goes on until its stdin does. */
static void seccomp_kill_thread(const char *argument)
{
    (void)argument;
    pthread_t thread;
    need(pthread_create(&thread, NULL, lose_this_thread, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    say("goes on");
    while (getchar() != EOF)
        ;
    exit(0);
}

static void self_kill9(const char *argument)
{
    (void)argument;
    kill(getpid(), SIGKILL);
    pause();
}

static void plain_exit(const char *argument)
{
    exit(argument ? atoi(argument) : 0);
}

const struct way limit_ways[] = {
    {"xcpu", cpu_time},           {"xfsz", file_size},
    {"seccomp-trap", seccomp_trap}, {"seccomp-kill", seccomp_kill},
    {"seccomp-kill-thread", seccomp_kill_thread},
    {"self-kill9", self_kill9},   {"exit", plain_exit},
    {NULL, NULL},
};
