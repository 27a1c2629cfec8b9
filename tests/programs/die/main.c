/* die HOW [ARGUMENT]: ends by the named way.
 * `die --list` prints every way, one per line. */
#include "die.h"

static const struct way *const families[] = {memory_ways,  stack_ways, instruction_ways, library_ways,
                                             signal_ways, limit_ways, thread_ways};
static const size_t family_count = sizeof families / sizeof *families;

void die_by(const char *name, const char *argument)
{
    for (size_t family = 0; family < family_count; family++)
        for (const struct way *way = families[family]; way->name; way++)
            if (strcmp(way->name, name) == 0) {
                way->act(argument);
                fprintf(stderr, "fixture: survived %s\n", name);
                _exit(FIXTURE_BROKEN);
            }
    fprintf(stderr, "fixture: no way named %s\n", name);
    _exit(FIXTURE_BROKEN);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: die HOW [ARGUMENT] | die --list\n");
        return FIXTURE_BROKEN;
    }
    if (strcmp(argv[1], "--list") == 0) {
        for (size_t family = 0; family < family_count; family++)
            for (const struct way *way = families[family]; way->name; way++)
                say("%s", way->name);
        return 0;
    }
    die_by(argv[1], argc > 2 ? argv[2] : NULL);
}
