/* Connecting. One pair of addresses has some 28,000 ports, and in churn each is in TIME-WAIT for
 * a while, so connections come from 127.0.0.2, 127.0.0.3 ... in turn. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int connect_from(const struct options *options, int index, bool blocking)
{
    int yes = 1;
    struct sockaddr_in source = {.sin_family = AF_INET}, target = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(index % options->sources));
    target.sin_port = htons((uint16_t)options->port);
    if (inet_pton(AF_INET, options->host, &target.sin_addr) != 1)
        fail("%s is no IPv4 address", options->host);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    if (fd < 0)
        fail("socket number %d", index);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    /* The port is chosen at connect, for the pair of addresses, not for the source alone. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    bool loopback = (ntohl(target.sin_addr.s_addr) >> 24) == 127;
    if (loopback && bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
        fail("bind for connection %d", index);
    if (connect(fd, (struct sockaddr *)&target, sizeof target) != 0 && errno != EINPROGRESS)
        fail("connect number %d", index);
    return fd;
}

/* One byte there and back: proves that the server has accepted this connection, and so, in order,
 * all before it. Without it 9,000 connects overrun the backlog and each lost SYN costs a second. */
static void touch(int fd, int index)
{
    char byte = 'w';
    if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
        fail("first byte of connection %d", index);
}

void connect_all(const struct options *options, int *descriptors)
{
    bool echoes = options->mode != SINK && options->mode != SOURCE;
    for (int first = 0; first < options->connections; first += 64) {
        int last = first + 64 < options->connections ? first + 64 : options->connections;
        for (int index = first; index < last; index++)
            descriptors[index] = connect_from(options, index, true);
        for (int index = first; echoes && index < last; index++)
            touch(descriptors[index], index);
        for (int index = first; index < last; index++)
            fcntl(descriptors[index], F_SETFL, O_NONBLOCK);
    }
}
