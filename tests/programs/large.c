/* large MIB [stdin]: fills so many MiB of memory, one word in each page its own address, prints a place in the middle,
 * and faults; with "stdin" once a line has come. */
#include "fixture.h"

#include <stdint.h>

int main(int argc, char **argv)
{
    size_t size = (size_t)number_or(argc, argv, 1, 16) << 20;
    uint64_t *memory = malloc(size);
    need(memory != NULL, "malloc");
    for (size_t word = 0; word < size / sizeof *memory; word += 4096 / sizeof *memory)
        memory[word] = (uintptr_t)&memory[word];
    uint64_t *middle = &memory[size / 2 / sizeof *memory & ~511ul];
    say("ready pid=%d middle=%p", getpid(), (void *)middle);
    if (argc > 2 && strcmp(argv[2], "stdin") == 0)
        getchar();
    *(volatile int *)8 = 42;
}
