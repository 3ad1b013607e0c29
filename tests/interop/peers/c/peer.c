/* libzmq's C interface as a peer of `zmq-auth matrix`: reads cases from standard input, runs each, and prints what happens.
 *
 * peer server | client
 *
 * One thread does everything: the ZAP handler, the server, its monitor and standard input are polled together. */

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define LINE 65536
#define TEXT 1024
#define KEYS 64

static void check(bool is_right, const char *what)
{
    if (!is_right) {
        fprintf(stderr, "%s: %s\n", what, zmq_strerror(errno));
        exit(1);
    }
}

/* -- JSON: of an object's text, the value of a field; what isn't found is NULL. */

static const char *after_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind the value that begins here. */
static const char *after_value(const char *at)
{
    int depth = 0;
    do {
        if (*at == '"') {
            for (at++; *at && *at != '"'; at++)
                if (*at == '\\' && at[1])
                    at++;
            if (*at)
                at++;
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at) {
            at++;
        }
        if (depth == 0 && (!*at || strchr(",:}] \r\n", *at)))
            break;
    } while (*at);
    return after_blanks(at);
}

/* A string without its escapes; the peers' lines have none but these. */
static bool read_text(const char *at, char text[TEXT])
{
    if (!at || *at++ != '"')
        return false;
    size_t length = 0;
    for (; *at && *at != '"' && length < TEXT - 1; at++) {
        if (*at == '\\' && strchr("\"\\/", at[1]))
            at++;
        text[length++] = *at;
    }
    text[length] = 0;
    return *at == '"';
}

/* The first or next entry of an object or array; NULL at its end. */
static const char *next_entry(const char *at)
{
    at = after_blanks(at);
    return *at == '{' || *at == '[' || *at == ',' ? (at = after_blanks(at + 1), strchr("}]", *at) ? NULL : at) : NULL;
}

static const char *value_of(const char *key)
{
    return after_blanks(after_value(key) + 1);
}

static const char *field(const char *object, const char *name)
{
    char key[TEXT];
    for (const char *at = next_entry(object); at && read_text(at, key); at = next_entry(after_value(value_of(at))))
        if (strcmp(key, name) == 0)
            return value_of(at);
    return NULL;
}

static bool text_field(const char *object, const char *name, char text[TEXT])
{
    return read_text(field(object, name), text);
}

static long number_field(const char *object, const char *name)
{
    const char *at = field(object, name);
    return at ? strtol(at, NULL, 10) : 0;
}

/* Whether a list has the text; false where there is no list. */
static bool has(const char *list, const char *text)
{
    char entry[TEXT];
    for (const char *at = list ? next_entry(list) : NULL; at; at = next_entry(after_value(at)))
        if (read_text(at, entry) && strcmp(entry, text) == 0)
            return true;
    return false;
}

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20)
            printf("\\u%04x", *text);
        else
            printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    putchar('"');
}

static void print_field(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    if (text)
        print_text(text);
    else
        printf("null");
}

static void print_event(const char *event, const char *name, const char *text)
{
    printf("{\"event\":\"%s\"", event);
    if (name)
        print_field(name, text);
    puts("}");
    fflush(stdout);
}

/* -- Standard input, a line at a time. */

static char input[LINE];
static size_t input_length;
static bool input_ended;

/* Takes the next line if it is there. */
static bool take_line(char line[LINE])
{
    char *end = memchr(input, '\n', input_length);
    if (!end)
        return false;
    size_t length = (size_t)(end - input);
    memcpy(line, input, length);
    line[length] = 0;
    input_length -= length + 1;
    memmove(input, end + 1, input_length);
    return true;
}

static void read_input(void)
{
    ssize_t count = read(0, input + input_length, LINE - input_length);
    if (count > 0)
        input_length += (size_t)count;
    else
        input_ended = true;
}

/* -- Certificates: the quoted values of public-key and secret-key. */

