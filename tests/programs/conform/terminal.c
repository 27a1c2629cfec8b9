/* terminal: job control on a pseudo-terminal. A session leader, as a shell does it, runs a job in the foreground and background; from the other
 * end somebody presses ctrl-Z, ctrl-C, ctrl-\ and types lines. Prints what the leader is told of its job. */
#include "conform.h"

#include <sys/ioctl.h>
#include <termios.h>

#define ROUNDS 2

static int keyboard;

static void press(const char *keys)
{
    need(write(keyboard, keys, strlen(keys)) == (ssize_t)strlen(keys), "press");
}

/* The job: reads lines and ends by the one that says so. It never ends by itself: the kernel forgets that a child was
 * continued once it has ended. */
static void job(const char *what)
{
    char line[64];
    signal(SIGTTOU, SIG_DFL);
    if (strcmp(what, "write") == 0)
        need(write(STDIN_FILENO, "x", 1) == 1, "write");
    for (;;) {
        ssize_t length = read(STDIN_FILENO, line, sizeof line);
        if (length <= 0)
            _exit(2);
        if (memcmp(line, "end\n", 4) == 0)
            _exit(3);
    }
}

static pid_t start_job(const char *what, int in_foreground)
{
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        if (in_foreground)
            tcsetpgrp(STDIN_FILENO, getpid());
        job(what);
    }
    setpgid(pid, pid);
    if (in_foreground)
        tcsetpgrp(STDIN_FILENO, pid);
    return pid;
}

static void expect_job(pid_t pid, const char *expected)
{
    const char *words = in_words(wait_for(pid, WUNTRACED | WCONTINUED));
    expect(strcmp(words, expected) == 0, "the job %s where it should have %s", words, expected);
}

static void to_foreground(pid_t pid)
{
    tcsetpgrp(STDIN_FILENO, pid);
    kill(-pid, SIGCONT);
    expect_job(pid, "continued");
}

static int session(void)
{
    signal(SIGTTOU, SIG_IGN);
    for (int turn = 0; turn < 2; turn++) {
        pid_t pid = start_job("read", 1);
        await_state(pid, 'S');
        press("\032");
        expect_job(pid, "stopped by 20");
        to_foreground(pid);
        press("hello\n");
        press("end\n");
        expect_job(pid, "exited with 3");
    }
    pid_t pid = start_job("read", 0);
    expect_job(pid, "stopped by 21");
    to_foreground(pid);
    await_state(pid, 'S');
    press("\003");
    expect_job(pid, "killed by 2");

    pid = start_job("read", 1);
    await_state(pid, 'S');
    press("\034");
    expect_job(pid, "killed by 3");

    struct termios modes;
    need(tcgetattr(STDIN_FILENO, &modes) == 0, "tcgetattr");
    modes.c_lflag |= TOSTOP;
    need(tcsetpgrp(STDIN_FILENO, getpid()) == 0 && tcsetattr(STDIN_FILENO, TCSANOW, &modes) == 0, "tcsetattr");
    pid = start_job("write", 0);
    expect_job(pid, "stopped by 22");
    to_foreground(pid);
    press("end\n");
    expect_job(pid, "exited with 3");
    return failures ? 1 : 0;
}

int main(void)
{
    say("ready");
    while (once_more(ROUNDS)) {
        keyboard = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        need(keyboard >= 0 && grantpt(keyboard) == 0 && unlockpt(keyboard) == 0, "posix_openpt");
        pid_t leader = start_child();
        if (leader == 0) {
            need(setsid() > 0, "setsid");
            int terminal = open(ptsname(keyboard), O_RDWR);
            need(terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) == 0, "terminal");
            struct termios modes;
            tcgetattr(terminal, &modes);
            modes.c_lflag &= (tcflag_t)~ECHO;
            modes.c_lflag |= NOFLSH;
            tcsetattr(terminal, TCSANOW, &modes);
            dup2(terminal, STDIN_FILENO);
            int status = session();
            _exit(status);
        }
        int status = wait_for(leader, 0);
        expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the session %s", in_words(status));
        close(keyboard);
    }
    return verdict();
}
