/* mapped COUNT DEPTH: maps COUNT files that are no ELF files, DEPTH directories with long names below the current one, and
 * writes to a null pointer. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NAME_LENGTH 200
#define FILE_SIZE 4096

int main(int argc, char **argv)
{
    long count = number_or(argc, argv, 1, 1), depth = number_or(argc, argv, 2, 0);
    char directory[NAME_LENGTH + 1] = {0}, name[32];
    memset(directory, 'd', NAME_LENGTH);
    for (long level = 0; level < depth; level++)
        need(mkdir(directory, 0755) == 0 && chdir(directory) == 0, "directory");
    for (long index = 0; index < count; index++) {
        snprintf(name, sizeof name, "m%ld.so", index);
        int file = open(name, O_RDWR | O_CREAT, 0755);
        need(file >= 0 && ftruncate(file, FILE_SIZE) == 0, "file");
        need(mmap(NULL, FILE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) != MAP_FAILED, "mmap");
        close(file);
    }
    *(volatile int *)8 = 1;
}
