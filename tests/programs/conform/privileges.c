/* privileges: set-user-ID exec keeps its privileges, and not where no_new_privs says so; a process that made itself undumpable stays so. Needs root. */
#include "conform.h"

#include <sys/stat.h>

#define ROUNDS 3
#define NOBODY 65534

static char copy[] = "/tmp/conform-set-user-id-XXXXXX";

static void copy_with_set_user_id(void)
{
    char bytes[65536];
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = mkstemp(copy);
    need(from >= 0 && to >= 0, "copy");
    for (ssize_t length; (length = read(from, bytes, sizeof bytes)) > 0;)
        need(write(to, bytes, (size_t)length) == length, "write");
    need(fchmod(to, 04755) == 0, "fchmod");
    close(to);
    close(from);
}

static void run(int no_new_privileges, const char *expected)
{
    pid_t child = start_child();
    if (child == 0) {
        need(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
        if (no_new_privileges)
            need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl");
        execl(copy, copy, "effective", (char *)NULL);
        need(0, "execl");
    }
    const char *words = in_words(wait_for(child, 0));
    expect(strcmp(words, expected) == 0, "%s where it should be %s", words, expected);
}

static void *read_dumpable(void *nothing)
{
    (void)nothing;
    return (void *)(intptr_t)prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

static void hide(void)
{
    pid_t child = start_child();
    if (child == 0) {
        need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl");
        need(setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
        for (int index = 0; index < 5; index++)
            expect(join(start_thread(read_dumpable, NULL)) == NULL, "dumpable again");
        _exit(failures ? 1 : 12);
    }
    const char *words = in_words(wait_for(child, 0));
    expect(strcmp(words, "exited with 12") == 0, "hidden: %s", words);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "effective") == 0)
        return geteuid() == 0 ? 10 : 11;
    copy_with_set_user_id();
    say("ready");
    while (once_more(ROUNDS)) {
        run(0, "exited with 10");
        run(1, "exited with 11");
        hide();
    }
    unlink(copy);
    return verdict();
}
