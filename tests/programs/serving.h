// What the sample C++ servers have in common: workers that each serve one connection after the other, one line is one request,
// with a handler around each. A request that fails is answered "failed: " and what the exception says. Port on stdout.
#pragma once
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
static std::vector<std::thread> workers;

// What the program answers to a line; the program's own.
static std::string answer(const std::string &line);

__attribute__((noinline)) static std::string look_up(const std::string &key)
{
    std::lock_guard<std::mutex> guard(store_lock);
    std::string &value = store[key];
    if (value.empty())
        value = "value of " + key;
    return value;
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

// Serves with so many workers, for ever.
static int serve_all(int count)
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
    workers.reserve(count);
    for (int index = 0; index < count; index++)
        workers.emplace_back(work, listening, index);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (std::thread &worker : workers)
        worker.join();
    return 0;
}
