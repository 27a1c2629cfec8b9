/* misleading WAY: writes through a null pointer, with something about the process that leads whoever looks at it astray.
 *   libraries    the loader's list has a million entries more
 *   stack-self   the frame's caller is the frame itself
 *   stack-ring   two frames are each other's caller
 *   tables-loop  the unwind table has an expression that never ends
 *   names        the thread's name is no text */
#include "fixture.h"

#include <link.h>
#include <sys/prctl.h>

#define ENTRIES 1000000

static volatile int *volatile nowhere;

static __attribute__((noinline)) void fault(void) { *nowhere = 42; }

/* Takes what is given for its own frame pointer, as the table says too, and faults. */
void take_frame(void *frame);
extern char behind_take_frame[];
/* Faults where the table has DW_CFA_def_cfa_expression with DW_OP_skip back to itself. */
void without_end(void);

__asm__(".text\n"
        ".globl take_frame, behind_take_frame, without_end\n"
        ".type take_frame, @function\n"
        "take_frame:\n"
        "  .cfi_startproc\n"
        "  .cfi_def_cfa 6, 16\n"
        "  .cfi_offset 6, -16\n"
        "  .cfi_offset 16, -8\n"
        "  mov %rdi, %rbp\n"
        "  xor %eax, %eax\n"
        "  movl $42, (%rax)\n"
        "behind_take_frame:\n"
        "  ud2\n"
        "  .cfi_endproc\n"
        "  .size take_frame, . - take_frame\n"
        ".type without_end, @function\n"
        "without_end:\n"
        "  .cfi_startproc\n"
        "  .cfi_escape 0x0f, 0x03, 0x2f, 0xfd, 0xff\n"
        "  xor %eax, %eax\n"
        "  movl $42, (%rax)\n"
        "  ud2\n"
        "  .cfi_endproc\n"
        "  .size without_end, . - without_end\n");

static void libraries(void)
{
    struct link_map *last = _r_debug.r_map;
    struct link_map *more = calloc(ENTRIES, sizeof *more);
    need(more != NULL, "calloc");
    while (last->l_next)
        last = last->l_next;
    for (int at = 0; at < ENTRIES; at++) {
        more[at].l_name = "/a/library";
        more[at].l_prev = last;
        last->l_next = &more[at];
        last = &more[at];
    }
    fault();
}

static void stack_self(void)
{
    void *frame[2] = {frame, behind_take_frame};
    take_frame(frame);
}

static void stack_ring(void)
{
    void *frames[4] = {&frames[2], behind_take_frame, &frames[0], behind_take_frame};
    take_frame(frames);
}

static void names(void)
{
    prctl(PR_SET_NAME, "\x1b[31m\xff\n\"x");
    fault();
}

static const struct way {
    const char *name;
    void (*run)(void);
} ways[] = {
    {"libraries", libraries},       {"stack-self", stack_self}, {"stack-ring", stack_ring},
    {"tables-loop", without_end}, {"names", names},
};

int main(int argc, char **argv)
{
    for (size_t at = 0; argc == 2 && at < sizeof ways / sizeof *ways; at++)
        if (strcmp(ways[at].name, argv[1]) == 0)
            ways[at].run();
    need(0, "misleading WAY");
    return 0;
}
