//  A peer on czmq: its own authenticator (zauth), certificates (zcert) and directories of them (zcertstore).
#include <czmq.h>
#include <jansson.h>

static void say(json_t *event) {
    json_dumpf(event, stdout, JSON_COMPACT);
    puts("");
    fflush(stdout);
    json_decref(event);
}

static json_t *line(void) {
    static char text[65536];
    return fgets(text, sizeof text, stdin) ? json_loads(text, 0, NULL) : NULL;
}

static const char *get(json_t *test, const char *name) { return json_string_value(json_object_get(test, name)); }
static bool has(json_t *test, const char *name) { return streq(get(test, "mechanism"), name); }

static zactor_t *watch(zsock_t *socket) {
    zactor_t *monitor = zactor_new(zmonitor, socket);
    zstr_sendx(monitor, "LISTEN", "HANDSHAKE_SUCCEEDED", "HANDSHAKE_FAILED_AUTH", "HANDSHAKE_FAILED_PROTOCOL",
               "HANDSHAKE_FAILED_NO_DETAIL", "MONITOR_STOPPED", NULL);
    zstr_send(monitor, "START");
    zsock_wait(monitor);
    return monitor;
}

//  Prints the next event. The answer is why a handshake ended badly, or "stopped" after the last event.
static const char *handshake(zactor_t *monitor) {
    char *name, *value, *address;
    zstr_recvx(monitor, &name, &value, &address, NULL);
    bool denied = strstr(name, "AUTH"), succeeded = strstr(name, "SUCCEED"), stopped = strstr(name, "STOPPED");
    if (!stopped) say(json_pack("{ss ss so}", "event", "handshake", "outcome", succeeded ? "succeeded" : denied ? "denied" : "failed",
                  "code", denied ? json_integer(atoi(value)) : json_null()));
    zstr_free(&name), zstr_free(&value), zstr_free(&address);
    return succeeded ? NULL : denied ? "denied" : stopped ? "stopped" : "closed";
}

//  zmonitor passes events on from a thread of its own: those of the handshakes may come after the messages.
static void finish(zactor_t **monitor, zsock_t **socket) {
    zmq_socket_monitor(zsock_resolve(*socket), NULL, 0);
    for (const char *what = NULL; !what || !streq(what, "stopped");) what = handshake(*monitor);
    zactor_destroy(monitor), zsock_destroy(socket);
}

static void error(const char *what) { say(json_pack("{ss ss}", "event", "error", "what", what)); }

static void tell(zactor_t *auth, const char *verb, const char *argument) {
    zstr_sendx(auth, verb, argument, NULL);
    zsock_wait(auth);
}

//  zauth reads passwords from a file alone.
static void passwords(zactor_t *auth, json_t *users) {
    char name[] = "/tmp/zmq-auth-peer-XXXXXX";
    FILE *file = fdopen(mkstemp(name), "w");
    const char *user;
    json_t *password;
    json_object_foreach(users, user, password) fprintf(file, "%s=%s\n", user, json_string_value(password));
    fclose(file);
    tell(auth, "PLAIN", name);
    unlink(name);
}

static bool curve(zsock_t *socket, json_t *test) {
    zcert_t *own = zcert_load(get(test, "own"));
    if (own) zcert_apply(own, socket);
    bool loaded = own;
    zcert_destroy(&own);
    return loaded;
}

static void server(json_t *test) {
    zactor_t *auth = zactor_new(zauth, NULL);
    zsock_t *socket = zsock_new(ZMQ_REP);
    size_t index;
    json_t *address;
    bool serving = true;
    json_array_foreach(json_object_get(test, "allow"), index, address) tell(auth, "ALLOW", json_string_value(address));
    json_array_foreach(json_object_get(test, "deny"), index, address) tell(auth, "DENY", json_string_value(address));
    zsock_set_zap_domain(socket, get(test, "domain"));
    if (has(test, "plain")) passwords(auth, json_object_get(test, "users")), zsock_set_plain_server(socket, 1);
    if (has(test, "curve")) {
        serving = curve(socket, test);
        zsock_set_curve_server(socket, 1);
        tell(auth, "CURVE", get(test, "clients"));
    }
    zactor_t *monitor = watch(socket);
    if (serving && (serving = zsock_bind(socket, "%s", get(test, "endpoint")) >= 0))
        say(json_pack("{ss ss}", "event", "ready", "endpoint", zsock_endpoint(socket)));
    else error("can't serve this case");
    int input = STDIN_FILENO;
    zpoller_t *poller = zpoller_new(socket, monitor, &input, NULL);
    while (serving) {
        void *ready = zpoller_wait(poller, -1);
        if (ready == monitor) handshake(monitor);
        else if (ready == socket) {
            zframe_t *frame = zframe_recv(socket);
            say(json_pack("{ss ss% ss? ss?}", "event", "request", "body", zframe_data(frame), zframe_size(frame),
                          "user_id", zframe_meta(frame, "User-Id"), "address", zframe_meta(frame, "Peer-Address")));
            zframe_destroy(&frame);
            zstr_send(socket, "world");
        } else {
            json_t *next = line();
            if ((serving = next && !json_object_get(next, "end"))) {
                if (has(test, "curve")) tell(auth, "CURVE", get(test, "clients"));
                say(json_pack("{ss}", "event", "reloaded"));
            }
            json_decref(next);
        }
    }
    zpoller_destroy(&poller), finish(&monitor, &socket), zactor_destroy(&auth);
}

