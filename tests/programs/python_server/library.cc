#include "library.h"

#include <atomic>
#include <string>

static std::atomic<int> alive;

struct Witness {
    Witness() { alive++; }
    ~Witness() { alive--; }
};

// Nothing is known of the pointer, and nothing is inlined. That it may throw is all that the caller knows.
__attribute__((noinline)) static int parse_header(volatile int *header, long length)
{
    if (length == 42)
        std::__throw_out_of_range("the header is too long");
    return *header;
}

int measure(long length)
{
    Witness witness;
    volatile int *pointer = nullptr;
    __asm__ volatile("" : "+r"(pointer));
    return parse_header(pointer, length) + alive;
}

int witnesses()
{
    return alive;
}
