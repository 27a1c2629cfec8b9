/* The table of ways to die: each file of this directory contributes one family.
 * A way never returns; `die` reports it as a broken fixture if it does. */
#ifndef DIE_H
#define DIE_H

#include "../fixture.h"

/* One way to die; `argument` is what followed the way's name on the command line, or NULL. */
struct way {
    const char *name;
    void (*act)(const char *argument);
};

extern const struct way memory_ways[];
extern const struct way stack_ways[];
extern const struct way instruction_ways[];
extern const struct way library_ways[];
extern const struct way signal_ways[];
extern const struct way limit_ways[];
extern const struct way thread_ways[];

/* Dies by the way of that name; also used by ways that first fork, exec or start a thread. */
void die_by(const char *name, const char *argument);

/* Runs `act` in a thread with a stack of that many bytes, and waits for it for ever. */
void in_thread(void (*act)(void), size_t stack_bytes);

#endif
