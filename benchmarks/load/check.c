/* Does the server do the work? Only servers that pass are measured, so that all do the same.
 *
 *   sizes       1 byte to 8 MiB come back equal, in order
 *   pause       1 MiB and 8 MiB against a reader that stops for 300 ms and has a small window
 *   half close  all bytes, then the end of file, after this side has ended
 *   reset       a peer that sent, never read and resets harms nobody else
 *   pressure    (mode check-pressure) who sends for ever and reads nothing is stopped: the server does
 *               not read on into a buffer of its own that has no end
 *   sink        (mode check-sink) 8 MiB in, nothing back, the end after our end
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

enum { STALL_MS = 500, SMALL_WINDOW = 16384, SINK_BYTES = 8 << 20 };

static const struct options *options;
static int limit_ms;

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
        int ready = poll(&poller, 1, deaf ? 20 : limit_ms);
        errno = 0;
        if (ready == 0 && !deaf)
            fail("nothing came in time: sent %zu, came back %zu of %zu", sent, seen, total);
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
    if (poll(&poller, 1, limit_ms) != 1)
        fail("no end of file in time after ours");
    if (recv(fd, &byte, 1, 0) != 0)
        fail("bytes after the last one, or a reset, in place of the end of file");
    close(fd);
}

/* The most that the system may hold between this side and a server that has stopped reading, with
 * 16 MiB for the server's own buffers. */
static size_t most_under_way(void)
{
    static const char *const files[] = {"/proc/sys/net/ipv4/tcp_rmem",
                                        "/proc/sys/net/ipv4/tcp_wmem"};
    size_t total = 16 << 20;
    for (int index = 0; index < 2; index++) {
        unsigned long least, usual, most = 32 << 20;
        FILE *file = fopen(files[index], "r");
        if (file != NULL && fscanf(file, "%lu %lu %lu", &least, &usual, &most) != 3)
            most = 32 << 20;
        if (file != NULL)
            fclose(file);
        total += most;
    }
    return total;
}

/* Sends and never reads, until nothing was taken for STALL_MS or `limit` is reached; resets. Returns
 * what was taken. */
static size_t send_without_reading(int fd, size_t limit)
{
    size_t sent = 0;
    char *out = calloc(1, 1 << 20);
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    while (sent < limit && poll(&poller, 1, STALL_MS) == 1) {
        ssize_t count = send(fd, out, 1 << 20, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN)
            fail("send to a server that should hold back, after %zu bytes", sent);
        sent += count < 0 ? 0 : (size_t)count;
    }
    free(out);
    close(fd);
    return sent;
}

static void check_pressure(void)
{
    size_t limit = most_under_way(), sent = send_without_reading(open_checked(0), limit);
    errno = 0;
    if (sent >= limit)
        fail("it took %zu bytes of a peer that reads nothing", sent);
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
    send_without_reading(open_checked(2), most_under_way());
    fd = open_checked(3);
    exchange(fd, 64, 100, false); /* meanwhile the server learns of the reset */
    exchange(fd, 64, 0, true);
    expect_end(fd);
}

static void check_sink(void)
{
    int fd = open_checked(0);
    char *block = calloc(1, SINK_BYTES);
    for (size_t sent = 0; sent < SINK_BYTES;) {
        struct pollfd poller = {.fd = fd, .events = POLLOUT};
        errno = 0;
        if (poll(&poller, 1, limit_ms) != 1)
            fail("it does not read on: %zu of %d bytes went", sent, SINK_BYTES);
        sent += send_some(fd, block, sent, SINK_BYTES);
    }
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
        ssize_t count = poll(&poller, 1, limit_ms) == 1 ? recv(fd, block, sizeof block, 0) : 0;
        if (count <= 0)
            fail("the source stopped after %zu bytes", seen);
        seen += (size_t)count;
    }
    close(fd);
}

void run_check(const struct options *given)
{
    options = given;
    limit_ms = (int)(given->patience_s * 1000);
    void (*const checks[])(void) = {check_echo, check_sink, check_source,
                                     check_pressure};
    checks[options->mode - CHECK]();
    printf("{\"check\": \"passed\"}\n");
}
