/* The load of the ZeroMQ benchmark, and libzmq's own proxy, as a user would run them.
 *
 *   load proxy rr|ps FRONT BACK            zmq_proxy between ROUTER and DEALER, or XSUB and XPUB
 *   load rr FRONT BACK PEERS SIZE SECONDS  clients (DEALER, a window of requests each) and REP workers
 *   load ps FRONT BACK PEERS SIZE SECONDS  publishers and subscribers, each of which wants everything
 *
 * rr prints: replies per second, and the median and the 99th percentile of the round trips of one client with one request
 * at a time, in microseconds. ps prints: messages per second that reached subscribers, all together, and those sent.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define WINDOW 64
#define SAMPLES_MAX 2000000

static void *context;
static const char *front, *back;
static int size;
static atomic_int stop;
static atomic_ullong received, sent;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void *open_socket(int type, const char *address) {
    void *socket = zmq_socket(context, type);
    int linger = 0, timeout = 200;
    if (!socket) die("socket");
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    if (type == ZMQ_SUB) zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    if (zmq_connect(socket, address)) die(address);
    return socket;
}

static void proxy(const char *kind) {
    int rr = strcmp(kind, "rr") == 0;
    void *one = zmq_socket(context, rr ? ZMQ_ROUTER : ZMQ_XSUB);
    void *two = zmq_socket(context, rr ? ZMQ_DEALER : ZMQ_XPUB);
    if (zmq_bind(one, front) || zmq_bind(two, back)) die("bind");
    zmq_proxy(one, two, NULL);
}

static void *worker(void *unused) {
    void *socket = open_socket(ZMQ_REP, back);
    char *body = malloc((size_t)size);
    (void)unused;
    while (!stop) {
        int got = zmq_recv(socket, body, (size_t)size, 0);
        if (got < 0) continue;
        while (!stop && zmq_send(socket, body, (size_t)got, 0) < 0) {}
    }
    zmq_close(socket);
    free(body);
    return unused;
}

static void *client(void *unused) {
    void *socket = open_socket(ZMQ_DEALER, front);
    char *body = calloc(1, (size_t)size);
    int open = 0;
    (void)unused;
    while (!stop) {
        while (open < WINDOW) {
            if (zmq_send(socket, "", 0, ZMQ_SNDMORE) < 0) break;
            if (zmq_send(socket, body, (size_t)size, 0) < 0) break;
            open++;
        }
        do {
            char delimiter[8];
            if (zmq_recv(socket, delimiter, sizeof delimiter, 0) < 0) break;
            if (zmq_recv(socket, body, (size_t)size, 0) < 0) break;
            open--;
            received++;
        } while (open > WINDOW / 2);
    }
    zmq_close(socket);
    free(body);
    return unused;
}

static int order(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* One request at a time, for as long as `seconds`. */
static void round_trips(double seconds) {
    void *socket = open_socket(ZMQ_REQ, front);
    char *body = calloc(1, (size_t)size);
    uint32_t *samples = malloc(SAMPLES_MAX * sizeof *samples);
    size_t count = 0;
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end && count < SAMPLES_MAX) {
        uint64_t began = now_ns();
        if (zmq_send(socket, body, (size_t)size, 0) < 0) die("a request is not taken");
        if (zmq_recv(socket, body, (size_t)size, 0) < 0) die("no reply");
        samples[count++] = (uint32_t)((now_ns() - began) / 1000);
    }
    qsort(samples, count, sizeof *samples, order);
    printf(" %u %u", samples[count / 2], samples[count * 99 / 100]);
    zmq_close(socket);
}

static void *publisher(void *unused) {
    void *socket = open_socket(ZMQ_PUB, front);
    char *body = calloc(1, (size_t)size);
    (void)unused;
    usleep(500000); /* the subscriptions of the other side have to come first */
    while (!stop) {
        if (zmq_send(socket, body, (size_t)size, 0) >= 0) sent++;
    }
    zmq_close(socket);
    return unused;
}

static void *subscriber(void *unused) {
    void *socket = open_socket(ZMQ_SUB, back);
    char *body = malloc((size_t)size);
    (void)unused;
    while (!stop) {
        if (zmq_recv(socket, body, (size_t)size, 0) >= 0) received++;
    }
    zmq_close(socket);
    return unused;
}

int main(int argc, char **argv) {
    context = zmq_ctx_new();
    if (argc == 5 && strcmp(argv[1], "proxy") == 0) {
        front = argv[3], back = argv[4];
        proxy(argv[2]);
        return 0;
    }
    if (argc != 7) return fprintf(stderr, "load: see the head of load.c\n"), 2;
    int rr = strcmp(argv[1], "rr") == 0, peers = atoi(argv[4]);
    double seconds = atof(argv[6]);
    front = argv[2], back = argv[3], size = atoi(argv[5]);
    pthread_t threads[2 * 64];
    if (peers < 1 || peers > 64) return 2;
    for (int nth = 0; nth < peers; nth++) pthread_create(&threads[nth], NULL, rr ? worker : subscriber, NULL);
    usleep(500000);
    if (rr) {
        round_trips(seconds / 2); /* prints, behind what comes first: so it is kept */
    }
    for (int nth = 0; nth < peers; nth++)
        pthread_create(&threads[peers + nth], NULL, rr ? client : publisher, NULL);
    usleep(1000000); /* the start is not counted */
    unsigned long long before = received, sent_before = sent;
    uint64_t began = now_ns();
    usleep((useconds_t)(seconds * 1e6));
    double took = (double)(now_ns() - began) / 1e9;
    double rate = (double)(received - before) / took, sent_rate = (double)(sent - sent_before) / took;
    stop = 1;
    for (int nth = 0; nth < 2 * peers; nth++) pthread_join(threads[nth], NULL);
    printf(rr ? " %.0f\n" : " 0 0 %.0f %.0f\n", rate, sent_rate);
    return 0;
}
