/* The load of the ZeroMQ benchmark, and libzmq's own proxy, as a user would run them.
 *
 *   load proxy rr|ps FRONT BACK             zmq_proxy between ROUTER and DEALER, or XSUB and XPUB
 *   load rr FRONT BACK PEERS SIZE SECONDS   clients (DEALER, a window of requests each) and REP workers
 *   load mdp FRONT BACK PEERS SIZE SECONDS  clients, likewise, and workers of Majordomo 0.1 that echo
 *   load ps FRONT BACK PEERS SIZE SECONDS   publishers and subscribers, each of which wants everything
 *   load keys                               a new CURVE key pair, public and secret, in Z85
 *
 * rr and mdp print: the median and the 99th percentile of the round trips of one client with one request at a time, in
 * microseconds, and replies per second. ps prints: 0, 0, messages per second that reached subscribers, all together, and
 * those sent.
 *
 * With CURVE_SERVER, CURVE_PUBLIC and CURVE_SECRET in the environment (the server's public key, and a pair of the peers')
 * everything is encrypted; the proxy takes CURVE_SECRET for its own, and, without a ZAP handler, any peer's key.
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
static int size, is_mdp;
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

static void encrypt(void *socket, int is_server) {
    const char *server = getenv("CURVE_SERVER"), *public = getenv("CURVE_PUBLIC"), *secret = getenv("CURVE_SECRET");
    if (!server || !public || !secret) return;
    if (is_server) {
        if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof is_server)) die("curve");
    } else {
        if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server, 41)) die("the server's key");
        if (zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public, 41)) die("the public key");
    }
    if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 41)) die("the secret key");
}

static void *open_socket(int type, const char *address) {
    void *socket = zmq_socket(context, type);
    int linger = 0, timeout = 200;
    if (!socket) die("socket");
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    if (type == ZMQ_SUB) zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    encrypt(socket, 0);
    if (zmq_connect(socket, address)) die(address);
    return socket;
}

static void proxy(const char *kind) {
    int rr = strcmp(kind, "rr") == 0;
    void *one = zmq_socket(context, rr ? ZMQ_ROUTER : ZMQ_XSUB);
    void *two = zmq_socket(context, rr ? ZMQ_DEALER : ZMQ_XPUB);
    encrypt(one, 1), encrypt(two, 1);
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

/* A command of a worker: the frames before what it carries. */
static void command(void *socket, const char *what, int more) {
    zmq_send(socket, "", 0, ZMQ_SNDMORE);
    zmq_send(socket, "MDPW01", 6, ZMQ_SNDMORE);
    zmq_send(socket, what, 1, more ? ZMQ_SNDMORE : 0);
}

static void *mdp_worker(void *unused) {
    void *socket = open_socket(ZMQ_DEALER, front);
    char frames[6][256], *body = malloc((size_t)size);
    uint64_t beaten = now_ns();
    (void)unused;
    command(socket, "\001", 1);
    zmq_send(socket, "echo", 4, 0);
    while (!stop) {
        int more = 1, count = 0, address = 0, got = 0;
        size_t length = sizeof more;
        if (now_ns() - beaten > 1000000000u) {
            command(socket, "\004", 0);
            beaten = now_ns();
        }
        /* empty, MDPW01, the command; of a request also the client's address, empty, and the body */
        for (; more && count < 6; count++) {
            int is_body = count == 5;
            int bytes = zmq_recv(socket, is_body ? body : frames[count], is_body ? (size_t)size : sizeof frames[0], 0);
            if (bytes < 0) break;
            if (count == 3) address = bytes;
            if (is_body) got = bytes;
            zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &length);
        }
        if (count < 6) continue;
        command(socket, "\003", 1);
        zmq_send(socket, frames[3], (size_t)address, ZMQ_SNDMORE);
        zmq_send(socket, "", 0, ZMQ_SNDMORE);
        zmq_send(socket, body, (size_t)got, 0);
    }
    zmq_close(socket);
    free(body);
    return unused;
}

/* A request of Majordomo begins with these; so does its reply. */
static int send_service(void *socket) {
    if (!is_mdp) return 0;
    if (zmq_send(socket, "MDPC01", 6, ZMQ_SNDMORE) < 0) return -1;
    return zmq_send(socket, "echo", 4, ZMQ_SNDMORE);
}

static int receive_service(void *socket) {
    char frame[16];
    if (!is_mdp) return 0;
    if (zmq_recv(socket, frame, sizeof frame, 0) < 0) return -1;
    return zmq_recv(socket, frame, sizeof frame, 0);
}

static void *client(void *unused) {
    void *socket = open_socket(ZMQ_DEALER, front);
    char *body = calloc(1, (size_t)size);
    int open = 0;
    (void)unused;
    while (!stop) {
        while (open < WINDOW) {
            if (zmq_send(socket, "", 0, ZMQ_SNDMORE) < 0) break;
            if (send_service(socket) < 0) break;
            if (zmq_send(socket, body, (size_t)size, 0) < 0) break;
            open++;
        }
        do {
            char delimiter[8];
            if (zmq_recv(socket, delimiter, sizeof delimiter, 0) < 0) break;
            if (receive_service(socket) < 0) break;
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
    int patience = 10000; /* a machine that stalls is no lost reply */
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    char *body = calloc(1, (size_t)size);
    uint32_t *samples = malloc(SAMPLES_MAX * sizeof *samples);
    size_t count = 0;
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end && count < SAMPLES_MAX) {
        uint64_t began = now_ns();
        if (send_service(socket) < 0 || zmq_send(socket, body, (size_t)size, 0) < 0) die("a request is not taken");
        if (receive_service(socket) < 0 || zmq_recv(socket, body, (size_t)size, 0) < 0) die("no reply");
        samples[count++] = (uint32_t)((now_ns() - began) / 1000);
    }
    qsort(samples, count, sizeof *samples, order);
    printf(" %u %u", samples[count / 2], samples[count * 99 / 100]);
    zmq_close(socket);
}

static void *publisher(void *unused) {
    void *socket = open_socket(ZMQ_PUB, front);
    int waits = 1; /* a publisher that drops takes the processor from those that it is to be measured with */
    if (zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &waits, sizeof waits)) die("nodrop");
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
    if (argc == 2 && strcmp(argv[1], "keys") == 0) {
        char public[41], secret[41];
        if (zmq_curve_keypair(public, secret)) die("libzmq without CURVE");
        return printf("%s\n%s\n", public, secret) < 0;
    }
    if (argc == 5 && strcmp(argv[1], "proxy") == 0) {
        front = argv[3], back = argv[4];
        proxy(argv[2]);
        return 0;
    }
    if (argc != 7) return fprintf(stderr, "load: see the head of load.c\n"), 2;
    is_mdp = strcmp(argv[1], "mdp") == 0;
    int rr = is_mdp || strcmp(argv[1], "rr") == 0, peers = atoi(argv[4]);
    double seconds = atof(argv[6]);
    front = argv[2], back = argv[3], size = atoi(argv[5]);
    pthread_t threads[2 * 64];
    if (peers < 1 || peers > 64) return 2;
    for (int nth = 0; nth < peers; nth++) pthread_create(&threads[nth], NULL, is_mdp ? mdp_worker : rr ? worker : subscriber, NULL);
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
