/* What the Guide's programs use of CZMQ 1 and 2 and CZMQ 4 has no longer, written on what CZMQ 4 has.
 * Given to the compiler before each program (-include), so that the programs are built as they are.
 * Sockets close without lingering, as there.
 */
#ifndef SWARMMQ_GUIDE_CZMQ1_H
#define SWARMMQ_GUIDE_CZMQ1_H

#include <czmq.h>
#include <pthread.h>

#ifndef TRUE
#define TRUE true
#define FALSE false
#endif

typedef struct {
    void *context;
    zlist_t *sockets;
} zctx_t;

__attribute__((unused)) static zctx_t *zctx_new(void) {
    zctx_t *made = (zctx_t *)zmalloc(sizeof *made);
    made->context = zmq_ctx_new();
    made->sockets = zlist_new();
    return made;
}

__attribute__((unused)) static void *zsocket_new(zctx_t *of, int type) {
    void *socket = zmq_socket(of->context, type);
    int linger = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zlist_append(of->sockets, socket);
    return socket;
}

__attribute__((unused)) static void zsocket_destroy(zctx_t *of, void *socket) {
    zlist_remove(of->sockets, socket);
    zmq_close(socket);
}

__attribute__((unused)) static void zctx_destroy(zctx_t **gone) {
    void *socket;
    while ((socket = zlist_pop((*gone)->sockets))) zmq_close(socket);
    zlist_destroy(&(*gone)->sockets);
    zmq_ctx_term((*gone)->context);
    free(*gone);
    *gone = NULL;
}

__attribute__((unused)) static int zsocket_bind(void *socket, const char *address) {
    return zmq_bind(socket, address);
}

__attribute__((unused)) static int zsocket_connect(void *socket, const char *address) {
    return zmq_connect(socket, address);
}

__attribute__((unused)) static void zsocket_set_subscribe(void *socket, const char *prefix) {
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix));
}

/* A thread with a pair of sockets between it and its parent, and one without. */
typedef void(guide_attached)(void *arguments, zctx_t *of, void *pipe);
typedef void *(guide_detached)(void *arguments);

struct guide_thread {
    guide_attached *run;
    void *arguments, *pipe;
    zctx_t *of;
};

__attribute__((unused)) static void *guide_begin(void *given) {
    struct guide_thread begun = *(struct guide_thread *)given;
    free(given);
    begun.run(begun.arguments, begun.of, begun.pipe);
    return NULL;
}

__attribute__((unused)) static void *zthread_fork(zctx_t *of, guide_attached *run, void *arguments) {
    static int count;
    char address[64];
    struct guide_thread *begun = (struct guide_thread *)zmalloc(sizeof *begun);
    void *here = zsocket_new(of, ZMQ_PAIR), *there = zsocket_new(of, ZMQ_PAIR);
    pthread_t thread;
    snprintf(address, sizeof address, "inproc://guide-thread-%d", count++);
    zmq_bind(here, address);
    zmq_connect(there, address);
    *begun = (struct guide_thread){ run, arguments, there, of };
    pthread_create(&thread, NULL, guide_begin, begun);
    pthread_detach(thread);
    return here;
}

__attribute__((unused)) static int zthread_new(guide_detached *run, void *arguments) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, arguments);
    return pthread_detach(thread);
}

#define zfile_mkdir(path) zsys_dir_create("%s", path)
#define zfile_delete(path) zsys_file_delete(path)
#define zmsg_load(message, file) zmsg_load(file)
#ifndef zmsg_add
#define zmsg_add(message, frame) guide_add(message, frame)
__attribute__((unused)) static int guide_add(zmsg_t *message, zframe_t *frame) {
    return zmsg_append(message, &frame);
}
#endif

#endif
