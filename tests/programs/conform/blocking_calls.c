/* blocking_calls HOW: a thread blocks in each system call that can wait long, while signals or stops reach it.
 * HOW: quiet (nothing is sent); default, ignored, continued (signals without effect); restart, handled (a handler with and without SA_RESTART);
 * stopped (an outsider stops and continues the process). Prints for each call whether it returned EINTR always, never or at times.
 * stopped-before: signals without effect, after a stop that is not counted. */
#include "conform.h"

#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#define ROUNDS 3
/* Far longer than any test: a call returns only if something interrupts it. */
#define LONG_SECONDS 1000

static const struct timespec long_time = {LONG_SECONDS, 0};

/* ---- what the calls wait for: each returns a descriptor or an id ---- */

static int nothing(void) { return 0; }
static int epoll(void) { return epoll_create1(0); }
static int event(void) { return eventfd(0, 0); }
static int timer(void) { return timerfd_create(CLOCK_MONOTONIC, 0); }
static int inotify(void) { return inotify_init1(0); }
static int full_event(void) { return eventfd(0xfffffffe, 0); }

static int empty_pipe(void)
{
    int ends[2];
    need(pipe(ends) == 0, "pipe");
    return ends[0];
}

static int full_pipe(void)
{
    int ends[2];
    char bytes[4096] = {0};
    need(pipe(ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0, "pipe");
    while (write(ends[1], bytes, sizeof bytes) > 0)
        ;
    need(fcntl(ends[1], F_SETFL, 0) == 0, "fcntl");
    return ends[1];
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

static int listener_timed(void) { return with_receive_timeout(listener()); }
static int datagram_timed(void) { return with_receive_timeout(datagram()); }

static int signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return signalfd(-1, &set, 0);
}

static int terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    need(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
    return open(ptsname(master), O_RDWR | O_NOCTTY);
}

/* A file that somebody else, another open of it, has locked. */
static int locked(int (*lock)(int))
{
    char path[64];
    int fd = memfd_create("lock", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int other = open(path, O_RDWR);
    need(fd >= 0 && other >= 0 && lock(fd) == 0, "lock");
    return other;
}

static int lock_whole(int fd) { return flock(fd, LOCK_EX); }

static int lock_range(int fd)
{
    struct flock whole = {.l_type = F_WRLCK};
    return fcntl(fd, F_OFD_SETLKW, &whole);
}

static int flocked(void) { return locked(lock_whole); }
static int range_locked(void) { return locked(lock_range); }

/* System V objects outlive their process: removed at the end, when the calls that wait for them no longer count. */
static int semaphores = -1, queue = -1;

static int semaphore(void)
{
    if (semaphores < 0)
        semaphores = semget(IPC_PRIVATE, 1, 0600);
    return semaphores;
}

static int message_queue(void)
{
    queue = msgget(IPC_PRIVATE, 0600);
    return queue;
}

static int posix_queue(void)
{
    char name[64];
    struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 8};
    snprintf(name, sizeof name, "/conform-%d", getpid());
    mqd_t opened = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &small);
    mq_unlink(name);
    return opened;
}

/* A context is an address, too wide for a descriptor. */
static aio_context_t aio_ring;
static int aio(void) { return (int)syscall(SYS_io_setup, 8, &aio_ring); }

static int uring(void)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    return (int)syscall(SYS_io_uring_setup, 4, &params);
}

static pid_t lasting_child;

static int child(void)
{
    if (lasting_child == 0) {
        lasting_child = start_child();
        while (lasting_child == 0)
            pause();
    }
    return lasting_child;
}

/* ---- the calls ---- */

static long do_epoll_wait(int fd)
{
    struct epoll_event event;
    return epoll_wait(fd, &event, 1, -1);
}

static long do_epoll_wait_timed(int fd)
{
    struct epoll_event event;
    return epoll_wait(fd, &event, 1, LONG_SECONDS * 1000);
}

static long do_epoll_pwait(int fd)
{
    struct epoll_event event;
    sigset_t none;
    sigemptyset(&none);
    return epoll_pwait(fd, &event, 1, -1, &none);
}

