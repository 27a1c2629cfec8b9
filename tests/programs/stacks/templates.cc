// templates: C++ as it is written today, optimised: templates, lambdas, virtual calls, std::function, a destructor that
// waits while an exception unwinds the stack, a catch clause that waits. Prints "ready pid=P".
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone))

namespace service {

int gate[2];

KEEP long wait_here(long seed)
{
    char byte = 0;
    return seed + read(gate[0], &byte, 1) + byte;
}

template <typename Key, typename Value> class Cache {
  public:
    KEEP Value find(const Key &key)
    {
        auto [place, is_new] = entries.try_emplace(key);
        if (is_new)
            place->second = load(key);
        return place->second;
    }

  private:
    KEEP Value load(const Key &key) { return static_cast<Value>(wait_here(static_cast<long>(key.size()))); }

    std::map<Key, Value> entries;
};

struct Handler {
    virtual ~Handler() = default;
    virtual long handle(const std::string &request) = 0;
};

struct Cached final : Handler {
    Cache<std::string, long> cache;
    KEEP long handle(const std::string &request) override { return cache.find(request) + 1; }
};

struct Guard {
    const char *name;
    KEEP ~Guard() { wait_here(name[0]); }
};

KEEP void refuse(const std::string &request)
{
    throw std::runtime_error("refused: " + request);
}

KEEP long through_destructor(const std::string &request)
{
    Guard guard{"guard"};
    refuse(request);
    return 0;
}

KEEP long through_catch(const std::string &request)
{
    try {
        refuse(request);
    } catch (const std::exception &error) {
        return wait_here(error.what()[0]);
    }
    return 0;
}

KEEP long through_algorithm(const std::string &request)
{
    std::vector<std::function<long(long)>> steps;
    steps.emplace_back([&](long seed) { return wait_here(seed + static_cast<long>(request.size())) + 1; });
    long sum = 0;
    std::for_each(steps.begin(), steps.end(), [&](const auto &step) { sum += step(sum); });
    return sum;
}

KEEP long through_virtual(const std::string &request)
{
    std::unique_ptr<Handler> handler = std::make_unique<Cached>();
    return handler->handle(request) + 1;
}

} // namespace service

int main()
{
    if (pipe(service::gate) != 0)
        return 99;
    const auto start = [](const char *name, long (*function)(const std::string &)) {
        std::thread([=] {
            pthread_setname_np(pthread_self(), name);
            try {
                function(name);
            } catch (const std::exception &) {
            }
        }).detach();
    };
    start("destructor", service::through_destructor);
    start("catch", service::through_catch);
    start("algorithm", service::through_algorithm);
    start("virtual", service::through_virtual);
    std::printf("ready pid=%d\n", getpid());
    std::fflush(stdout);
    return static_cast<int>(service::through_virtual("main"));
}
