/* What the parts of the load generator share.
 *
 *   main.c        options, the result as one JSON object on standard output
 *   network.c     connecting, from several loopback addresses
 *   traffic.c     echo, sink, source, slow, idle, and echo at a given rate: long-lived connections
 *   churn.c       connect, one echo, close
 *   check.c       does the server do the work at all? bytes, back-pressure, half close
 *   measure.c     clocks, the server's CPU time, the histogram
 *
 * One thread, one epoll, level-triggered. It has a CPU of its own, so it may spin; it must never be
 * the reason that a server waits, and it says so itself when it was (busy, a share of its own CPU).
 */
#ifndef WSOCK_LOAD_H
#define WSOCK_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mode { ECHO, CHURN, SINK, SOURCE, SLOW, IDLE, CHECK, CHECK_SINK, CHECK_SOURCE,
            CHECK_PRESSURE };

struct options {
    const char *host;
    int port;
    enum mode mode;
    const char *mode_name;
    int connections;
    size_t size; /* bytes of a message */
    int depth;   /* messages under way on one connection */
    double warmup_s;
    double duration_s;
    double rate; /* messages a second on all connections together; 0: closed loop */
    int sources; /* so many loopback addresses to connect from, 127.0.0.2 upwards */
    int slow;    /* mode slow: so many of the connections read 4 KiB every 100 ms */
    double patience_s; /* the checks: so long a server may do nothing that it should do */
    pid_t server;
};

struct cpu {
    uint64_t total_ns; /* exact, all threads, also those that have ended */
    double user_s, system_s; /* by the kernel's bookkeeping, to 10 ms */
};

struct histogram {
    uint64_t buckets[8192]; /* 128 to each power of two: steps of 0.8 % */
    uint64_t count;
};

struct result {
    uint64_t messages, bytes;
    uint64_t unanswered; /* at a rate: due, and not answered a second after the window */
    double seconds;
    struct cpu server;
    double busy; /* share of its CPU that the load generator itself used; ~1 when it spins */
    struct histogram latency;
};

uint64_t now_ns(void);
struct cpu cpu_of(pid_t pid); /* pid 0: nothing is known */
uint64_t own_cpu_ns(void);
void histogram_add(struct histogram *histogram, uint64_t ns);
uint64_t histogram_at(const struct histogram *histogram, double share);
uint64_t histogram_floor(int bucket);

/* Measures from begin to end: call with the counts at both edges of the window. */
void window_begin(struct result *result, const struct options *options);
void window_end(struct result *result, const struct options *options);

int connect_from(const struct options *options, int index, bool blocking);
void connect_all(const struct options *options, int *descriptors);

void run_traffic(const struct options *options, struct result *result);
void run_churn(const struct options *options, struct result *result);
void run_check(const struct options *options);

/* Prints {"error": "..."} with the system's reason and ends the process with status 1. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
