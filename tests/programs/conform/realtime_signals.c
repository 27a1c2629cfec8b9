/* realtime_signals: signals 32 to 64, queued by another process with a payload, arrive complete and in order: the lowest number first,
 * those of one number as they were sent. The two that the C library keeps for itself (32, 33) are handled through the kernel's own call. */
#include "conform.h"

#include <sys/mman.h>

#define ROUNDS 10
#define FIRST 32
#define LAST 64
#define EACH 3

/* struct sigaction as rt_sigaction(2) takes it. */
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

struct arrival {
    int signal, code, payload, sender;
};

static struct arrival arrivals[(LAST - FIRST + 1) * EACH + 1];
static volatile int arrived;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (arrived < (int)(sizeof arrivals / sizeof *arrivals))
        arrivals[arrived++] = (struct arrival){signal, info->si_code, info->si_value.sival_int, info->si_pid};
}

static void handle_all(void)
{
    struct kernel_sigaction action;
    handle(SIGUSR1, take, 0);
    /* The C library's own restorer, and our flags: no other handler runs while one does. */
    need(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &action, sizeof action.mask) == 0, "rt_sigaction");
    action.mask = ~0UL;
    for (int signal = FIRST; signal <= LAST; signal++)
        need(syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof action.mask) == 0, "rt_sigaction");
}

static uint64_t set_mask(uint64_t mask)
{
    uint64_t before;
    need(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask) == 0, "rt_sigprocmask");
    return before;
}

/* Every number EACH times, the numbers from the highest down. */
static void send_all(pid_t target)
{
    for (int turn = 0; turn < EACH; turn++)
        for (int signal = LAST; signal >= FIRST; signal--) {
            siginfo_t info = {.si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
            info.si_value.sival_int = signal * 100 + turn;
            while (syscall(SYS_rt_sigqueueinfo, target, signal, &info) != 0)
                need(errno == EAGAIN, "rt_sigqueueinfo");
        }
}

static void check(pid_t sender)
{
    expect(arrived == (LAST - FIRST + 1) * EACH, "%d arrived", arrived);
    for (int index = 0; index < arrived; index++) {
        struct arrival expected = {FIRST + index / EACH, SI_QUEUE, (FIRST + index / EACH) * 100 + index % EACH, sender};
        expect(memcmp(&arrivals[index], &expected, sizeof expected) == 0, "at %d: signal %d code %d payload %d", index, arrivals[index].signal,
               arrivals[index].code, arrivals[index].payload);
    }
}

int main(void)
{
    handle_all();
    say("ready");
    while (once_more(ROUNDS)) {
        uint64_t mask = set_mask(~0UL);
        pid_t sender = start_child();
        if (sender == 0) {
            send_all(getppid());
            _exit(0);
        }
        expect(wait_for(sender, 0) == 0, "the sender %s", in_words(0));
        arrived = 0;
        set_mask(mask);
        check(sender);
    }
    return verdict();
}
