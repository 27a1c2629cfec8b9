/* plugin_host LIBRARY: loads the library, deletes its file, and waits in a function of it. Prints "ready pid=P". */
#include "../fixture.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    int gate[2];
    need(argc == 2 && pipe(gate) == 0, "plugin_host LIBRARY");
    void *library = dlopen(argv[1], RTLD_NOW);
    need(library != NULL, argv[1]);
    long (*serve)(int) = (long (*)(int))dlsym(library, "serve");
    need(serve && unlink(argv[1]) == 0, "serve");
    say("ready pid=%d", getpid());
    return (int)serve(gate[0]);
}
