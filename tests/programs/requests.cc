// requests [WORKERS]: a C++ server as sample "server" is one in C. "GET key" answers "value of key", "CRASH" writes through a
// null pointer while it holds the lock of the store, "CRASH FREE" without, "CRASH INLINED" in the function that is to catch it,
// where the compiler inlines.
#include "serving.h"

__attribute__((noinline)) static void parse_header(volatile int *header)
{
    *header = 42;
}

// Called through a pointer, as through another library: the compiler does not know that it throws nothing.
static void (*volatile parse)(volatile int *) = parse_header;

static inline void parse_in_place(volatile int *header)
{
    *header = 43;
}

__attribute__((noinline)) static std::string parse_locked()
{
    std::lock_guard<std::mutex> guard(store_lock);
    parse(nullptr);
    return std::string();
}

__attribute__((noinline)) static std::string parse_inlined(const std::string &line)
{
    std::string copy = line + " of which the destructor has to run";
    parse_in_place(nullptr);
    return copy;
}

__attribute__((noinline)) static std::string answer(const std::string &line)
{
    if (line == "CRASH FREE")
        parse(nullptr);
    if (line == "CRASH INLINED")
        return parse_inlined(line);
    if (line == "CRASH")
        return parse_locked();
    return look_up(line.substr(line.find(' ') + 1));
}

int main(int argc, char **argv)
{
    return serve_all(argc > 1 ? atoi(argv[1]) : 4);
}
