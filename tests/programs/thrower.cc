// thrower: a worker answers lines on stdin, each as one request with a catch of its own around it, under a lock:
//   good      prints "ok"                                fault    writes through a null pointer, in a leaf function
//   string    passes a null pointer to strlen(3)         noexcept faults below a function that is noexcept
//   inlined   faults in the function that holds the lock  odd      faults with registers that are not as functions expect
//   sum       prints "sum: S, rounding R": of the x87 unit, and of the other
//   state     prints "state: locked|free, D destructors, F failed"
//   anything catches everything, faults below
// When the worker has ended, prints "joined, state: ...". A request that fails prints "failed: " and what the exception says.
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <mutex>
#include <pthread.h>
#include <sys/wait.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <xmmintrin.h>

static std::mutex mutex;
static int destructors, failed;

struct Witness {
    ~Witness() { destructors++; }
};

__attribute__((noinline)) static void parse_header(volatile int *header)
{
    *header = 42;
}

__attribute__((noinline)) static size_t measure(const char *text)
{
    __asm__ volatile("" : "+r"(text));
    return strlen(text);
}

// Leaves a number in the x87 unit, has string instructions count down, and rounds upwards.
__attribute__((noinline)) static void parse_odd(volatile int *header)
{
    static const unsigned upwards = 0x5f80;
    __asm__ volatile("fld1; std; ldmxcsr %1; movl $42, (%0)" : : "r"(header), "m"(upwards) : "memory");
}

__attribute__((noinline)) static void sum()
{
    volatile long double one = 1;
    printf("sum: %d, rounding %#x\n", static_cast<int>(one + one), _mm_getcsr() & 0x6000);
}

// Called through pointers, as through another library: the compiler does not know that they throw nothing.
static void (*volatile parse)(volatile int *) = parse_header;
static void (*volatile odd)(volatile int *) = parse_odd;
static size_t (*volatile length)(const char *) = measure;

__attribute__((noinline)) static void quietly(volatile int *header) noexcept
{
    Witness witness;
    parse(header);
}

__attribute__((noinline)) static void anything(volatile int *header)
{
    try {
        parse(header);
    } catch (...) {
        puts("anything");
    }
}

// The child runs in the memory of its parent.
__attribute__((noinline)) static void in_vfork(volatile int *header)
{
    pid_t child = vfork();
    if (child == 0) {
        try {
            parse(header);
        } catch (const std::exception &) {
            failed++;
        }
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("child died of %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

__attribute__((noinline)) static void handle(const std::string &request)
{
    std::lock_guard<std::mutex> guard(mutex);
    Witness witness;
    void *null = nullptr;
    __asm__ volatile("" : "+r"(null));
    if (request == "fault")
        parse(static_cast<volatile int *>(null));
    else if (request == "string")
        printf("%zu\n", length(static_cast<const char *>(null)));
    else if (request == "odd")
        odd(static_cast<volatile int *>(null));
    else if (request == "sum")
        sum();
    else if (request == "noexcept")
        quietly(static_cast<volatile int *>(null));
    else if (request == "anything")
        anything(static_cast<volatile int *>(null));
    else if (request == "vfork")
        in_vfork(static_cast<volatile int *>(null));
    else if (request == "inlined")
        *static_cast<volatile int *>(null) = 42;
    puts("ok");
}

static void state()
{
    bool free = mutex.try_lock();
    if (free)
        mutex.unlock();
    printf("state: %s, %d destructors, %d failed\n", free ? "free" : "locked", destructors, failed);
}

static void work()
{
    std::string request;
    pthread_setname_np(pthread_self(), "worker");
    printf("ready %d\n", getpid());
    fflush(stdout);
    while (std::getline(std::cin, request)) {
        try {
            if (request == "state")
                state();
            else
                handle(request);
        } catch (const std::exception &error) {
            failed++;
            printf("failed: %s\n", error.what());
        }
        fflush(stdout);
    }
}

int main()
{
    std::thread worker(work);
    worker.join();
    printf("joined, ");
    state();
    return 0;
}
