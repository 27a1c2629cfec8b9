// keeping: a function that keeps known values in the registers that calls preserve calls one that spoils them all and
// then writes through a null pointer, within a try block. Prints "ready pid=P" and faults after a line on stdin.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <unistd.h>

#if defined __x86_64__
__attribute__((noinline, noclone)) static void spoil()
{
    __asm__ volatile("xor %%eax, %%eax\n\tmov %%rax, %%rbx\n\tmov %%rax, %%rbp\n\tmov %%rax, %%r12\n\tmov %%rax, %%r13\n\t"
                     "mov %%rax, %%r14\n\tmov %%rax, %%r15\n\tmovl $42, 8(%%rax)"
                     :
                     :
                     : "rax", "rbx", "rbp", "r12", "r13", "r14", "r15", "memory");
}

__attribute__((noinline, noclone)) static void keep()
{
    register uint64_t rbx __asm__("rbx") = 0x1111111111111103;
    register uint64_t rbp __asm__("rbp") = 0x1111111111111106;
    register uint64_t r12 __asm__("r12") = 0x111111111111110c;
    register uint64_t r13 __asm__("r13") = 0x111111111111110d;
    register uint64_t r14 __asm__("r14") = 0x111111111111110e;
    register uint64_t r15 __asm__("r15") = 0x111111111111110f;
    __asm__ volatile("" : "+r"(rbx), "+r"(rbp), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15));
    spoil();
    __asm__ volatile("" : : "r"(rbx), "r"(rbp), "r"(r12), "r"(r13), "r"(r14), "r"(r15));
}
#else
__attribute__((noinline, noclone)) static void keep()
{
    *reinterpret_cast<volatile int *>(8) = 42;
}
#endif

__attribute__((noinline, noclone)) static void serve()
{
    try {
        keep();
        std::puts("kept");
    } catch (const std::exception &error) {
        std::puts(error.what());
    }
}

int main()
{
    std::printf("ready pid=%d\n", getpid());
    std::fflush(stdout);
    char line[16];
    if (std::fgets(line, sizeof line, stdin))
        serve();
}
