/* Bad memory accesses: null, wild, non-canonical, read-only, not executable, misaligned, past a file's end.
 * Each does exactly one faulting access, written so that no compiler can prove it undefined and remove it. */
#include "die.h"

#include <sys/mman.h>

/* The offset of a field that a program reaches through a null pointer. */
#define FIELD_OFFSET 8
/* User-space addresses that no mapping of these fixtures ever covers. */
#define UNMAPPED_ADDRESS 0x0000123456789000UL
/* Bits 47..63 differ: no page table can hold it, the processor raises a general protection fault. */
#define NON_CANONICAL_ADDRESS 0xdead000000000123UL

static volatile unsigned long sink;
static const char read_only[] = "kept in .rodata";
/* A lone `ret` in a page that is never executable. */
static unsigned char data_with_code[] = {0xc3};

/* Hides where a pointer comes from. */
static void *laundered(unsigned long address)
{
    void *pointer = (void *)address;
    __asm__ volatile("" : "+r"(pointer));
    return pointer;
}

static void null_read(const char *argument)
{
    (void)argument;
    sink = *(volatile unsigned int *)laundered(FIELD_OFFSET);
}

static void null_write(const char *argument)
{
    (void)argument;
    *(volatile unsigned int *)laundered(FIELD_OFFSET) = 42;
}

static void null_exec(const char *argument)
{
    (void)argument;
    ((void (*)(void))laundered(0))();
}

static void wild_read(const char *argument)
{
    (void)argument;
    sink = *(volatile unsigned int *)laundered(UNMAPPED_ADDRESS);
}

static void wild_exec(const char *argument)
{
    (void)argument;
    ((void (*)(void))laundered(UNMAPPED_ADDRESS))();
}

static void non_canonical(const char *argument)
{
    (void)argument;
    sink = *(volatile unsigned int *)laundered(NON_CANONICAL_ADDRESS);
}

static void write_rodata(const char *argument)
{
    (void)argument;
    *(volatile char *)laundered((unsigned long)read_only) = 'K';
}

static void jump_data(const char *argument)
{
    (void)argument;
    ((void (*)(void))laundered((unsigned long)data_with_code))();
}

static void bus_mmap(const char *argument)
{
    (void)argument;
    int file = memfd_create("truncated", MFD_CLOEXEC);
    need(file >= 0 && ftruncate(file, 8192) == 0, "memfd");
    volatile char *bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    need(bytes != MAP_FAILED, "mmap");
    need(ftruncate(file, 4096) == 0, "truncate");
    sink = bytes[4096];
}

#if defined __x86_64__
static void misaligned(const char *argument)
{
    (void)argument;
    static unsigned long words[2];
    unsigned long address = (unsigned long)words + 1;
    __asm__ volatile("pushfq\n\torq $0x40000, (%%rsp)\n\tpopfq\n\tmovq (%0), %%rax" ::"r"(address) : "rax", "memory", "cc");
}
#endif

const struct way memory_ways[] = {
    {"null-read", null_read},       {"null-write", null_write},     {"null-exec", null_exec},
    {"wild-read", wild_read},       {"wild-exec", wild_exec},       {"non-canonical", non_canonical},
    {"write-rodata", write_rodata}, {"jump-data", jump_data},       {"bus-mmap", bus_mmap},
#if defined __x86_64__
    {"misaligned", misaligned},
#endif
    {NULL, NULL},
};
