/* A load that costs next to nothing, so that what is measured is the proxy and not the load: ZMTP 3.0 by hand, NULL.
 *
 *   lean rr FRONT BACK PEERS SIZE SECONDS WINDOW   clients (DEALER, a window of requests each) and REP workers that echo
 *   lean ps FRONT BACK PEERS SIZE SECONDS 0        publishers and subscribers, each of which wants everything
 *
 * FRONT and BACK are as tcp://127.0.0.1:5555. One thread has all clients or publishers, another one all workers or subscribers.
 * What is sent is encoded once; what comes is read in large pieces, of which only the headers of the frames are looked at.
 * Prints 0, 0, then replies per second, or messages per second that reached subscribers, all together.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX 64
#define READ_BYTES (256 * 1024)

static int peers;
static size_t size, window;
static atomic_int stop;
static atomic_ullong received;

static void die(const char *what) {
    fprintf(stderr, "lean: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A connection. What is to be sent is a piece of `out` that is sent over and over, or, of a worker, what it has read. */
struct peer {
    int socket;
    char *in, *out;
    size_t out_length; /* of what is sent over and over */
    size_t at;         /* how far into it */
    size_t pending;    /* bytes that may be sent now */
    /* Of the frame that is being passed over: what is left of it, its flags, and its header as far as it was read. */
    uint64_t body_left;
    unsigned char header[9];
    int header_length;
};

static void read_exactly(int socket, void *to, size_t length) {
    for (size_t got = 0; got < length;) {
        ssize_t now = read(socket, (char *)to + got, length - got);
        if (now <= 0) die("the handshake");
        got += (size_t)now;
    }
}

static int open_peer(int port, const char *type) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, socket_ = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (socket_ < 0 || connect(socket_, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    unsigned char greeting[64] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0, 'N', 'U', 'L', 'L'}, ready[64] = {4, 0, 5};
    size_t length = strlen(type);
    memcpy(ready + 3, "READY\x0bSocket-Type\0\0\0", 20);
    size_t end = 23; /* what is left is the last byte of the value's length, and the value */
    ready[end++] = (unsigned char)length;
    memcpy(ready + end, type, length);
    end += length;
    ready[1] = (unsigned char)(end - 2);
    if (write(socket_, greeting, 64) != 64 || write(socket_, ready, end) != (ssize_t)end) die("write");
    read_exactly(socket_, greeting, 64);
    read_exactly(socket_, greeting, 2);
    if (greeting[0] != 4) errno = EPROTO, die("not READY");
    read_exactly(socket_, ready, greeting[1]);
    if (memcmp(ready, "\005READY", 6)) errno = EPROTO, die("not READY");
    fcntl(socket_, F_SETFL, O_NONBLOCK);
    return socket_;
}

/* How many messages end in these bytes. */
static uint64_t messages(struct peer *peer, const char *bytes, size_t length) {
    uint64_t ended = 0;
    for (size_t at = 0; at < length;) {
        if (peer->body_left > 0) {
            size_t taken = peer->body_left < length - at ? (size_t)peer->body_left : length - at;
            peer->body_left -= taken;
            at += taken;
        } else {
            peer->header[peer->header_length++] = (unsigned char)bytes[at++];
            int whole = peer->header[0] & 2 ? 9 : 2;
            if (peer->header_length < whole) continue;
            peer->header_length = 0;
            for (int nth = 1; nth < whole; nth++) peer->body_left = peer->body_left << 8 | peer->header[nth];
            if (peer->header[0] & 4) continue; /* a command */
        }
        if (peer->body_left == 0 && peer->header_length == 0 && !(peer->header[0] & 5)) ended++;
    }
    return ended;
}

/* Sends what may be sent, as far as the connection takes it. */
static void send_pending(struct peer *peer) {
    while (peer->pending > 0) {
        size_t length = peer->out_length - peer->at;
        if (length > peer->pending) length = peer->pending;
        ssize_t sent = write(peer->socket, peer->out + peer->at, length);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent <= 0) die("write");
        peer->pending -= (size_t)sent;
        peer->at = (peer->at + (size_t)sent) % peer->out_length;
    }
}

static size_t receive(struct peer *peer, char *into) {
    ssize_t got = read(peer->socket, into, READ_BYTES);
    if (got == 0) errno = ECONNRESET;
    if (got == 0 || (got < 0 && errno != EAGAIN)) die("read");
    return got < 0 ? 0 : (size_t)got;
}

static void set_up(struct peer *all, struct pollfd *polled, int port, const char *type) {
    for (int nth = 0; nth < peers; nth++) {
        memset(&all[nth], 0, sizeof all[nth]);
        all[nth].socket = polled[nth].fd = open_peer(port, type);
        polled[nth].events = POLLIN;
    }
}

static size_t put_frame(char *out, int more) {
    if (size < 256) {
        out[0] = (char)more, out[1] = (char)size;
        memset(out + 2, 'x', size);
        return size + 2;
    }
    out[0] = (char)(2 | more);
    for (int nth = 0; nth < 8; nth++) out[1 + nth] = (char)(size >> (8 * (7 - nth)));
    memset(out + 9, 'x', size);
    return size + 9;
}

