// campaign: a C++ server with four workers and a handler around each request, of which any can be made to fault at random.
// One line is one request: "GET key" answers "value of key"; "NULLCALL", "READ address" and "DIVIDE" fault, with "LOCKED" behind
// them while they hold the lock of the store; "FLIP worker register bit" flips a bit in a register of a worker, wherever that
// is. Port on stdout.
#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <pthread.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

static std::mutex store_lock;
static std::map<std::string, std::string> store;
static std::vector<std::thread> workers;
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

__attribute__((noinline)) static std::string look_up(const std::string &key)
{
    std::lock_guard<std::mutex> guard(store_lock);
    std::string &value = store[key];
    if (value.empty())
        value = "value of " + key;
    return value;
}

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

static void serve(int connection)
{
    FILE *stream = fdopen(connection, "r+");
    char buffer[256];
    while (stream && fgets(buffer, sizeof buffer, stream)) {
        std::string line(buffer);
        line.erase(line.find_last_not_of("\r\n") + 1);
        try {
            fprintf(stream, "%s\n", answer(line).c_str());
        } catch (const std::exception &error) {
            fprintf(stream, "failed: %s\n", error.what());
        }
        fflush(stream);
    }
    if (stream)
        fclose(stream);
}

static void work(int listening, int index)
{
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index)).c_str());
    for (;;) {
        int connection = accept(listening, nullptr, nullptr);
        if (connection >= 0)
            serve(connection);
    }
}

int main()
{
    sockaddr_in address{};
    socklen_t length = sizeof address;
    struct sigaction action{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto *general = reinterpret_cast<sockaddr *>(&address);
    if (listening < 0 || bind(listening, general, length) || listen(listening, 128) ||
        getsockname(listening, general, &length))
        return 99;
    signal(SIGPIPE, SIG_IGN);
    action.sa_sigaction = flip;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    workers.reserve(4);
    for (int index = 0; index < 4; index++)
        workers.emplace_back(work, listening, index);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (std::thread &worker : workers)
        worker.join();
    return 0;
}
