/* Long-lived connections: echo (closed loop, or at a given rate), sink, source, slow, idle.
 *
 * Closed loop: each connection has `depth` messages under way; an answer is followed at once by
 * the next message. At a rate: message i is due at i / rate on connection i mod N, whatever the
 * server does, and its latency counts from that moment, so a pause is seen by all that waited. What
 * is not answered when the window ends is waited for, or a pause there would be seen by none. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RATE_RING = 256, CHUNK = 1 << 20, SLOW_BYTES = 4096 };
static const uint64_t SLOW_EVERY_NS = 100000000u, SILENCE_MS = 5000, GRACE_NS = 1000000000u;

struct connection {
    int fd;
    uint32_t interest;
    bool slow;
    uint64_t sent, owed; /* bytes gone to the system, bytes still to go */
    size_t received;     /* bytes of the message that is coming in */
    unsigned first, waiting;
    uint64_t *due; /* a ring: when each message under way was due */
};

static const struct options *options;
static struct result *result;
static struct connection *connections;
static int poller;
static unsigned ring;
static uint64_t next_due; /* the number of the next message at a rate */
static char *payload, *inbox;
static size_t payload_length; /* whole messages, so any position in the stream can be sent from */

static void set_interest(struct connection *connection, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = connection};
    if (connection->interest == interest)
        return;
    connection->interest = interest;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        fail("epoll_ctl");
}

static void send_owed(struct connection *connection)
{
    while (connection->owed > 0) {
        size_t offset = connection->sent % options->size;
        size_t room = payload_length - offset;
        size_t length = connection->owed < room ? (size_t)connection->owed : room;
        ssize_t sent = send(connection->fd, payload + offset, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            set_interest(connection, connection->interest | EPOLLOUT);
            return;
        }
        if (sent < 0)
            fail("send");
        connection->sent += (uint64_t)sent;
        connection->owed -= (uint64_t)sent;
        result->bytes += options->mode == SINK ? (uint64_t)sent : 0;
    }
    set_interest(connection, connection->interest & ~(uint32_t)EPOLLOUT);
}

static void queue_message(struct connection *connection, uint64_t due_ns)
{
    connection->due[(connection->first + connection->waiting++) % ring] = due_ns;
    connection->owed += options->size;
}

/* Counts the messages that `got` more bytes complete; closed loop: as many new ones are queued. */
static void count_received(struct connection *connection, size_t got, uint64_t now)
{
    connection->received += got;
    result->bytes += got;
    while (connection->received >= options->size) {
        connection->received -= options->size;
        result->messages++;
        if (options->mode == SOURCE)
            continue;
        if (connection->waiting == 0)
            fail("the server sent more than it got");
        histogram_add(&result->latency, now - connection->due[connection->first]);
        connection->first = (connection->first + 1) % ring;
        connection->waiting--;
        if (options->rate <= 0)
            queue_message(connection, now);
    }
}

