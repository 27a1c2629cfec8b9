// requests [WORKERS]: a C++ server as sample "server" is one in C, with a handler around each request. Port on stdout.
// "GET key" answers "value of key", "CRASH" writes through a null pointer while it holds the lock of the store, "CRASH FREE"
// without. A request that fails is answered "failed: " and what the exception says.
#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <pthread.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

static std::mutex store_lock;
static std::map<std::string, std::string> store;

__attribute__((noinline)) static void parse_header(volatile int *header)
{
    *header = 42;
}

// Called through a pointer, as through another library: the compiler does not know that it throws nothing.
static void (*volatile parse)(volatile int *) = parse_header;

__attribute__((noinline)) static std::string look_up(const std::string &key, bool faults)
{
    std::lock_guard<std::mutex> guard(store_lock);
    if (faults)
        parse(nullptr);
    std::string &value = store[key];
    if (value.empty())
        value = "value of " + key;
    return value;
}

__attribute__((noinline)) static std::string answer(const std::string &line)
{
    if (line == "CRASH FREE")
        parse(nullptr);
    return look_up(line.substr(line.find(' ') + 1), line == "CRASH");
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

int main(int argc, char **argv)
{
    sockaddr_in address{};
    socklen_t length = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto *general = reinterpret_cast<sockaddr *>(&address);
    if (listening < 0 || bind(listening, general, length) || listen(listening, 128) ||
        getsockname(listening, general, &length))
        return 99;
    signal(SIGPIPE, SIG_IGN);
    std::vector<std::thread> workers;
    for (int index = 1; index <= (argc > 1 ? atoi(argv[1]) : 4); index++)
        workers.emplace_back(work, listening, index);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (std::thread &worker : workers)
        worker.join();
    return 0;
}
