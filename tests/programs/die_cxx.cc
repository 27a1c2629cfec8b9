// die_cxx HOW: the ways a C++ program ends by std::terminate.
// Each leaves the runtime's own message on stderr and SIGABRT.
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

void may_not_throw() noexcept
{
    throw std::runtime_error("thrown through noexcept");
}

struct Shape {
    Shape() { announce(); }
    virtual ~Shape() = default;
    void announce() { name(); }
    virtual void name() = 0;
};

struct Circle : Shape {
    void name() override {}
};

struct Named {
    virtual ~Named() = default;
    long name = 7;
};

// The standard exception lies behind another base.
struct Denied : Named, std::invalid_argument {
    Denied() : std::invalid_argument("access denied") {}
};

struct Closed {
    virtual ~Closed() = default;
    virtual void open() = delete;
};

struct Open {
    virtual ~Open() = default;
    virtual void open() = 0;
};

void catch_one()
{
    try {
        throw std::runtime_error("caught long ago");
    } catch (const std::exception &) {
    }
}

} // namespace

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (!std::strcmp(how, "uncaught"))
        throw std::runtime_error("the ledger does not balance");
    if (!std::strcmp(how, "terminate"))
        std::terminate();
    if (!std::strcmp(how, "noexcept"))
        may_not_throw();
    if (!std::strcmp(how, "derived"))
        throw Denied();
    if (!std::strcmp(how, "number"))
        throw 42;
    if (!std::strcmp(how, "caught-before")) {
        catch_one();
        std::terminate();
    }
    if (!std::strcmp(how, "rethrown"))
        std::rethrow_exception(std::make_exception_ptr(std::logic_error("thrown once more")));
    if (!std::strcmp(how, "pure-virtual"))
        Circle circle;
    if (!std::strcmp(how, "deleted-virtual")) {
        Closed closed;
        void *volatile misread = &closed;
        static_cast<Open *>(misread)->open();
    }
    if (!std::strcmp(how, "library-assertion")) {
        std::vector<int> accounts(3);
        volatile std::size_t place = 7;
        std::printf("%d\n", accounts[place]);
    }
    if (!std::strcmp(how, "uncaught-in-thread"))
        std::thread([] { throw std::runtime_error("thrown in a thread"); }).join();
    std::fprintf(stderr, "fixture: no way named %s\n", how);
    return 99;
}
