/* served_page: a thread serves the page faults of the process (userfaultfd(2)); the main one faults with the address of a page in a
 * register that nobody has asked for yet. Whoever looks at that page waits for a thread that may be stopped. */
#include "fixture.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGES 64
#define PAGE 4096UL

static int faults;

static void *serve(void *nothing)
{
    static char zeros[PAGE];
    struct uffd_msg message;
    while (read(faults, &message, sizeof message) == sizeof message) {
        struct uffdio_copy copy = {
            .dst = message.arg.pagefault.address & ~(PAGE - 1),
            .src = (unsigned long)zeros,
            .len = PAGE,
        };
        need(ioctl(faults, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
    }
    return nothing;
}

int main(void)
{
    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (faults < 0) {
        say("userfaultfd: %s", strerror(errno));
        return 0;
    }
    struct uffdio_api api = {.api = UFFD_API};
    need(ioctl(faults, UFFDIO_API, &api) == 0, "UFFDIO_API");
    char *pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register wanted = {
        .range = {(unsigned long)pages, PAGES * PAGE},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    need(ioctl(faults, UFFDIO_REGISTER, &wanted) == 0, "UFFDIO_REGISTER");
    pthread_t thread;
    need(pthread_create(&thread, NULL, serve, NULL) == 0, "pthread_create");
    need(pages[PAGE] == 0, "the first page");
    register char *unserved = pages + 16 * PAGE;
    __asm__ volatile("" : "+r"(unserved));
    *(volatile int *)8 = 1;
    __asm__ volatile("" : : "r"(unserved));
    return 0;
}
