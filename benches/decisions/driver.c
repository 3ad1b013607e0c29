/* The requesting side, the same for every handler: asks a ZAP handler as fast as it answers, and counts the answers.
 *
 * Isn't linked with a libzmq: the caller passes the functions of the library that the sockets belong to. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { _Alignas(8) unsigned char bytes[64]; } message; /* zmq_msg_t */
typedef struct { void *socket; int fd; short events, revents; } pollitem; /* zmq_pollitem_t, outside Windows */

/* In the order of `NAMES` in driver.rs. */
struct functions {
    int (*send)(void *, const void *, size_t, int);
    int (*msg_init)(message *);
    int (*msg_recv)(message *, void *, int);
    void *(*msg_data)(message *);
    size_t (*msg_size)(const message *);
    int (*msg_more)(const message *);
    int (*msg_close)(message *);
    int (*poll)(pollitem *, int, long);
    int (*error)(void);
};

enum { DONTWAIT = 1, SNDMORE = 2, POLLIN_ = 1, DEADLINE_MS = 20000 };

struct load {
    /* The requests, one after another: whether it should be accepted (1 byte), then the length (1 byte) and bytes of the
     * address and of each credentials frame. One of every two should be accepted. */
    const uint8_t *requests;
    uint64_t size;
    /* The position in them, kept between runs. */
    uint64_t cursor;
    const char *mechanism;
    uint64_t credentials;
    /* Outstanding requests of each socket. */
    uint64_t window;
    /* The number of answers before the clock starts. */
    uint64_t warm_up;
    double seconds;
    /* The nanoseconds of each answer after the warm-up, while there is room; may be null. */
    uint32_t *latencies;
    uint64_t room;
};

struct result {
    uint64_t asked, expected, allowed, refused, other;
    /* Answers on the clock. */
    uint64_t answers, latencies;
    double seconds;
    /* CPU seconds on the clock, of the calling thread and of all others in the process. */
    double own_cpu, other_cpu;
};

struct run {
    const struct functions *zmq;
    struct load *load;
    struct result *result;
    message reply;
    size_t mechanism_length;
    uint64_t started, deadline, answered;
    double own_cpu, process_cpu;
};