static void client(json_t *test) {
    zsock_t *socket = zsock_new(ZMQ_REQ);
    zsock_set_linger(socket, 0);
    if (has(test, "plain")) {
        zsock_set_plain_username(socket, get(test, "user"));
        zsock_set_plain_password(socket, get(test, "password"));
    }
    if (has(test, "curve")) {
        zcert_t *server = zcert_load(get(test, "server"));
        if (!server || !curve(socket, test)) {
            error("can't load the certificates");
            zcert_destroy(&server), zsock_destroy(&socket);
            return;
        }
        zsock_set_curve_serverkey(socket, zcert_public_txt(server));
        zcert_destroy(&server);
    }
    zactor_t *monitor = watch(socket);
    zsock_connect(socket, "%s", get(test, "endpoint"));
    zstr_send(socket, "hello");
    zpoller_t *poller = zpoller_new(socket, monitor, NULL);
    const char *why = NULL, *refusal;
    int64_t end = zclock_mono() + json_integer_value(json_object_get(test, "timeout_ms"));
    void *ready = NULL;
    for (int64_t now; ready != socket && (now = zclock_mono()) < end;) {
        ready = zpoller_wait(poller, (int) (end - now));
        if (ready == monitor && (refusal = handshake(monitor)) && !why) {
            why = refusal;
            end = zclock_mono() + json_integer_value(json_object_get(test, "quiet_ms"));
        }
    }
    if (ready == socket) {
        char *body = zstr_recv(socket);
        say(json_pack("{ss ss}", "event", "reply", "body", body));
        zstr_free(&body);
    } else say(json_pack("{ss ss}", "event", "no-reply", "why", why ? why : "timeout"));
    zpoller_destroy(&poller), finish(&monitor, &socket);
}

//  make-certificate DIRECTORY NAME KEY=VALUE...
static int make_certificate(int count, char **arguments) {
    char path[4096];
    zcert_t *certificate = zcert_new();
    for (int at = 4; at < count; at++) {
        char *value = strchr(arguments[at], '=');
        if (!value) return 2;
        *value++ = 0;
        zcert_set_meta(certificate, arguments[at], "%s", value);
    }
    snprintf(path, sizeof path, "%s/%s", arguments[2], arguments[3]);
    int failed = zcert_save(certificate, path);
    if (!failed) say(json_pack("{ss}", "public", zcert_public_txt(certificate)));
    zcert_destroy(&certificate);
    return failed ? 1 : 0;
}

//  read-certificate FILE
static int read_certificate(const char *file) {
    zcert_t *certificate = zcert_load(file);
    if (!certificate) return 1;
    const char none[] = "0000000000000000000000000000000000000000";
    json_t *metadata = json_object();
    zlist_t *names = zcert_meta_keys(certificate);
    for (char *name = zlist_first(names); name; name = zlist_next(names))
        json_object_set_new(metadata, name, json_string(zcert_meta(certificate, name)));
    say(json_pack("{ss sb so}", "public", zcert_public_txt(certificate), "has_secret",
                  !streq(zcert_secret_txt(certificate), none), "metadata", metadata));
    zlist_destroy(&names), zcert_destroy(&certificate);
    return 0;
}

int main(int count, char **arguments) {
    if (count > 3 && streq(arguments[1], "make-certificate")) return make_certificate(count, arguments);
    if (count == 3 && streq(arguments[1], "read-certificate")) return read_certificate(arguments[2]);
    bool serves = count > 1 && streq(arguments[1], "server");
    setvbuf(stdin, NULL, _IONBF, 0);
    for (json_t *test; (test = line()); json_decref(test)) {
        if (!get(test, "case")) continue;
        if (has(test, "null") || has(test, "plain") || has(test, "curve"))
            serves ? server(test) : client(test);
        else say(json_pack("{ss ss}", "event", "unsupported", "why", "no such mechanism here"));
        zsys_shutdown();
        say(json_pack("{ss}", "event", "done"));
    }
    return 0;
}
