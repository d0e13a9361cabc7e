/* Clocks, the server's CPU time, the latency histogram. Knows nothing of sockets. */
#include "load.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

uint64_t own_cpu_ns(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

/* User and system time are fields 14 and 15 of /proc/PID/stat; the name before them, in
 * parentheses, may hold blanks, so counting begins after the last parenthesis. */
static void read_stat(pid_t pid, struct cpu *cpu)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *rest = strrchr(text, ')');
    unsigned long user, system;
    if (rest == NULL)
        return;
    if (sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system)
        == 2) {
        double ticks = (double)sysconf(_SC_CLK_TCK);
        cpu->user_s = (double)user / ticks;
        cpu->system_s = (double)system / ticks;
    }
}

struct cpu cpu_of(pid_t pid)
{
    struct cpu cpu = {0, 0, 0};
    clockid_t clock;
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0)
        return cpu;
    cpu.total_ns = read_clock(clock);
    read_stat(pid, &cpu);
    return cpu;
}

/* ns below 128 have a bucket each; above, the seven bits after the highest one choose it. */
void histogram_add(struct histogram *histogram, uint64_t ns)
{
    int shift = ns < 128 ? 0 : 63 - __builtin_clzll(ns) - 7;
    int bucket = shift * 128 + (int)(ns >> shift);
    histogram->buckets[bucket < 8191 ? bucket : 8191]++;
    histogram->count++;
}

uint64_t histogram_floor(int bucket)
{
    if (bucket < 256)
        return (uint64_t)bucket;
    int shift = bucket / 128 - 1;
    return (uint64_t)(bucket - shift * 128) << shift;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share), seen = 0;
    for (int bucket = 0; bucket < 8192; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen > wanted)
            return histogram_floor(bucket);
    }
    return 0;
}

static uint64_t began_ns, own_began_ns;

void window_begin(struct result *result, const struct options *options)
{
    memset(result, 0, sizeof *result);
    result->server = cpu_of(options->server);
    own_began_ns = own_cpu_ns();
    began_ns = now_ns();
}

void window_end(struct result *result, const struct options *options)
{
    uint64_t ended_ns = now_ns();
    struct cpu after = cpu_of(options->server);
    result->seconds = (double)(ended_ns - began_ns) / 1e9;
    result->busy = (double)(own_cpu_ns() - own_began_ns) / (double)(ended_ns - began_ns);
    result->server.total_ns = after.total_ns - result->server.total_ns;
    result->server.user_s = after.user_s - result->server.user_s;
    result->server.system_s = after.system_s - result->server.system_s;
}
