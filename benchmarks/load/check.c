/* Does the server do the work? Only servers that pass are measured, so that all do the same.
 *
 *   sizes       1 byte to 8 MiB come back equal, in order
 *   pause       1 MiB and 8 MiB against a reader that stops for 300 ms and has a small window
 *   half close  all bytes, then the end of file, after this side has ended
 *   sink        (mode check-sink) 1 MiB in, nothing back, the end after our end
 *   source      (mode check-source) 4 MiB of it come
 *
 * Plain poll on one descriptor; time is of no interest here, bar a limit for a server that hangs. */
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <unistd.h>

enum { LIMIT_MS = 10000, SMALL_WINDOW = 16384 };

static const struct options *options;

/* Bytes that repeat only after 251, a prime: a lost or doubled block never looks right. */
static char expected(size_t position) { return (char)(position % 251 + position / 65536); }

static int open_checked(int index)
{
    int fd = connect_from(options, index, true), window = SMALL_WINDOW;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static size_t send_some(int fd, const char *out, size_t sent, size_t total)
{
    ssize_t count = send(fd, out + sent, total - sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN)
        fail("send after %zu of %zu bytes", sent, total);
    return count < 0 ? 0 : (size_t)count;
}

/* Reads what is there; compares. Returns the new count; an early end of file is a failure. */
static size_t read_some(int fd, size_t seen, size_t total)
{
    char block[65536];
    ssize_t count = recv(fd, block, sizeof block, 0);
    if (count < 0 && errno == EAGAIN)
        return seen;
    if (count < 0)
        fail("recv after %zu of %zu bytes", seen, total);
    errno = 0;
    if (count == 0)
        fail("end of file after %zu of %zu bytes", seen, total);
    for (ssize_t index = 0; index < count; index++)
        if (block[index] != expected(seen + (size_t)index))
            fail("byte %zu of %zu came back changed", seen + (size_t)index, total);
    return seen + (size_t)count;
}

/* Sends and reads `total` bytes; reads nothing for the first `pause_ms`. With `half_close` this
 * side ends after its last byte. */
static void exchange(int fd, size_t total, int pause_ms, bool half_close)
{
    char *out = malloc(total);
    size_t sent = 0, seen = 0;
    uint64_t deaf_until = now_ns() + (uint64_t)pause_ms * 1000000u;
    for (size_t index = 0; index < total; index++)
        out[index] = expected(index);
    while (seen < total) {
        bool deaf = now_ns() < deaf_until;
        struct pollfd poller = {.fd = fd};
        poller.events = (short)((sent < total ? POLLOUT : 0) | (deaf ? 0 : POLLIN));
        int ready = poll(&poller, 1, deaf ? 20 : LIMIT_MS);
        errno = 0;
        if (ready == 0 && !deaf)
            fail("nothing for ten seconds: sent %zu, came back %zu of %zu", sent, seen, total);
        if (sent < total && poller.revents & POLLOUT) {
            sent += send_some(fd, out, sent, total);
            if (sent == total && half_close)
                shutdown(fd, SHUT_WR);
        }
        if (!deaf && poller.revents & (POLLIN | POLLHUP | POLLERR))
            seen = read_some(fd, seen, total);
    }
    free(out);
}

static void expect_end(int fd)
{
    char byte;
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    errno = 0;
    if (poll(&poller, 1, LIMIT_MS) != 1)
        fail("no end of file within ten seconds of ours");
    if (recv(fd, &byte, 1, 0) != 0)
        fail("bytes after the last one, or a reset, in place of the end of file");
    close(fd);
}

static void check_echo(void)
{
    static const size_t sizes[] = {1, 64, 1460, 16384, 65536, 65537, 1 << 20, 8 << 20};
    int fd = open_checked(0);
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++)
        exchange(fd, sizes[index], 0, false);
    exchange(fd, 1 << 20, 300, false);
    exchange(fd, 8 << 20, 300, true);
    expect_end(fd);
    fd = open_checked(1);
    exchange(fd, 1 << 16, 300, true);
    expect_end(fd);
}

static void check_sink(void)
{
    int fd = connect_from(options, 0, true);
    char *block = calloc(1, 1 << 20);
    for (size_t sent = 0; sent < 1 << 20;)
        sent += send_some(fd, block, sent, 1 << 20);
    shutdown(fd, SHUT_WR);
    expect_end(fd);
    free(block);
}

static void check_source(void)
{
    char block[65536];
    int fd = connect_from(options, 0, true);
    for (size_t seen = 0; seen < 4 << 20;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        errno = 0;
        ssize_t count = poll(&poller, 1, LIMIT_MS) == 1 ? recv(fd, block, sizeof block, 0) : 0;
        if (count <= 0)
            fail("the source stopped after %zu bytes", seen);
        seen += (size_t)count;
    }
    close(fd);
}

void run_check(const struct options *given)
{
    options = given;
    void (*const checks[])(void) = {check_echo, check_sink, check_source};
    checks[options->mode - CHECK]();
    printf("{\"check\": \"passed\"}\n");
}