static long do_epoll_pwait2(int fd)
{
    struct epoll_event event;
    return syscall(SYS_epoll_pwait2, fd, &event, 1, &long_time, NULL, 0);
}

static long do_semop(int id)
{
    struct sembuf take = {0, -1, 0};
    return semop(id, &take, 1);
}

static long do_semtimedop(int id)
{
    struct sembuf take = {0, -1, 0};
    return semtimedop(id, &take, 1, &long_time);
}

static long do_io_getevents(int fd)
{
    struct io_event event;
    (void)fd;
    return syscall(SYS_io_getevents, aio_ring, 1L, 1L, &event, &long_time);
}

static long do_io_uring_enter(int fd) { return syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8); }

static sigset_t only_usr2(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return set;
}

static long do_sigtimedwait(int fd)
{
    sigset_t set = only_usr2();
    (void)fd;
    return sigtimedwait(&set, NULL, &long_time);
}

static long do_sigwaitinfo(int fd)
{
    sigset_t set = only_usr2();
    (void)fd;
    return sigwaitinfo(&set, NULL);
}

static long do_accept(int fd) { return accept(fd, NULL, NULL); }

static long do_recv(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0);
}

static long do_recvmmsg(int fd)
{
    char byte;
    struct iovec area = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &area, .msg_iovlen = 1}};
    return recvmmsg(fd, &message, 1, 0, NULL);
}

static long do_poll(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, -1);
}

static long do_poll_timed(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, LONG_SECONDS * 1000);
}

static long do_ppoll(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};
    return ppoll(&one, 1, &long_time, NULL);
}

static long do_select(int fd)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, NULL);
}

static long do_pselect(int fd)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return pselect(fd + 1, &set, NULL, NULL, &long_time, NULL);
}

static long do_nanosleep(int fd)
{
    (void)fd;
    return nanosleep(&long_time, NULL);
}

static long do_clock_nanosleep(int fd)
{
    (void)fd;
    errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL);
    return errno ? -1 : 0;
}

static long do_futex(int fd)
{
    static int word;
    (void)fd;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static long do_futex_timed(int fd)
{
    static int word;
    (void)fd;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &long_time, NULL, 0);
}

static long do_read(int fd)
{
    char bytes[256];
    return read(fd, bytes, sizeof bytes);
}

static long do_write(int fd)
{
    static const uint64_t eight_bytes = UINT64_MAX - 1;
    return write(fd, &eight_bytes, sizeof eight_bytes);
}

static long do_msgrcv(int id)
{
    struct {
        long type;
        char text[8];
    } message;
    return msgrcv(id, &message, sizeof message.text, 0, 0);
}

static long do_mq_receive(int id)
{
    char bytes[8];
    return mq_receive(id, bytes, sizeof bytes, NULL);
}

static long do_pause(int fd)
{
    (void)fd;
    return pause();
}

static long do_sigsuspend(int fd)
{
    sigset_t none;
    (void)fd;
    sigemptyset(&none);
    return sigsuspend(&none);
}

static long do_wait4(int pid) { return wait4(pid, NULL, 0, NULL); }

static long do_waitid(int pid)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED);
}

static long do_flock(int fd) { return lock_whole(fd); }
static long do_fcntl_lock(int fd) { return lock_range(fd); }

