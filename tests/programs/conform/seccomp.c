/* seccomp: filters that let calls fail, trap, trace, end a thread or the process; what the program and its parent notice. */
#include "conform.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/stat.h>

#define ROUNDS 3

/* SYS_SECCOMP of sigaction(2), which the C library's headers lack. */
#define BY_SECCOMP 1

static volatile int trapped;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code == BY_SECCOMP && info->si_syscall == SYS_getppid)
        trapped++;
}

/* Lets getppid end so; everything else passes. */
static void filter(unsigned int action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "prctl");
}

static void *call(void *nothing)
{
    syscall(SYS_getppid);
    return nothing;
}

static void run(unsigned int action, const char *expected)
{
    pid_t child = start_child();
    if (child == 0) {
        handle(SIGSYS, take, 0);
        filter(action);
        if (action == SECCOMP_RET_KILL_THREAD) {
            struct stat tasks;
            start_thread(call, NULL);
            /* One link for each thread, and two of its own. */
            while (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink != 3)
                sched_yield();
            _exit(20);
        }
        errno = 0;
        long result = syscall(SYS_getppid);
        if (action == SECCOMP_RET_TRAP)
            _exit(trapped == 1 ? 21 : 98);
        _exit(result == -1 ? 30 + errno : 97);
    }
    const char *words = in_words(wait_for(child, 0));
    expect(strcmp(words, expected) == 0, "%s where it should be %s", words, expected);
}

int main(void)
{
    say("ready, no new privileges: %d, seccomp: %d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_SECCOMP));
    while (once_more(ROUNDS)) {
        run(SECCOMP_RET_ERRNO | EPERM, "exited with 31");
        run(SECCOMP_RET_TRACE, "exited with 68");
        run(SECCOMP_RET_TRAP, "exited with 21");
        run(SECCOMP_RET_KILL_THREAD, "exited with 20");
        run(SECCOMP_RET_KILL_PROCESS, "killed by 31");
    }
    return verdict();
}
