/* late_handler: a thread waits in epoll_wait; a child ends, which its SIGCHLD tells; right behind that the main thread installs a
 * handler for SIGTERM and sends itself one. Prints how often each was noticed. */
#include "fixture.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static volatile int handled, interrupted;
static int done;

static void note(int signal_number)
{
    (void)signal_number;
    handled++;
}

static void *wait_for_the_end(void *nothing)
{
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, done, &event) == 0, "epoll_ctl");
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (epoll_wait(epoll, &event, 1, -1) != 1)
        interrupted++;
    return nothing;
}

int main(void)
{
    pthread_t thread;
    done = eventfd(0, 0);
    need(pthread_create(&thread, NULL, wait_for_the_end, NULL) == 0, "pthread_create");
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    need(waitpid(child, NULL, 0) == child, "waitpid");
    signal(SIGTERM, note);
    raise(SIGTERM);
    need(eventfd_write(done, 1) == 0, "eventfd_write");
    pthread_join(thread, NULL);
    say("handled %d, interrupted %d", handled, interrupted);
    return 0;
}
