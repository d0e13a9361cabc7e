/* Options in, one JSON object out. Sends nothing itself. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char *const MODES[] = {"echo", "churn", "sink", "source", "slow", "idle",
                                    "check", "check-sink", "check-source", "check-pressure"};

void fail(const char *format, ...)
{
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    printf("{\"error\": \"");
    vprintf(format, arguments);
    printf("%s%s\"}\n", error ? ": " : "", error ? strerror(error) : "");
    va_end(arguments);
    exit(1);
}

static void usage(void)
{
    fputs("load --port PORT [--host ADDRESS] \n"
          "     [--mode echo|churn|sink|source|slow|idle|\n"
          "             check|check-sink|check-source|check-pressure]\n"
          "     [--connections N] [--size BYTES] [--depth MESSAGES] [--warmup S] [--duration S]\n"
          "     [--rate MESSAGES_A_SECOND] [--sources ADDRESSES] [--slow N] [--server-pid PID]\n"
          "     [--patience S]\n",
          stderr);
    exit(2);
}

static enum mode parse_mode(struct options *options, const char *text)
{
    for (size_t index = 0; index < sizeof MODES / sizeof *MODES; index++)
        if (strcmp(text, MODES[index]) == 0) {
            options->mode_name = MODES[index];
            return (enum mode)index;
        }
    usage();
    return ECHO;
}

static void set_option(struct options *options, int option, const char *value)
{
    switch (option) {
    case 'h': options->host = value; break;
    case 'p': options->port = atoi(value); break;
    case 'm': options->mode = parse_mode(options, value); break;
    case 'c': options->connections = atoi(value); break;
    case 's': options->size = (size_t)atol(value); break;
    case 'd': options->depth = atoi(value); break;
    case 'w': options->warmup_s = atof(value); break;
    case 't': options->duration_s = atof(value); break;
    case 'r': options->rate = atof(value); break;
    case 'a': options->sources = atoi(value); break;
    case 'l': options->slow = atoi(value); break;
    case 'e': options->patience_s = atof(value); break;
    case 'i': options->server = (pid_t)atoi(value); break;
    default: usage();
    }
}

static void parse(struct options *options, int count, char **words)
{
    static const struct option names[] = {
        {"host", 1, 0, 'h'}, {"port", 1, 0, 'p'}, {"mode", 1, 0, 'm'},
        {"connections", 1, 0, 'c'}, {"size", 1, 0, 's'}, {"depth", 1, 0, 'd'},
        {"warmup", 1, 0, 'w'}, {"duration", 1, 0, 't'}, {"rate", 1, 0, 'r'},
        {"sources", 1, 0, 'a'}, {"slow", 1, 0, 'l'}, {"server-pid", 1, 0, 'i'},
        {"patience", 1, 0, 'e'}, {0, 0, 0, 0}};
    for (int option; (option = getopt_long(count, words, "", names, NULL)) != -1;)
        set_option(options, option, optarg);
    if (options->port <= 0 || options->connections <= 0 || options->size == 0
        || options->depth <= 0 || options->sources <= 0 || options->duration_s <= 0)
        usage();
    errno = 0;
    if (options->rate > 0 && options->mode != ECHO) /* the loop would be closed all the same */
        fail("a rate is for mode echo, not for %s", options->mode_name);
}

/* As many descriptors as connections, and a few: the soft limit is raised as far as it goes. */
static void raise_descriptor_limit(const struct options *options)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options->connections + 64;
    getrlimit(RLIMIT_NOFILE, &limit);
    errno = 0;
    if (limit.rlim_max < wanted)
        fail("%d connections need %lu descriptors, the hard limit is %lu", options->connections,
             (unsigned long)wanted, (unsigned long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* In a closed loop a slow server is asked less often just when it is slow (coordinated omission),
 * so above the median its percentiles flatter it and are not told. */
static void print_latency(const struct options *options, const struct result *result)
{
    const struct histogram *latency = &result->latency;
    printf(", \"p50_us\": %.2f", (double)histogram_at(latency, 0.5) / 1e3);
    if (options->rate <= 0)
        return;
    printf(", \"unanswered\": %lu", (unsigned long)result->unanswered);
    printf(", \"p90_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f",
           (double)histogram_at(latency, 0.9) / 1e3, (double)histogram_at(latency, 0.99) / 1e3,
           (double)histogram_at(latency, 0.999) / 1e3);
    printf(", \"histogram_us\": [");
    const char *separator = "";
    for (int bucket = 0; bucket < 8192; bucket++)
        if (latency->buckets[bucket]) {
            printf("%s[%.3f, %lu]", separator, (double)histogram_floor(bucket) / 1e3,
                   (unsigned long)latency->buckets[bucket]);
            separator = ", ";
        }
    printf("]");
}

static void print_result(const struct options *options, const struct result *result)
{
    printf("{\"generator\": \"c\", \"mode\": \"%s\", \"connections\": %d, \"size\": %zu, "
           "\"depth\": %d, \"rate\": %.1f, \"seconds\": %.6f, \"messages\": %lu, \"bytes\": %lu, "
           "\"server_cpu_ns\": %lu, \"server_user_s\": %.2f, \"server_system_s\": %.2f, "
           "\"generator_busy\": %.3f",
           options->mode_name, options->connections, options->size, options->depth, options->rate,
           result->seconds, (unsigned long)result->messages, (unsigned long)result->bytes,
           (unsigned long)result->server.total_ns, result->server.user_s, result->server.system_s,
           result->busy);
    if (result->latency.count)
        print_latency(options, result);
    printf("}\n");
}

int main(int count, char **words)
{
    static struct options options = {.host = "127.0.0.1", .mode = ECHO, .mode_name = "echo",
        .connections = 50, .size = 64, .depth = 1, .warmup_s = 0.5, .duration_s = 2.0,
        .sources = 16, .patience_s = 10.0};
    static struct result result;
    parse(&options, count, words);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit(&options);
    errno = 0;
    if (options.mode >= CHECK) {
        run_check(&options);
        return 0;
    }
    if (options.mode == CHURN)
        run_churn(&options, &result);
    else
        run_traffic(&options, &result);
    print_result(&options, &result);
    return 0;
}
