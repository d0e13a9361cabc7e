/* Churn: so many clients side by side; each connects, sends one message, reads it back, ends its
 * side, waits for the server's end, closes, and begins again. A connection counts when the server
 * has closed too: the server's own close is part of the work that is measured. */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    int fd;
    bool connecting;
    size_t received;
    uint64_t began_ns;
};

static int poller, next_index;
static char *payload, *inbox;

static void begin(struct client *client, const struct options *options)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = client};
    client->began_ns = now_ns();
    client->received = 0;
    client->connecting = true;
    client->fd = connect_from(options, next_index++ & 0xffffff, false);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event) != 0)
        fail("epoll_ctl");
}

static void connected(struct client *client, const struct options *options)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    errno = error;
    if (error != 0)
        fail("connect");
    client->connecting = false;
    if (send(client->fd, payload, options->size, MSG_NOSIGNAL) != (ssize_t)options->size)
        fail("a churn message must fit the socket's buffer");
    epoll_ctl(poller, EPOLL_CTL_MOD, client->fd, &event);
}

/* True when the server has closed, after all bytes came back. */
static bool read_reply(struct client *client, const struct options *options)
{
    ssize_t got = recv(client->fd, inbox, options->size, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got < 0)
        fail("recv in churn");
    if (got == 0 && client->received != options->size)
        fail("the server closed after %zu of %zu bytes", client->received, options->size);
    client->received += (size_t)got;
    if (got > 0 && client->received == options->size)
        shutdown(client->fd, SHUT_WR);
    return got == 0;
}

void run_churn(const struct options *options, struct result *result)
{
    struct client *clients = calloc((size_t)options->connections, sizeof *clients);
    struct epoll_event events[512];
    payload = calloc(1, options->size);
    inbox = malloc(options->size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int index = 0; index < options->connections; index++)
        begin(&clients[index], options);
    uint64_t start_ns = now_ns() + (uint64_t)(options->warmup_s * 1e9);
    uint64_t end_ns = start_ns + (uint64_t)(options->duration_s * 1e9);
    bool measuring = false;
    for (uint64_t now = now_ns(); now < end_ns; now = now_ns()) {
        if (!measuring && now >= start_ns) {
            window_begin(result, options);
            measuring = true;
        }
        int count = epoll_wait(poller, events, 512, 1000);
        if (count == 0)
            fail("the server has done nothing for a second");
        for (int index = 0; index < count; index++) {
            struct client *client = events[index].data.ptr;
            if (client->connecting) {
                connected(client, options);
            } else if (read_reply(client, options)) {
                close(client->fd);
                histogram_add(&result->latency, now_ns() - client->began_ns);
                result->messages++;
                result->bytes += options->size;
                begin(client, options);
            }
        }
    }
    window_end(result, options);
}