static bool key_in(const char *path, const char *name, char key[41])
{
    char line[LINE];
    bool found = false;
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *at = line + strspn(line, " \t");
        if (strncmp(at, name, strlen(name)) == 0)
            found = sscanf(at + strlen(name), " = \"%40[^\"]\"", key) == 1 && strlen(key) == 40;
    }
    if (file)
        fclose(file);
    return found;
}

/* -- Handshakes, from the monitor. */

static void *monitored(void *context, void *socket)
{
    static int count;
    char name[64];
    snprintf(name, sizeof name, "inproc://monitor-%d", count++);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    check(zmq_socket_monitor(socket, name, events) == 0, "zmq_socket_monitor");
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    check(monitor && zmq_connect(monitor, name) == 0, "monitor");
    return monitor;
}

/* Prints the handshakes that have ended; why a client is refused, or NULL. */
static const char *print_handshakes(void *monitor)
{
    const char *refused = NULL;
    uint8_t frame[6];
    while (zmq_recv(monitor, frame, sizeof frame, ZMQ_DONTWAIT) == sizeof frame) {
        char address[TEXT];
        zmq_recv(monitor, address, sizeof address, 0);
        uint16_t event;
        uint32_t value;
        memcpy(&event, frame, sizeof event);
        memcpy(&value, frame + 2, sizeof value);
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            print_event("handshake", "outcome", "succeeded");
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
            printf("{\"event\":\"handshake\",\"outcome\":\"denied\",\"code\":%u}\n", value);
            fflush(stdout);
            refused = "denied";
        } else {
            print_event("handshake", "outcome", "failed");
            refused = "closed";
        }
    }
    return refused;
}

static void close_all(void *context, void *socket, void *monitor, void *zap)
{
    int linger = 0;
    void *sockets[] = {socket, monitor, zap};
    zmq_socket_monitor(socket, NULL, 0);
    for (int i = 0; i < 3; i++) {
        if (!sockets[i])
            continue;
        zmq_setsockopt(sockets[i], ZMQ_LINGER, &linger, sizeof linger);
        zmq_close(sockets[i]);
    }
    zmq_ctx_term(context);
}

static bool set(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0;
}

/* -- Server */

static char keys[KEYS][41];
static int key_count;

/* The public keys in the *.key files of a directory. */
static bool load_keys(const char *directory)
{
    DIR *entries = opendir(directory);
    key_count = 0;
    if (!entries)
        return false;
    for (struct dirent *entry; (entry = readdir(entries)) && key_count < KEYS;) {
        char path[2 * TEXT];
        const char *end = strrchr(entry->d_name, '.');
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (end && strcmp(end, ".key") == 0 && key_in(path, "public-key", keys[key_count]))
            key_count++;
    }
    closedir(entries);
    return true;
}

/* Answers one ZAP request (RFC 27). */
static void answer_zap(void *zap, const char *config)
{
    enum { VERSION, ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS };
    char frames[9][TEXT];
    int lengths[9] = {0}, count = 0, more = 1;
    size_t size = sizeof more;
    while (more) {
        char *frame = frames[count < 8 ? count : 8];
        int length = zmq_recv(zap, frame, TEXT - 1, 0);
        if (length < 0)
            return;
        lengths[count < 8 ? count : 8] = length < TEXT ? length : TEXT - 1;
        frame[lengths[count < 8 ? count : 8]] = 0;
        count++;
        zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &size);
    }
    char user[TEXT] = "", password[TEXT], key[41];
    const char *allow = field(config, "allow");
    bool is_accepted = false;
    if (count >= CREDENTIALS && !has(field(config, "deny"), frames[ADDRESS]) &&
        (!allow || !next_entry(allow) || has(allow, frames[ADDRESS]))) {
        if (strcmp(frames[MECHANISM], "NULL") == 0 && count == CREDENTIALS) {
            is_accepted = true;
        } else if (strcmp(frames[MECHANISM], "PLAIN") == 0 && count == CREDENTIALS + 2) {
            const char *users = field(config, "users");
            is_accepted = users && text_field(users, frames[CREDENTIALS], password) &&
                          strcmp(password, frames[CREDENTIALS + 1]) == 0;
            snprintf(user, sizeof user, "%s", frames[CREDENTIALS]);
        } else if (strcmp(frames[MECHANISM], "CURVE") == 0 && count == CREDENTIALS + 1 && lengths[CREDENTIALS] == 32) {
            zmq_z85_encode(key, (uint8_t *)frames[CREDENTIALS], 32);
            for (int i = 0; i < key_count; i++)
                is_accepted |= strcmp(keys[i], key) == 0;
            snprintf(user, sizeof user, "%s", key);
        }
    }
    const char *status = is_accepted ? "200" : "400", *text = is_accepted ? "OK" : "denied";
    const char *reply[] = {"1.0", frames[ID], status, text, is_accepted ? user : "", ""};
    for (int i = 0; i < 6; i++)
        zmq_send(zap, reply[i], strlen(reply[i]), i < 5 ? ZMQ_SNDMORE : 0);
}

