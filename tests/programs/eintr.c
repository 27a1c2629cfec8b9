/* eintr CALL [N]: a thread blocks in CALL while ignored signals (SIGCHLD, SIGURG, SIGWINCH by default, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU by SIG_IGN) reach it N times.
 * Prints "CALL: sent N, interrupted I"; I is 0 for every call untraced. `eintr --list` prints the calls.
 * eintr CALL stdin: the same without signals; it prints that line at the end of its input. */
#include "fixture.h"

#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

/* Far longer than any test: the calls return only if something interrupts them. */
#define LONG_SECONDS 1000

static const struct timespec long_time = {LONG_SECONDS, 0};

/* Descriptors and ids made before the thread blocks; each call uses at most one. */
static int quiet;

static int quiet_pipe(void)
{
    int ends[2];
    need(pipe(ends) == 0, "pipe");
    return ends[0];
}

static int listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    need(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1) == 0, "listen");
    return fd;
}

static int datagram(void)
{
    int ends[2];
    need(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0, "socketpair");
    return ends[0];
}

static int with_receive_timeout(int fd)
{
    struct timeval timeout = {LONG_SECONDS, 0};
    need(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0, "SO_RCVTIMEO");
    return fd;
}

static int accept_timed(void) { return with_receive_timeout(listener()); }
static int recv_timed(void) { return with_receive_timeout(datagram()); }
static int epoll(void) { return epoll_create1(0); }
static int event(void) { return eventfd(0, 0); }
static int timer(void) { return timerfd_create(CLOCK_MONOTONIC, 0); }
static int inotify(void) { return inotify_init1(0); }
static int nothing(void) { return 0; }

static int signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return signalfd(-1, &set, 0);
}

/* Removed at once when the process ends by exit. */
static void remove_semaphores(void) { semctl(quiet, 0, IPC_RMID); }
static void remove_queue(void) { msgctl(quiet, IPC_RMID, NULL); }

static int semaphores(void)
{
    int id = semget(IPC_PRIVATE, 1, 0600);
    atexit(remove_semaphores);
    return id;
}

static int queue(void)
{
    int id = msgget(IPC_PRIVATE, 0600);
    atexit(remove_queue);
    return id;
}

/* A context is an address, too wide for `quiet`. */
static aio_context_t aio_ring;

static int aio(void)
{
    return (int)syscall(SYS_io_setup, 8, &aio_ring);
}

static int child(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec tick = {0, 10000000};
        while (getppid() == parent)
            nanosleep(&tick, NULL);
        _exit(0);
    }
    return pid;
}

static long do_epoll_wait(void)
{
    struct epoll_event event;
    return epoll_wait(quiet, &event, 1, -1);
}

static long do_epoll_wait_timed(void)
{
    struct epoll_event event;
    return epoll_wait(quiet, &event, 1, LONG_SECONDS * 1000);
}

static long do_epoll_pwait2(void)
{
    struct epoll_event event;
    return syscall(SYS_epoll_pwait2, quiet, &event, 1, &long_time, NULL, 0);
}

static long do_semop(void)
{
    struct sembuf take = {0, -1, 0};
    return semop(quiet, &take, 1);
}

static long do_semtimedop(void)
{
    struct sembuf take = {0, -1, 0};
    return semtimedop(quiet, &take, 1, &long_time);
}

static long do_io_getevents(void)
{
    struct io_event event;
    return syscall(SYS_io_getevents, aio_ring, 1L, 1L, &event, &long_time);
}

static long do_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &long_time);
}

static long do_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigwaitinfo(&set, NULL);
}

static long do_accept(void) { return accept(quiet, NULL, NULL); }

static long do_recv(void)
{
    char byte;
    return recv(quiet, &byte, 1, 0);
}

static long do_poll(void)
{
    struct pollfd one = {quiet, POLLIN, 0};
    return poll(&one, 1, -1);
}

static long do_ppoll(void)
{
    struct pollfd one = {quiet, POLLIN, 0};
    return ppoll(&one, 1, &long_time, NULL);
}

static long do_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(quiet, &set);
    return select(quiet + 1, &set, NULL, NULL, NULL);
}

static long do_nanosleep(void) { return nanosleep(&long_time, NULL); }

static long do_clock_nanosleep(void)
{
    errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL);
    return errno ? -1 : 0;
}

static long do_futex(void)
{
    static int word;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static long do_futex_timed(void)
{
    static int word;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &long_time, NULL, 0);
}

