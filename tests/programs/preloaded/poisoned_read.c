/* Preloaded into a server: whoever reads a request with the marker in it writes through a null pointer. The store is
 * written in assembly, so that no compiler makes something else of it. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARKER "poison"

ssize_t read(int fd, void *buffer, size_t size)
{
	ssize_t got = syscall(SYS_read, fd, buffer, size);

	if (got > 0 && memmem(buffer, got, MARKER, sizeof MARKER - 1))
		__asm__ volatile("movl $0, 8(%0)" ::"r"(0L) : "memory");
	return got;
}
