// campaign: a C++ server with four workers, of which any can be made to fault at random. "GET key" answers "value of key";
// "NULLCALL", "READ address" and "DIVIDE" fault, with "LOCKED" behind them while they hold the lock of the store; "FLIP worker
// register bit" flips a bit in a register of a worker, wherever that is.
#include "serving.h"

#include <cstring>
#include <ucontext.h>

static volatile int flipped_register, flipped_bit;

static void flip(int, siginfo_t *, void *context)
{
#ifdef __x86_64__
    static const int registers[] = {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
                                    REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    auto *general = static_cast<ucontext_t *>(context)->uc_mcontext.gregs;
    general[registers[flipped_register % 17]] ^= 1LL << flipped_bit % 64;
#endif
}

__attribute__((noinline)) static long fault(const std::string &line)
{
    volatile long zero = 0;
    if (line.compare(0, 8, "NULLCALL") == 0) {
        long (*volatile nowhere)() = nullptr;
        return nowhere();
    }
    if (line.compare(0, 4, "READ") == 0)
        return *reinterpret_cast<volatile long *>(strtoull(line.c_str() + 4, nullptr, 0));
    return 42 / zero;
}

// Called through a pointer, as through another library: the compiler does not know that it throws nothing.
static long (*volatile run_into)(const std::string &) = fault;

__attribute__((noinline)) static std::string locked(const std::string &line)
{
    std::lock_guard<std::mutex> guard(store_lock);
    return std::to_string(run_into(line));
}

__attribute__((noinline)) static std::string answer(const std::string &line)
{
    int worker, number, bit;
    if (line.compare(0, 4, "GET ") == 0)
        return look_up(line.substr(4));
    if (sscanf(line.c_str(), "FLIP %d %d %d", &worker, &number, &bit) == 3) {
        flipped_register = number;
        flipped_bit = bit;
        pthread_kill(workers[worker % workers.size()].native_handle(), SIGUSR1);
        return "flipped";
    }
    if (line.find("LOCKED") != std::string::npos)
        return locked(line);
    return std::to_string(run_into(line));
}

int main()
{
    struct sigaction action{};
    action.sa_sigaction = flip;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    return serve_all(4);
}