static long do_read(void)
{
    char bytes[256];
    return read(quiet, bytes, sizeof bytes);
}

static long do_msgrcv(void)
{
    struct {
        long type;
        char text[8];
    } message;
    return msgrcv(quiet, &message, sizeof message.text, 0, 0);
}

static long do_pause(void) { return pause(); }

static long do_sigsuspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
}

static long do_waitpid(void) { return waitpid(quiet, NULL, 0); }

/* How each blocking call is prepared and made. */
static const struct blocking_call {
    const char *name;
    int (*prepare)(void);
    long (*call)(void);
} calls[] = {
    {"epoll_wait", epoll, do_epoll_wait},
    {"epoll_wait_timed", epoll, do_epoll_wait_timed},
    {"epoll_pwait2", epoll, do_epoll_pwait2},
    {"semop", semaphores, do_semop},
    {"semtimedop", semaphores, do_semtimedop},
    {"io_getevents", aio, do_io_getevents},
    {"sigtimedwait", nothing, do_sigtimedwait},
    {"sigwaitinfo", nothing, do_sigwaitinfo},
    {"accept_timed", accept_timed, do_accept},
    {"recv_timed", recv_timed, do_recv},
    {"accept", listener, do_accept},
    {"recv", datagram, do_recv},
    {"poll", quiet_pipe, do_poll},
    {"ppoll", quiet_pipe, do_ppoll},
    {"select", quiet_pipe, do_select},
    {"nanosleep", nothing, do_nanosleep},
    {"clock_nanosleep", nothing, do_clock_nanosleep},
    {"futex", nothing, do_futex},
    {"futex_timed", nothing, do_futex_timed},
    {"read_pipe", quiet_pipe, do_read},
    {"read_eventfd", event, do_read},
    {"read_timerfd", timer, do_read},
    {"read_signalfd", signals, do_read},
    {"read_inotify", inotify, do_read},
    {"msgrcv", queue, do_msgrcv},
    {"pause", nothing, do_pause},
    {"sigsuspend", nothing, do_sigsuspend},
    {"waitpid", child, do_waitpid},
};
static const size_t call_count = sizeof calls / sizeof *calls;

static const struct blocking_call *chosen;
static int blocked_tid;
static long interrupted;
static volatile int finished;

static void *block(void *nothing_given)
{
    __atomic_store_n(&blocked_tid, gettid(), __ATOMIC_SEQ_CST);
    for (;;) {
        long result = chosen->call();
        while (finished)
            pause();
        need(result == -1 && errno == EINTR, "a blocking call returned");
        __atomic_fetch_add(&interrupted, 1, __ATOMIC_SEQ_CST);
    }
    return nothing_given;
}

static void await_end_of_input(void)
{
    while (getchar() != EOF)
        ;
    await_thread_state(blocked_tid, 'S');
}

static void run(long rounds, int wait_for_input)
{
    static const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};
    pthread_t thread;
    for (size_t index = 3; index < sizeof ignored / sizeof *ignored; index++)
        need(signal(ignored[index], SIG_IGN) != SIG_ERR, "signal");
    quiet = chosen->prepare();
    need(quiet >= 0, chosen->name);
    need(pthread_create(&thread, NULL, block, NULL) == 0, "pthread_create");
    while (__atomic_load_n(&blocked_tid, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    await_thread_state(blocked_tid, 'S');
    say("ready %d", getpid());
    if (wait_for_input)
        await_end_of_input();
    for (long round = 0; round < rounds; round++) {
        int signal = ignored[round % (long)(sizeof ignored / sizeof *ignored)];
        need(syscall(SYS_tgkill, getpid(), blocked_tid, signal) == 0, "tgkill");
        await_thread_state(blocked_tid, 'S');
    }
    finished = 1;
    say("%s: sent %ld, interrupted %ld", chosen->name, rounds, __atomic_load_n(&interrupted, __ATOMIC_SEQ_CST));
    exit(0);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--list";
    for (size_t index = 0; index < call_count; index++) {
        if (strcmp(name, "--list") == 0)
            say("%s", calls[index].name);
        else if (strcmp(name, calls[index].name) == 0) {
            chosen = &calls[index];
            int wait_for_input = argc > 2 && strcmp(argv[2], "stdin") == 0;
            run(wait_for_input ? 0 : number_or(argc, argv, 2, 100), wait_for_input);
        }
    }
    return strcmp(name, "--list") == 0 ? 0 : FIXTURE_BROKEN;
}