static struct blocking_call {
    const char *name;
    int (*prepare)(void);
    long (*call)(int);
    int subject;
    int tid;
    long sent, interrupted, after_stop, handled;
} calls[] = {
    /* Those that return EINTR whenever anything stops their thread. */
    {.name = "epoll_wait", .prepare = epoll, .call = do_epoll_wait},
    {.name = "epoll_wait_timed", .prepare = epoll, .call = do_epoll_wait_timed},
    {.name = "epoll_pwait", .prepare = epoll, .call = do_epoll_pwait},
    {.name = "epoll_pwait2", .prepare = epoll, .call = do_epoll_pwait2},
    {.name = "semop", .prepare = semaphore, .call = do_semop},
    {.name = "semtimedop", .prepare = semaphore, .call = do_semtimedop},
    {.name = "io_getevents", .prepare = aio, .call = do_io_getevents},
    {.name = "io_uring_enter", .prepare = uring, .call = do_io_uring_enter},
    {.name = "sigtimedwait", .prepare = nothing, .call = do_sigtimedwait},
    {.name = "sigwaitinfo", .prepare = nothing, .call = do_sigwaitinfo},
    {.name = "accept_timed", .prepare = listener_timed, .call = do_accept},
    {.name = "recv_timed", .prepare = datagram_timed, .call = do_recv},
    /* Those that the kernel restarts. */
    {.name = "accept", .prepare = listener, .call = do_accept},
    {.name = "recv", .prepare = datagram, .call = do_recv},
    {.name = "recvmmsg", .prepare = datagram, .call = do_recvmmsg},
    {.name = "poll", .prepare = empty_pipe, .call = do_poll},
    {.name = "poll_timed", .prepare = empty_pipe, .call = do_poll_timed},
    {.name = "ppoll", .prepare = empty_pipe, .call = do_ppoll},
    {.name = "select", .prepare = empty_pipe, .call = do_select},
    {.name = "pselect", .prepare = empty_pipe, .call = do_pselect},
    {.name = "nanosleep", .prepare = nothing, .call = do_nanosleep},
    {.name = "clock_nanosleep", .prepare = nothing, .call = do_clock_nanosleep},
    {.name = "futex", .prepare = nothing, .call = do_futex},
    {.name = "futex_timed", .prepare = nothing, .call = do_futex_timed},
    {.name = "read_pipe", .prepare = empty_pipe, .call = do_read},
    {.name = "read_eventfd", .prepare = event, .call = do_read},
    {.name = "read_timerfd", .prepare = timer, .call = do_read},
    {.name = "read_signalfd", .prepare = signals, .call = do_read},
    {.name = "read_inotify", .prepare = inotify, .call = do_read},
    {.name = "read_terminal", .prepare = terminal, .call = do_read},
    {.name = "write_pipe", .prepare = full_pipe, .call = do_write},
    {.name = "write_eventfd", .prepare = full_event, .call = do_write},
    {.name = "msgrcv", .prepare = message_queue, .call = do_msgrcv},
    {.name = "mq_receive", .prepare = posix_queue, .call = do_mq_receive},
    {.name = "pause", .prepare = nothing, .call = do_pause},
    {.name = "sigsuspend", .prepare = nothing, .call = do_sigsuspend},
    {.name = "wait4", .prepare = child, .call = do_wait4},
    {.name = "waitid", .prepare = child, .call = do_waitid},
    {.name = "flock", .prepare = flocked, .call = do_flock},
    {.name = "fcntl_lock", .prepare = range_locked, .call = do_fcntl_lock},
};
#define CALLS (sizeof calls / sizeof *calls)

static _Thread_local struct blocking_call *own;
static volatile int over;