static void answer(void *server)
{
    char body[TEXT];
    zmq_msg_t request;
    zmq_msg_init(&request);
    if (zmq_msg_recv(&request, server, ZMQ_DONTWAIT) >= 0) {
        snprintf(body, sizeof body, "%.*s", (int)zmq_msg_size(&request), (char *)zmq_msg_data(&request));
        printf("{\"event\":\"request\"");
        print_field("body", body);
        print_field("user_id", zmq_msg_gets(&request, "User-Id"));
        print_field("address", zmq_msg_gets(&request, "Peer-Address"));
        puts("}");
        fflush(stdout);
        zmq_send(server, "world", 5, 0);
    }
    zmq_msg_close(&request);
}

static const char *bind_server(void *server, const char *config, char endpoint[TEXT])
{
    char mechanism[TEXT], domain[TEXT], own[TEXT], secret[41], clients[TEXT];
    int on = 1;
    if (!text_field(config, "mechanism", mechanism) || !text_field(config, "domain", domain) ||
        !text_field(config, "endpoint", endpoint) || !set(server, ZMQ_ZAP_DOMAIN, domain))
        return "the case has no mechanism, domain or endpoint";
    if (strcmp(mechanism, "plain") == 0) {
        check(zmq_setsockopt(server, ZMQ_PLAIN_SERVER, &on, sizeof on) == 0, "ZMQ_PLAIN_SERVER");
    } else if (strcmp(mechanism, "curve") == 0) {
        if (!text_field(config, "own", own) || !key_in(own, "secret-key", secret))
            return "no secret key";
        if (!text_field(config, "clients", clients) || !load_keys(clients))
            return "no clients";
        check(zmq_setsockopt(server, ZMQ_CURVE_SERVER, &on, sizeof on) == 0, "ZMQ_CURVE_SERVER");
        check(set(server, ZMQ_CURVE_SECRETKEY, secret), "ZMQ_CURVE_SECRETKEY");
    }
    size_t size = TEXT;
    if (zmq_bind(server, endpoint) != 0)
        return zmq_strerror(errno);
    check(zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0, "ZMQ_LAST_ENDPOINT");
    return NULL;
}

static void run_server(const char *config)
{
    static char line[LINE];
    char endpoint[TEXT], clients[TEXT];
    void *context = zmq_ctx_new();
    void *zap = zmq_socket(context, ZMQ_REP), *server = zmq_socket(context, ZMQ_REP);
    check(zap && server && zmq_bind(zap, "inproc://zeromq.zap.01") == 0, "ZAP");
    void *monitor = monitored(context, server);
    const char *problem = bind_server(server, config, endpoint);
    if (problem)
        print_event("error", "what", problem);
    else
        print_event("ready", "endpoint", endpoint);
    for (bool is_over = problem != NULL; !is_over;) {
        zmq_pollitem_t items[] = {
            {zap, 0, ZMQ_POLLIN, 0}, {server, 0, ZMQ_POLLIN, 0}, {monitor, 0, ZMQ_POLLIN, 0}, {NULL, 0, ZMQ_POLLIN, 0}};
        if (zmq_poll(items, 4, memchr(input, '\n', input_length) ? 0 : -1) < 0)
            continue;
        if (items[0].revents)
            answer_zap(zap, config);
        if (items[3].revents)
            read_input();
        is_over = input_ended;
        /* What happened before a line came is printed before what the line brings about. */
        print_handshakes(monitor);
        if (items[1].revents)
            answer(server);
        while (!is_over && take_line(line)) {
            is_over = field(line, "end") != NULL;
            if (!is_over && text_field(config, "clients", clients) && load_keys(clients))
                print_event("reloaded", NULL, NULL);
            else if (!is_over)
                print_event("unsupported", "why", "there is nothing to read again");
        }
    }
    close_all(context, server, monitor, zap);
}

