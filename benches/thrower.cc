// thrower SECONDS: writes through a null pointer again and again, with a handler around it that catches what becomes of that;
// prints "caught N" after so many seconds. Three small functions, so that there is a frame to throw from.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

__attribute__((noinline)) static void write_to(volatile int *place)
{
    *place = 42;
}

static void (*volatile function)(volatile int *) = write_to;

__attribute__((noinline)) static void request(volatile int *place)
{
    function(place);
    puts("written");
}

int main(int argc, char **argv)
{
    using clock = std::chrono::steady_clock;
    const auto end = clock::now() + std::chrono::seconds(argc > 1 ? atoi(argv[1]) : 1);
    long caught = 0;
    volatile int *null = nullptr;
    puts("ready");
    fflush(stdout);
    while (clock::now() < end) {
        try {
            request(null);
        } catch (const std::exception &) {
            caught++;
        }
    }
    printf("caught %ld\n", caught);
    return 0;
}