static void *clients(void *port) {
    struct peer all[PEERS_MAX];
    struct pollfd polled[PEERS_MAX];
    char *in = malloc(READ_BYTES), *requests = malloc((size + 16) * window);
    set_up(all, polled, *(int *)port, "DEALER");
    size_t length = 0;
    for (size_t nth = 0; nth < window; nth++) {
        requests[length++] = 1, requests[length++] = 0; /* the delimiter */
        length += put_frame(requests + length, 0);
    }
    for (int nth = 0; nth < peers; nth++) {
        all[nth].out = requests, all[nth].out_length = all[nth].pending = length;
        send_pending(&all[nth]);
    }
    while (!stop) {
        if (poll(polled, (nfds_t)peers, 200) < 0) die("poll");
        for (int nth = 0; nth < peers; nth++) {
            struct peer *peer = &all[nth];
            if (polled[nth].revents & POLLIN) {
                uint64_t replies = messages(peer, in, receive(peer, in));
                received += replies;
                peer->pending += replies * (length / window);
            }
            if (polled[nth].revents) send_pending(peer);
            polled[nth].events = (short)(POLLIN | (peer->pending ? POLLOUT : 0));
        }
    }
    return NULL;
}

/* An echo of the bytes is an echo of the messages. */
static void *workers(void *port) {
    struct peer all[PEERS_MAX];
    struct pollfd polled[PEERS_MAX];
    set_up(all, polled, *(int *)port, "REP");
    for (int nth = 0; nth < peers; nth++) all[nth].out = malloc(READ_BYTES);
    while (!stop) {
        if (poll(polled, (nfds_t)peers, 200) < 0) die("poll");
        for (int nth = 0; nth < peers; nth++) {
            struct peer *peer = &all[nth];
            if (polled[nth].revents & POLLIN) {
                peer->at = 0;
                peer->out_length = peer->pending = receive(peer, peer->out);
            }
            if (polled[nth].revents) send_pending(peer);
            polled[nth].events = peer->pending ? POLLOUT : POLLIN;
        }
    }
    return NULL;
}

static void *publishers(void *port) {
    struct peer all[PEERS_MAX];
    struct pollfd polled[PEERS_MAX];
    char *in = malloc(READ_BYTES);
    size_t count = 64 * 1024 / (size + 9) + 1, length = 0;
    char *block = malloc((size + 9) * count);
    set_up(all, polled, *(int *)port, "PUB");
    for (size_t nth = 0; nth < count; nth++) length += put_frame(block + length, 0);
    usleep(500000); /* the subscriptions of the other side have to come first */
    for (int nth = 0; nth < peers; nth++) all[nth].out = block, all[nth].out_length = length;
    while (!stop) {
        for (int nth = 0; nth < peers; nth++) polled[nth].events = POLLIN | POLLOUT;
        if (poll(polled, (nfds_t)peers, 200) < 0) die("poll");
        for (int nth = 0; nth < peers; nth++) {
            if (polled[nth].revents & POLLIN) receive(&all[nth], in); /* subscriptions */
            if (polled[nth].revents & POLLOUT) {
                /* What the last write left of a block, or a block more. */
                if (all[nth].pending == 0) all[nth].pending = length;
                send_pending(&all[nth]);
            }
        }
    }
    return NULL;
}

static void *subscribers(void *port) {
    struct peer all[PEERS_MAX];
    struct pollfd polled[PEERS_MAX];
    char *in = malloc(READ_BYTES);
    set_up(all, polled, *(int *)port, "SUB");
    for (int nth = 0; nth < peers; nth++)
        if (write(all[nth].socket, "\0\001\001", 3) != 3) die("subscribe");
    while (!stop) {
        if (poll(polled, (nfds_t)peers, 200) < 0) die("poll");
        for (int nth = 0; nth < peers; nth++)
            if (polled[nth].revents & POLLIN) received += messages(&all[nth], in, receive(&all[nth], in));
    }
    return NULL;
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc != 8) return fprintf(stderr, "lean: see the head of lean.c\n"), 2;
    int is_rr = strcmp(argv[1], "rr") == 0;
    int front = atoi(strrchr(argv[2], ':') + 1), back = atoi(strrchr(argv[3], ':') + 1);
    peers = atoi(argv[4]), size = (size_t)atol(argv[5]), window = (size_t)atol(argv[7]);
    if (peers < 1 || peers > PEERS_MAX || size < 1) return 2;
    pthread_t one, two;
    pthread_create(&two, NULL, is_rr ? workers : subscribers, &back);
    usleep(500000);
    pthread_create(&one, NULL, is_rr ? clients : publishers, &front);
    usleep(1500000); /* the start is not counted */
    unsigned long long before = received;
    double began = now();
    usleep((useconds_t)(atof(argv[6]) * 1e6));
    printf("0 0 %.0f\n", (double)(received - before) / (now() - began));
    stop = 1;
    pthread_join(one, NULL), pthread_join(two, NULL);
    return 0;
}