/* -- Client */

static const char *connect_client(void *client, const char *config)
{
    char mechanism[TEXT], endpoint[TEXT], text[TEXT], key[41];
    if (!text_field(config, "mechanism", mechanism) || !text_field(config, "endpoint", endpoint))
        return "the case has no mechanism or endpoint";
    if (strcmp(mechanism, "plain") == 0) {
        if (!text_field(config, "user", text) || !set(client, ZMQ_PLAIN_USERNAME, text) ||
            !text_field(config, "password", text) || !set(client, ZMQ_PLAIN_PASSWORD, text))
            return "no user or password";
    } else if (strcmp(mechanism, "curve") == 0) {
        if (!text_field(config, "own", text) || !key_in(text, "public-key", key) || !set(client, ZMQ_CURVE_PUBLICKEY, key) ||
            !key_in(text, "secret-key", key) || !set(client, ZMQ_CURVE_SECRETKEY, key))
            return "no keys";
        if (!text_field(config, "server", text) || !key_in(text, "public-key", key) || !set(client, ZMQ_CURVE_SERVERKEY, key))
            return "no key of the server";
    }
    return zmq_connect(client, endpoint) == 0 && zmq_send(client, "hello", 5, 0) == 5 ? NULL : zmq_strerror(errno);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void run_client(const char *config)
{
    char body[TEXT];
    void *context = zmq_ctx_new(), *client = zmq_socket(context, ZMQ_REQ);
    check(client != NULL, "zmq_socket");
    void *monitor = monitored(context, client);
    const char *problem = connect_client(client, config), *refused = NULL;
    long end = now_ms() + number_field(config, "timeout_ms");
    if (problem)
        print_event("error", "what", problem);
    while (!problem) {
        long left = end - now_ms();
        zmq_pollitem_t items[] = {{client, 0, ZMQ_POLLIN, 0}, {monitor, 0, ZMQ_POLLIN, 0}};
        /* After a refusal its repetitions are of no interest. */
        int count = zmq_poll(items, refused ? 1 : 2, left > 0 ? left : 0);
        if (!refused && (refused = print_handshakes(monitor)))
            /* A reply after a refusal must be seen. */
            end = now_ms() + number_field(config, "quiet_ms");
        if (items[0].revents) {
            int length = zmq_recv(client, body, TEXT - 1, 0);
            body[length > 0 ? (length < TEXT ? length : TEXT - 1) : 0] = 0;
            print_event("reply", "body", body);
            break;
        }
        if (count <= 0 && now_ms() >= end) {
            print_event("no-reply", "why", refused ? refused : "timeout");
            break;
        }
    }
    close_all(context, client, monitor, NULL);
}

int main(int count, char **arguments)
{
    static char line[LINE];
    bool is_server = count == 2 && strcmp(arguments[1], "server") == 0;
    if (!is_server && !(count == 2 && strcmp(arguments[1], "client") == 0)) {
        fprintf(stderr, "usage: peer server | client\n");
        return 2;
    }
    while (!input_ended) {
        if (!take_line(line)) {
            read_input();
            continue;
        }
        const char *put_off = field(line, "put_off");
        if (put_off && strncmp(put_off, "true", 4) == 0)
            print_event("unsupported", "why", "it never answers 300");
        else if (is_server)
            run_server(line);
        else
            run_client(line);
        print_event("done", NULL, NULL);
    }
    return 0;
}
