/* The same loop as raw_epoll.py in C: what the system itself costs, the physical limit. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 262144, BLOCK_BYTES = 1 << 20, BACKLOG = 4096 };

struct connection {
    int fd;
    size_t sent, held; /* of the rest: bytes gone, bytes in all */
    char *rest;
};

static int poller;
static char block[BLOCK_BYTES];

static void wait_for(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    epoll_ctl(poller, operation, connection->fd, &event);
}

static void end(struct connection *connection)
{
    close(connection->fd);
    free(connection->rest);
    free(connection);
}

static void take(int listening, bool source)
{
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *connection = calloc(1, sizeof *connection);
    connection->fd = fd;
    wait_for(connection, EPOLL_CTL_ADD, source ? EPOLLOUT : EPOLLIN);
}

/* True when nothing is left to send; a failed connection is ended here. */
static bool send_rest(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->rest + connection->sent,
                        connection->held - connection->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        end(connection);
        return false;
    }
    connection->sent += sent < 0 ? 0 : (size_t)sent;
    return connection->sent == connection->held;
}

static void echo(struct connection *connection)
{
    static char inbox[READ_BYTES];
    if (connection->rest != NULL) {
        if (send_rest(connection)) {
            free(connection->rest);
            connection->rest = NULL;
            wait_for(connection, EPOLL_CTL_MOD, EPOLLIN);
        }
        return;
    }
    ssize_t got = recv(connection->fd, inbox, READ_BYTES, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    ssize_t sent = got > 0 ? send(connection->fd, inbox, (size_t)got, MSG_NOSIGNAL) : 0;
    if (got <= 0 || (sent < 0 && errno != EAGAIN)) {
        end(connection);
        return;
    }
    if (sent == got)
        return;
    connection->sent = sent < 0 ? 0 : (size_t)sent;
    connection->held = (size_t)got;
    connection->rest = memcpy(malloc((size_t)got), inbox, (size_t)got);
    wait_for(connection, EPOLL_CTL_MOD, EPOLLOUT);
}

static void sink(struct connection *connection)
{
    ssize_t got = recv(connection->fd, block, READ_BYTES, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        end(connection);
}

static void source(struct connection *connection)
{
    ssize_t sent = send(connection->fd, block + connection->sent, BLOCK_BYTES - connection->sent,
                        MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        end(connection);
    else if (sent > 0)
        connection->sent = (connection->sent + (size_t)sent) % BLOCK_BYTES;
}

static int listen_on(int port)
{
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, BACKLOG) != 0) {
        perror("listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("{\"port\": %d, \"tcp_nodelay\": true, \"backlog\": %d, \"read_bytes\": %d}\n",
           ntohs(address.sin_port), BACKLOG, READ_BYTES);
    fflush(stdout);
    return fd;
}

int main(int count, char **words)
{
    const char *work = count > 2 ? words[2] : "echo";
    bool is_source = strcmp(work, "source") == 0;
    void (*handle)(struct connection *) = is_source ? source
        : strcmp(work, "sink") == 0 ? sink : echo;
    struct rlimit limit;
    struct epoll_event events[512];
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listening = listen_on(count > 1 ? atoi(words[1]) : 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 512, -1);
        for (int index = 0; index < ready; index++) {
            if (events[index].data.ptr == NULL)
                take(listening, is_source);
            else
                handle(events[index].data.ptr);
        }
    }
}
