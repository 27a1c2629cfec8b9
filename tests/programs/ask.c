/* ask PORT LINE...: sends each line to the sample server over one connection and prints each answer.
 * Exits 1, saying so, when the server closes the connection instead of answering. */
#include "fixture.h"

#include <arpa/inet.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct sockaddr_in server = {.sin_family = AF_INET,
                                 .sin_port = htons((unsigned short)number_or(argc, argv, 1, 0)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    signal(SIGPIPE, SIG_IGN);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    need(fd >= 0 && connect(fd, (struct sockaddr *)&server, sizeof server) == 0, "connect");
    FILE *connection = fdopen(fd, "r+");
    need(connection != NULL, "fdopen");
    for (int index = 2; index < argc; index++) {
        char reply[512];
        fprintf(connection, "%s\n", argv[index]);
        fflush(connection);
        if (!fgets(reply, sizeof reply, connection)) {
            say("%s: the server closed the connection", argv[index]);
            return 1;
        }
        reply[strcspn(reply, "\n")] = 0;
        say("%s: %s", argv[index], reply);
    }
    return 0;
}
