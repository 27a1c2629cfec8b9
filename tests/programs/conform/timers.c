/* timers: setitimer, timer_create and timerfd fire as often as they should, with their payload, once where once was asked. */
#include "conform.h"

#include <sys/time.h>
#include <sys/timerfd.h>

#define ROUNDS 3
#define TICKS 5
#define TICK_NS 300000

static volatile int real, profiled, virtual, once, periodic, wrong;
static volatile long expirations;

static void take(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (signal == SIGALRM)
        real++;
    else if (signal == SIGPROF)
        profiled++;
    else if (signal == SIGVTALRM)
        virtual++;
    else if (info->si_code != SI_TIMER)
        wrong++;
    else if (info->si_value.sival_int == 1)
        once++;
    else if (info->si_value.sival_int == 2) {
        periodic++;
        expirations += 1 + info->si_overrun;
    } else
        wrong++;
}

static void interval_timers(void)
{
    struct itimerval tick = {{0, TICK_NS / 1000}, {0, TICK_NS / 1000}}, off = {{0, 0}, {0, 0}};
    static const int which[] = {ITIMER_REAL, ITIMER_PROF, ITIMER_VIRTUAL};
    real = profiled = virtual = 0;
    for (int index = 0; index < 3; index++)
        need(setitimer(which[index], &tick, NULL) == 0, "setitimer");
    while (real < TICKS || profiled < 1 || virtual < 1)
        ;
    for (int index = 0; index < 3; index++)
        need(setitimer(which[index], &off, NULL) == 0, "setitimer");
}

static void posix_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec tick = {{0, TICK_NS}, {0, TICK_NS}}, single = {{0, 0}, {0, TICK_NS}};
    struct timespec begin, end;
    timer_t repeating, single_shot;
    event.sigev_value.sival_int = 1;
    need(timer_create(CLOCK_MONOTONIC, &event, &single_shot) == 0, "timer_create");
    event.sigev_value.sival_int = 2;
    need(timer_create(CLOCK_MONOTONIC, &event, &repeating) == 0, "timer_create");
    once = periodic = 0;
    expirations = 0;
    need(timer_settime(single_shot, 0, &single, NULL) == 0, "timer_settime");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    need(timer_settime(repeating, 0, &tick, NULL) == 0, "timer_settime");
    while (periodic < TICKS || once < 1)
        sched_yield();
    timer_delete(repeating);
    clock_gettime(CLOCK_MONOTONIC, &end);
    timer_delete(single_shot);
    long long elapsed = (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec;
    expect(once == 1, "fired %d times", once);
    expect(expirations >= periodic && expirations <= elapsed / TICK_NS, "%ld expirations in %lld ns", expirations, elapsed);
}

static void descriptor_timers(void)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec tick = {{0, TICK_NS}, {0, TICK_NS}};
    need(timer >= 0 && timerfd_settime(timer, 0, &tick, NULL) == 0, "timerfd");
    uint64_t all = 0, some;
    while (all < TICKS) {
        ssize_t length = read(timer, &some, sizeof some);
        expect(length == sizeof some, "timerfd: %zd: %s", length, strerror(errno));
        all += some;
    }
    close(timer);
}

int main(void)
{
    handle(SIGALRM, take, SA_RESTART);
    handle(SIGPROF, take, SA_RESTART);
    handle(SIGVTALRM, take, SA_RESTART);
    handle(SIGRTMIN, take, SA_RESTART);
    say("ready");
    while (once_more(ROUNDS)) {
        interval_timers();
        posix_timers();
        descriptor_timers();
    }
    expect(wrong == 0, "%d wrong", wrong);
    return verdict();
}
