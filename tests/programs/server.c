/* server [WORKERS]: a small key-value server on a loopback port it chooses and prints ("listening on 127.0.0.1:PORT"); worker-1..N answer.
 * One line per request: "GET key" answers "value of key", "STATS" the number served, "CRASH" makes the worker that reads it write through a null pointer. */
#include "fixture.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

#define LONGEST_LINE 256

/* A parsed request, as a server of this kind keeps it. */
struct header {
    char method[16];
    char key[LONGEST_LINE];
    int body_bytes;
};

static int listening;
static long served;

/* Has the bug of the demonstration: it trusts that a header was found. */
__attribute__((noinline)) static void parse_header(const char *line, struct header *header)
{
    struct header *target = strcmp(line, "CRASH") == 0 ? NULL : header;
    __asm__ volatile("" : "+r"(target));
    target->body_bytes = (int)strlen(line);
    if (sscanf(line, "%15s %255s", target->method, target->key) < 2)
        target->key[0] = 0;
}

static void answer(FILE *connection, const struct header *header)
{
    if (strcmp(header->method, "GET") == 0) {
        __atomic_fetch_add(&served, 1, __ATOMIC_RELAXED);
        fprintf(connection, "value of %s\n", header->key);
    } else if (strcmp(header->method, "STATS") == 0) {
        fprintf(connection, "served %ld\n", __atomic_load_n(&served, __ATOMIC_RELAXED));
    } else {
        fprintf(connection, "unknown request\n");
    }
    fflush(connection);
}

static void serve(int socket)
{
    char line[LONGEST_LINE];
    FILE *connection = fdopen(socket, "r+");
    need(connection != NULL, "fdopen");
    while (fgets(line, sizeof line, connection)) {
        struct header header;
        line[strcspn(line, "\r\n")] = 0;
        parse_header(line, &header);
        answer(connection, &header);
    }
    fclose(connection);
}

static void *work(void *index)
{
    char name[16];
    snprintf(name, sizeof name, "worker-%ld", (long)index);
    pthread_setname_np(pthread_self(), name);
    for (;;) {
        int connection = accept(listening, NULL, NULL);
        if (connection >= 0)
            serve(connection);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    long workers = number_or(argc, argv, 1, 8);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(listening >= 0 && bind(listening, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    need(listen(listening, 128) == 0 && getsockname(listening, (struct sockaddr *)&address, &length) == 0, "listen");
    signal(SIGPIPE, SIG_IGN);
    for (long index = 1; index <= workers; index++) {
        pthread_t thread;
        need(pthread_create(&thread, NULL, work, (void *)index) == 0, "pthread_create");
    }
    say("listening on 127.0.0.1:%d", ntohs(address.sin_port));
    for (;;)
        pause();
}
