/* Preloaded into a server: whoever reads a request, or a file, with the marker in it writes through a null pointer. The store
 * is written in assembly, so that no compiler makes something else of it. */
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARKER "poison"

static ssize_t checked(const void *buffer, ssize_t got)
{
	if (got > 0 && memmem(buffer, got, MARKER, sizeof MARKER - 1))
		__asm__ volatile("movl $0, 8(%0)" ::"r"(0L) : "memory");
	return got;
}

ssize_t read(int fd, void *buffer, size_t size)
{
	return checked(buffer, syscall(SYS_read, fd, buffer, size));
}

ssize_t pread64(int fd, void *buffer, size_t size, off_t offset)
{
	return checked(buffer, syscall(SYS_pread64, fd, buffer, size, offset));
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
	return pread64(fd, buffer, size, offset);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	return checked(buffer, syscall(SYS_recvfrom, fd, buffer, size, flags, NULL, NULL));
}
