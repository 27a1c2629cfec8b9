// thrower SECONDS [QUIET_SECONDS THREADS MB]: writes through a null pointer again and again, with a handler around it that
// catches what becomes of that; prints "caught N" after so many seconds. Three small functions, so that there is a frame to
// throw from. Before that it is quiet for so long, with so many idle threads and so much memory that was written to.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

#include <unistd.h>

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
    if (argc > 4) {
        for (int thread = 0; thread < atoi(argv[3]); thread++)
            std::thread([] { pause(); }).detach();
        const size_t size = size_t(atoi(argv[4])) << 20;
        memset(new char[size], 1, size);
        std::this_thread::sleep_for(std::chrono::seconds(atoi(argv[2])));
    }
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
