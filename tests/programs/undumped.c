/* undumped: faults while two registers point to memory, of which it asked to leave one out of cores. */
#include "fixture.h"

#include <sys/mman.h>

static char *page(const char *content)
{
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    /* Kept out of the program's own strings. */
    for (int index = 0; content[index]; index++)
        memory[index] = content[index] ^ 1;
    return memory;
}

int main(void)
{
    char *guarded = page("rdbsdu"); /* "secret" */
    char *open = page("qtcmhb");   /* "public" */
    need(madvise(guarded, 4096, MADV_DONTDUMP) == 0, "madvise");
    void *field = NULL;
#if defined __x86_64__
    __asm__ volatile("movl $42, 8(%0)" ::"r"(field), "r"(guarded), "r"(open) : "memory");
#elif defined __aarch64__
    __asm__ volatile("str wzr, [%0, #8]" ::"r"(field), "r"(guarded), "r"(open) : "memory");
#endif
}