static void *block(void *given)
{
    struct blocking_call *call = given;
    own = call;
    __atomic_store_n(&call->tid, gettid(), __ATOMIC_SEQ_CST);
    for (;;) {
        long result = call->call(call->subject);
        while (over)
            pause();
        expect(result == -1 && errno == EINTR, "%s returned %ld: %s", call->name, result, strerror(errno));
        __atomic_fetch_add(&call->interrupted, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    own->handled++;
}

static void send_to_each(const int *signals, size_t number)
{
    for (size_t index = 0; index < CALLS; index++)
        for (size_t which = 0; which < number; which++) {
            struct blocking_call *call = &calls[index];
            need(syscall(SYS_tgkill, getpid(), call->tid, signals[which]) == 0, "tgkill");
            call->sent++;
            await_thread_state(call->tid, 'S');
        }
}

static void await_all_blocked(void)
{
    for (size_t index = 0; index < CALLS; index++)
        await_thread_state(calls[index].tid, 'S');
}

/* The outsider acts while this thread waits, and ends when all are blocked again: a fork under way, or the end of a child, sends signals
 * to other threads, which would count. */
static void stop_and_continue(void)
{
    int done[2];
    char byte = 0;
    need(pipe(done) == 0, "pipe");
    pid_t outsider = start_child();
    if (outsider == 0) {
        await_state(getppid(), 'S');
        kill(getppid(), SIGSTOP);
        await_all_stopped(getppid());
        kill(getppid(), SIGCONT);
        need(write(done[1], &byte, 1) == 1, "write");
        for (;;)
            pause();
    }
    need(read(done[0], &byte, 1) == 1, "read");
    await_all_blocked();
    for (size_t index = 0; index < CALLS; index++)
        calls[index].sent++;
    kill(outsider, SIGKILL);
    wait_for(outsider, 0);
    await_all_blocked();
    close(done[0]);
    close(done[1]);
}

/* What the stop interrupted is not counted, what comes after it is. */
static void stop_before(const int *signals, size_t number)
{
    long before[CALLS];
    stop_and_continue();
    for (size_t index = 0; index < CALLS; index++) {
        calls[index].sent--;
        before[index] = calls[index].interrupted;
    }
    send_to_each(signals, number);
    for (size_t index = 0; index < CALLS; index++)
        calls[index].after_stop += calls[index].interrupted - before[index];
}

static void pass_some_time(void)
{
    struct timespec tick = {0, 2000000};
    nanosleep(&tick, NULL);
}

int main(int argc, char **argv)
{
    static const int without_effect[] = {SIGCHLD, SIGURG, SIGWINCH};
    static const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGPIPE, SIGUSR1};
    static const int usr1[] = {SIGUSR1}, cont[] = {SIGCONT};
    const char *how = argc > 1 ? argv[1] : "quiet";
    sigset_t usr2 = only_usr2();
    need(sigprocmask(SIG_BLOCK, &usr2, NULL) == 0, "sigprocmask");

    if (strcmp(how, "ignored") == 0)
        for (size_t index = 0; index < sizeof ignored / sizeof *ignored; index++)
            need(signal(ignored[index], SIG_IGN) != SIG_ERR, "signal");
    if (strcmp(how, "restart") == 0 || strcmp(how, "handled") == 0)
        handle(SIGUSR1, count, strcmp(how, "restart") == 0 ? SA_RESTART : 0);

    for (size_t index = 0; index < CALLS; index++) {
        calls[index].subject = calls[index].prepare();
        need(calls[index].subject >= 0, calls[index].name);
    }
    for (size_t index = 0; index < CALLS; index++)
        start_thread(block, &calls[index]);
    for (size_t index = 0; index < CALLS; index++) {
        while (__atomic_load_n(&calls[index].tid, __ATOMIC_SEQ_CST) == 0)
            sched_yield();
        await_thread_state(calls[index].tid, 'S');
    }
    say("ready");
    while (once_more(ROUNDS)) {
        if (strcmp(how, "default") == 0)
            send_to_each(without_effect, 3);
        else if (strcmp(how, "ignored") == 0)
            send_to_each(ignored, 5);
        else if (strcmp(how, "continued") == 0)
            send_to_each(cont, 1);
        else if (strcmp(how, "restart") == 0 || strcmp(how, "handled") == 0)
            send_to_each(usr1, 1);
        else if (strcmp(how, "stopped") == 0)
            stop_and_continue();
        else if (strcmp(how, "stopped-before") == 0)
            stop_before(without_effect, 3);
        else
            pass_some_time();
    }
    for (size_t index = 0; index < CALLS; index++) {
        const struct blocking_call *call = &calls[index];
        long interrupted = strcmp(how, "stopped-before") == 0 ? call->after_stop : __atomic_load_n(&call->interrupted, __ATOMIC_SEQ_CST);
        if (interrupted == 0)
            say("%s: never interrupted", call->name);
        else if (interrupted == call->sent)
            say("%s: interrupted each time", call->name);
        else
            say("%s: interrupted %ld times of %ld", call->name, interrupted, call->sent);
        if (strcmp(how, "restart") == 0 || strcmp(how, "handled") == 0)
            expect(call->handled == call->sent, "%s: handled %ld of %ld", call->name, call->handled, call->sent);
    }
    over = 1;
    semctl(semaphores, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    return verdict();
}
