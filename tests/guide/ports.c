/* Loaded before libzmq (LD_PRELOAD): where a program of the Guide binds a port, it connects to the node instead, as the
 * Guide's servers and publishers bind what their own clients connect to, and between them there is a broker.
 *
 * GUIDE_CONNECT holds pairs, as "5556=tcp://127.0.0.1:5555 5563=tcp://127.0.0.1:5562": who binds the first, connects to the
 * second. Other addresses are bound as they are. Programs also write each line when it is complete, into a file too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

__attribute__((constructor)) static void write_lines(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

int zmq_bind(void *socket, const char *address) {
    int (*bind)(void *, const char *) = (int (*)(void *, const char *))dlsym(RTLD_NEXT, "zmq_bind");
    const char *pairs = getenv("GUIDE_CONNECT"), *port = strrchr(address, ':');
    int used;
    char bound[16], instead[128];
    while (pairs && port && sscanf(pairs, " %15[0-9]=%127s%n", bound, instead, &used) == 2) {
        if (strcmp(bound, port + 1) == 0) return zmq_connect(socket, instead);
        pairs += used;
    }
    return bind(socket, address);
}