static void receive(struct connection *connection, uint64_t now)
{
    ssize_t got = recv(connection->fd, inbox, CHUNK, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    errno = got == 0 ? 0 : errno;
    if (got <= 0)
        fail("the server closed a connection");
    count_received(connection, (size_t)got, now);
    if (connection->owed > 0)
        send_owed(connection);
}

/* One-way: as many whole messages as the system takes, at most 16 before others have their turn. */
static void fill(struct connection *connection)
{
    for (int count = 0; count < 16; count++) {
        connection->owed = connection->owed ? connection->owed : options->size;
        send_owed(connection);
        if (connection->owed > 0)
            return;
        result->messages++;
    }
    set_interest(connection, connection->interest | EPOLLOUT);
}

static void handle(struct connection *connection, uint32_t events)
{
    if (options->mode == SINK) {
        fill(connection);
        return;
    }
    if (events & EPOLLOUT)
        send_owed(connection);
    if (events & ~(uint32_t)EPOLLOUT && !connection->slow)
        receive(connection, now_ns());
}

static void read_slowly(uint64_t now)
{
    static uint64_t next_ns;
    if (now < next_ns)
        return;
    next_ns = now + SLOW_EVERY_NS;
    for (int index = 0; index < options->slow; index++)
        if (recv(connections[index].fd, inbox, SLOW_BYTES, 0) == 0)
            fail("the server closed a slow reader");
}

static uint64_t moment_due(uint64_t began_ns, uint64_t number)
{
    return began_ns + (uint64_t)((double)number * 1e9 / options->rate);
}

/* Queues what is due by `until`. A full ring holds up the messages behind it, but each keeps its
 * moment. */
static void send_due(uint64_t began_ns, uint64_t until)
{
    for (;; next_due++) {
        uint64_t due_ns = moment_due(began_ns, next_due);
        struct connection *connection = &connections[next_due % (uint64_t)options->connections];
        if (due_ns > until || connection->waiting == ring)
            return;
        queue_message(connection, due_ns);
        send_owed(connection);
    }
}

static void open_connection(struct connection *connection, int index, int fd)
{
    connection->fd = fd;
    connection->due = calloc(ring, sizeof *connection->due);
    connection->slow = options->mode == SLOW && index < options->slow;
    connection->interest = connection->slow ? 0 : EPOLLIN;
    struct epoll_event event = {.events = connection->interest, .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

static void start(struct connection *connection)
{
    if (connection->slow)
        connection->owed = UINT64_MAX / 2;
    else if (options->mode == ECHO || options->mode == SLOW)
        for (int count = 0; options->rate <= 0 && count < options->depth; count++)
            queue_message(connection, now_ns());
    if (options->mode == SINK)
        fill(connection);
    else if (connection->owed > 0)
        send_owed(connection);
}

static void prepare(void)
{
    int *descriptors = calloc((size_t)options->connections, sizeof *descriptors);
    size_t whole = CHUNK / options->size + 1;
    ring = options->rate > 0 ? RATE_RING : (unsigned)options->depth;
    payload_length = whole * options->size;
    payload = malloc(payload_length);
    memset(payload, 'w', payload_length);
    inbox = malloc(CHUNK);
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)options->connections, sizeof *connections);
    connect_all(options, descriptors);
    for (int index = 0; index < options->connections; index++)
        open_connection(&connections[index], index, descriptors[index]);
    free(descriptors);
}

/* The crowd stands until standard input ends; who measures it says when. */
static void stand_idle(void)
{
    char byte;
    printf("{\"ready\": %d}\n", options->connections);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
}

/* Serves what is ready once; at a rate, sends what is due by `until`. */
static void turn(uint64_t began_ns, uint64_t until)
{
    struct epoll_event events[512];
    int patience = options->rate > 0 ? 0 : options->slow ? 20 : (int)SILENCE_MS;
    int count = epoll_wait(poller, events, 512, patience);
    if (count == 0 && patience == (int)SILENCE_MS) {
        errno = 0;
        fail("the server has done nothing for five seconds");
    }
    for (int index = 0; index < count; index++)
        handle(events[index].data.ptr, events[index].events);
    if (options->mode == SLOW)
        read_slowly(now_ns());
    if (options->rate > 0)
        send_due(began_ns, until);
}

static bool anything_under_way(uint64_t began_ns, uint64_t end_ns)
{
    for (int index = 0; index < options->connections; index++)
        if (connections[index].waiting > 0)
            return true;
    return moment_due(began_ns, next_due) <= end_ns;
}

/* At a rate: the latencies of all that was due by the end of the window and is not answered yet.
 * What GRACE_NS does not bring counts with the age that it has reached. The window's counts of
 * messages and bytes stay. */
static void wait_for_the_rest(uint64_t began_ns, uint64_t end_ns)
{
    uint64_t messages = result->messages, bytes = result->bytes, now;
    while ((now = now_ns()) < end_ns + GRACE_NS && anything_under_way(began_ns, end_ns))
        turn(began_ns, end_ns);
    result->messages = messages;
    result->bytes = bytes;
    for (int index = 0; index < options->connections; index++) {
        const struct connection *connection = &connections[index];
        for (unsigned place = 0; place < connection->waiting; place++, result->unanswered++)
            histogram_add(&result->latency,
                          now - connection->due[(connection->first + place) % ring]);
    }
    for (; moment_due(began_ns, next_due) <= end_ns; next_due++, result->unanswered++)
        histogram_add(&result->latency, now - moment_due(began_ns, next_due));
}

void run_traffic(const struct options *given, struct result *given_result)
{
    options = given;
    result = given_result;
    prepare();
    if (options->mode == IDLE) {
        stand_idle();
        return;
    }
    uint64_t began_ns = now_ns();
    for (int index = 0; index < options->connections; index++)
        start(&connections[index]);
    uint64_t start_ns = began_ns + (uint64_t)(options->warmup_s * 1e9);
    uint64_t end_ns = start_ns + (uint64_t)(options->duration_s * 1e9);
    uint64_t now;
    while ((now = now_ns()) < start_ns)
        turn(began_ns, now);
    window_begin(result, options);
    while ((now = now_ns()) < end_ns)
        turn(began_ns, now);
    window_end(result, options);
    if (options->rate > 0)
        wait_for_the_rest(began_ns, end_ns);
}
