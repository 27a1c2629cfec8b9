/* thirty_two_bits: a program of the other word size, without a C library: its handler runs, signals without effect interrupt no epoll_wait, its
 * children end as they should. Written for i386 alone. */
#define ROUNDS 5

enum { EXIT = 1, FORK = 2, READ = 3, WRITE = 4, GETPID = 20, KILL = 37, WAITPID = 7, POLL = 168, RT_SIGACTION = 174, EPOLL_CREATE1 = 329, EPOLL_WAIT = 256, NANOSLEEP = 162 };
enum { SIGUSR1 = 10, SIGWINCH = 28, SIGCHLD = 17 };

static int call(int number, long a, long b, long c, long d)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask[2];
};

static volatile int handled;

static void count(int signal)
{
    (void)signal;
    handled++;
}

/* rt_sigreturn without siginfo is sigreturn, which takes the number from the stack. */
__attribute__((naked)) static void restore(void)
{
    __asm__ volatile("popl %eax; movl $119, %eax; int $0x80");
}

static int once_more(void)
{
    static int left = ROUNDS;
    struct {
        int fd;
        short events, found;
    } input = {0, 1, 0};
    char byte;
    if (left-- > 0)
        return 1;
    if (call(POLL, (long)&input, 1, 0, 0) <= 0)
        return 1;
    if (call(READ, 0, (long)&byte, 1, 0) <= 0)
        return 0;
    left = ROUNDS;
    return 1;
}

static void say(const char *line, int length)
{
    call(WRITE, 1, (long)line, length, 0);
}

/* Another process sends signals that do nothing while this one waits; then one that is handled ends the
 * wait, or the limit does where it came before. */
static int wait_undisturbed(int epoll)
{
    int self = call(GETPID, 0, 0, 0, 0), status = 0, before = handled, interrupted = 0;
    char event[12];
    int child = call(FORK, 0, 0, 0, 0);
    if (child == 0) {
        /* With time to block again in between. */
        long pause[2] = {0, 300000};
        for (int turn = 0; turn < 20; turn++) {
            call(NANOSLEEP, (long)pause, 0, 0, 0);
            call(KILL, self, SIGWINCH, 0, 0);
        }
        call(KILL, self, SIGUSR1, 0, 0);
        call(EXIT, 7, 0, 0, 0);
    }
    while (handled == before) {
        int result = call(EPOLL_WAIT, epoll, (long)event, 1, 50);
        interrupted += result == -4 && handled == before;
    }
    call(WAITPID, child, (long)&status, 0, 0);
    return interrupted == 0 && status == 7 << 8;
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    struct action action = {count, 0x04000000, restore, {0, 0}};
    call(RT_SIGACTION, SIGUSR1, (long)&action, 0, 8);
    int epoll = call(EPOLL_CREATE1, 0, 0, 0, 0), wrong = epoll < 0;
    say("ready\n", 6);
    while (once_more())
        wrong += !wait_undisturbed(epoll);
    if (wrong)
        say("disturbed\n", 10);
    else
        say("undisturbed\n", 12);
    call(EXIT, wrong != 0, 0, 0, 0);
}
