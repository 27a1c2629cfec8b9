// crashy: a service with four threads that waits for SIGUSR1, logs one line, and lets a worker read through a null pointer.
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Order {
    std::string item;
    long price = 0;
};

class Till {
  public:
    long charge(const Order *order) { return sum += order->price; }

  private:
    long sum = 0;
};

std::mutex mutex;
std::condition_variable changed;
int orders = 0;

void serve(int number)
{
    pthread_setname_np(pthread_self(), ("till-" + std::to_string(number)).c_str());
    Till till;
    std::unique_lock lock(mutex);
    changed.wait(lock, [] { return orders > 0; });
    orders--;
    lock.unlock();
    const Order *none = nullptr;
    std::printf("%ld\n", till.charge(none));
}

} // namespace

int main()
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::vector<std::thread> tills;
    for (int number = 1; number <= 3; number++)
        tills.emplace_back(serve, number);
    std::fprintf(stderr, "open\n");
    int signal = 0;
    sigwait(&set, &signal);
    std::fprintf(stderr, "charging an order that nobody placed\n");
    {
        std::lock_guard lock(mutex);
        orders = 1;
    }
    changed.notify_one();
    for (auto &till : tills)
        till.join();
}
