/* large MIB [stdin]: fills so many MiB of memory, the first word of each page its own address, holds a TCP port without
 * SO_REUSEADDR, says where the middle of that memory is, and faults; with "stdin" once a line has come. */
#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int listening(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
    need(socket_fd >= 0, "socket");
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(bind(socket_fd, (struct sockaddr *)address, size) == 0, "bind");
    need(listen(socket_fd, 1) == 0, "listen");
    need(getsockname(socket_fd, (struct sockaddr *)address, &size) == 0, "getsockname");
    return socket_fd;
}

int main(int argc, char **argv)
{
    size_t size = (size_t)number_or(argc, argv, 1, 16) << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    for (size_t page = 0; page < size; page += 4096)
        *(uintptr_t *)&memory[page] = (uintptr_t)&memory[page];
    struct sockaddr_in address = {0};
    listening(&address);
    say("ready pid=%d port=%d middle=%p", getpid(), ntohs(address.sin_port), (void *)&memory[size / 2]);
    if (argc > 2 && strcmp(argv[2], "stdin") == 0)
        getchar();
    *(volatile int *)8 = 42;
}