struct asker { void *socket; uint64_t asked, answered, *times; };

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double cpu(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int ask(struct run *run, struct asker *asker) {
    const struct functions *zmq = run->zmq;
    struct load *load = run->load;
    void *socket = asker->socket;
    const uint8_t *request = load->requests + load->cursor;
    int sent = 0;
    if (load->latencies) asker->times[asker->asked % load->window] = now();
    run->result->expected += *request++;
    sent |= zmq->send(socket, "", 0, SNDMORE);
    sent |= zmq->send(socket, "1.0", 3, SNDMORE);
    sent |= zmq->send(socket, "1", 1, SNDMORE);
    sent |= zmq->send(socket, "bench", 5, SNDMORE);
    sent |= zmq->send(socket, request + 1, *request, SNDMORE);
    request += 1 + *request;
    sent |= zmq->send(socket, "", 0, SNDMORE);
    sent |= zmq->send(socket, load->mechanism, run->mechanism_length, load->credentials ? SNDMORE : 0);
    for (uint64_t left = load->credentials; left > 0; left--) {
        sent |= zmq->send(socket, request + 1, *request, left > 1 ? SNDMORE : 0);
        request += 1 + *request;
    }
    load->cursor = (uint64_t)(request - load->requests);
    if (load->cursor >= load->size) load->cursor = 0;
    asker->asked++;
    run->result->asked++;
    return sent < 0 ? -1 : 0;
}

/* Receives a reply: 1 if there was one, 0 if there is none yet, -1 if libzmq failed. */
static int receive(struct run *run, struct asker *asker, int flags) {
    const struct functions *zmq = run->zmq;
    message *reply = &run->reply;
    char status = 0;
    int frames = 0;
    do {
        if (zmq->msg_recv(reply, asker->socket, frames ? 0 : flags) < 0)
            return frames == 0 && flags == DONTWAIT && zmq->error() == EAGAIN ? 0 : -1;
        if (frames == 3 && zmq->msg_size(reply) == 3) status = *(const char *)zmq->msg_data(reply);
        frames++;
    } while (zmq->msg_more(reply));
    struct result *result = run->result;
    if (frames != 7) result->other++;
    else if (status == '2') result->allowed++;
    else if (status == '4') result->refused++;
    else result->other++;
    return 1;
}

/* Records the answer, and asks again, unless the time is over and half of the requests should have been accepted. */
static int go_on(struct run *run, struct asker *asker) {
    struct load *load = run->load;
    struct result *result = run->result;
    run->answered++;
    if (run->answered == load->warm_up) {
        run->started = now();
        run->deadline = run->started + (uint64_t)(load->seconds * 1e9);
        run->own_cpu = cpu(CLOCK_THREAD_CPUTIME_ID);
        run->process_cpu = cpu(CLOCK_PROCESS_CPUTIME_ID);
    }
    if (load->latencies) {
        uint64_t time = now();
        if (run->answered > load->warm_up && result->latencies < load->room)
            load->latencies[result->latencies++] = (uint32_t)(time - asker->times[asker->answered % load->window]);
        if (run->started && time >= run->deadline) run->deadline = 0;
    } else if (run->started && run->answered % 64 == 0 && now() >= run->deadline) {
        run->deadline = 0;
    }
    asker->answered++;
    int over = run->started && run->deadline == 0;
    return over && result->asked % 2 == 0 ? 0 : ask(run, asker);
}

static int one(struct run *run, struct asker *asker) {
    while (run->answered < run->result->asked)
        if (receive(run, asker, 0) < 0 || go_on(run, asker) < 0) return -1;
    return 0;
}

static int many(struct run *run, struct asker *askers, pollitem *items, int count) {
    while (run->answered < run->result->asked) {
        if (run->zmq->poll(items, count, DEADLINE_MS) <= 0) return -1;
        for (int i = 0; i < count; i++) {
            if (!items[i].revents) continue;
            for (uint64_t turn = 0; turn < run->load->window; turn++) {
                int received = receive(run, &askers[i], DONTWAIT);
                if (received < 0 || (received && go_on(run, &askers[i]) < 0)) return -1;
                if (!received) break;
            }
        }
    }
    return 0;
}

/* Returns 0, or -1 if libzmq failed or an answer was missing. The sockets must be connected, without high-water marks, and
 * with a receive timeout. */
int drive(const struct functions *zmq, void **sockets, int count, struct load *load, struct result *result) {
    struct run run = {.zmq = zmq, .load = load, .result = result, .mechanism_length = strlen(load->mechanism)};
    struct asker *askers = calloc((size_t)count, sizeof *askers);
    pollitem *items = calloc((size_t)count, sizeof *items);
    uint64_t *times = calloc((size_t)count * load->window, sizeof *times);
    int failed = askers && items && times ? 0 : -1;
    memset(result, 0, sizeof *result);
    zmq->msg_init(&run.reply);
    for (int i = 0; !failed && i < count; i++) {
        askers[i] = (struct asker){.socket = sockets[i], .times = times + (uint64_t)i * load->window};
        items[i] = (pollitem){.socket = sockets[i], .events = POLLIN_};
        for (uint64_t n = 0; !failed && n < load->window; n++) failed = ask(&run, &askers[i]);
    }
    if (!failed) failed = count == 1 ? one(&run, askers) : many(&run, askers, items, count);
    result->answers = run.answered - load->warm_up;
    result->seconds = (double)(now() - run.started) * 1e-9;
    result->own_cpu = cpu(CLOCK_THREAD_CPUTIME_ID) - run.own_cpu;
    result->other_cpu = cpu(CLOCK_PROCESS_CPUTIME_ID) - run.process_cpu - result->own_cpu;
    zmq->msg_close(&run.reply);
    free(askers);
    free(items);
    free(times);
    return failed;
}
