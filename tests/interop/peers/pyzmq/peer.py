"""pyzmq as a peer of `zmq-auth matrix`: reads cases from standard input, runs each, and prints what happens.

peer.py [--asyncio] server | client
peer.py make-certificate DIRECTORY NAME KEY=VALUE...
peer.py read-certificate FILE

The server's authenticator is pyzmq's own: a thread, or with --asyncio a task.
"""

import asyncio
import json
import queue
import sys
import threading
import time

import zmq
import zmq.auth
import zmq.auth.asyncio
import zmq.auth.thread
import zmq.utils.monitor

HANDSHAKES = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "succeeded",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "denied",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "failed",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "failed",
}


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def monitored(socket):
    return socket.get_monitor_socket(sum(HANDSHAKES))


def handshakes(monitor):
    """Prints those that have ended; returns the last one's outcome."""
    outcome = None
    while monitor.poll(0):
        event = zmq.utils.monitor.recv_monitor_message(monitor)
        outcome = HANDSHAKES[event["event"]]
        say("handshake", outcome=outcome, code=event["value"] if outcome == "denied" else None)
    return outcome


def close(socket, monitor):
    socket.disable_monitor()
    monitor.close(linger=0)
    socket.close(linger=0)


# -- server


def server(case, lines, use_asyncio):
    context = zmq.Context()
    if use_asyncio:
        asyncio.run(serve_beside_loop(context, case, lines))
    else:
        auth = zmq.auth.thread.ThreadAuthenticator(context)
        auth.start()
        configure(auth, case)
        serve(context, case, lines, lambda: configure(auth, case))
        auth.stop()
    context.term()


async def serve_beside_loop(context, case, lines):
    auth = zmq.auth.asyncio.AsyncioAuthenticator(context)
    auth.start()
    configure(auth, case)
    loop = asyncio.get_running_loop()
    done = threading.Event()

    def reload():
        done.clear()
        loop.call_soon_threadsafe(lambda: (configure(auth, case), done.set()))
        done.wait()

    # The server blocks; the loop is the authenticator's.
    await asyncio.to_thread(serve, context, case, lines, reload)
    auth.stop()


def configure(auth, case):
    if case.get("allow"):
        auth.allow(*case["allow"])
    if case.get("deny"):
        auth.deny(*case["deny"])
    if case["mechanism"] == "plain":
        auth.configure_plain(case["domain"], case["users"])
    if case["mechanism"] == "curve":
        auth.configure_curve(case["domain"], case["clients"])


def serve(context, case, lines, reload):
    socket = context.socket(zmq.REP)
    socket.zap_domain = case["domain"].encode()
    if case["mechanism"] == "plain":
        socket.plain_server = True
    if case["mechanism"] == "curve":
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(case["own"])
        socket.curve_server = True
    monitor = monitored(socket)
    socket.bind(case["endpoint"])
    say("ready", endpoint=socket.last_endpoint.decode())
    ended = False
    while not ended:
        try:
            line = lines.get_nowait()
        except queue.Empty:
            line = {}
        # What happened before a line came is told before what the line brings about.
        handshakes(monitor)
        while socket.poll(5):
            request = socket.recv(copy=False)
            say("request", body=request.bytes.decode(), user_id=of(request, "User-Id"), address=of(request, "Peer-Address"))
            socket.send(b"world")
        ended = line is None or "end" in line
        if line and not ended:
            reload()
            say("reloaded")
    close(socket, monitor)


def of(message, name):
    try:
        return message.get(name)
    except zmq.ZMQError:
        return None


# -- client


def client(case, _lines, _use_asyncio):
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    if case["mechanism"] == "plain":
        socket.plain_username, socket.plain_password = case["user"].encode(), case["password"].encode()
    if case["mechanism"] == "curve":
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(case["own"])
        socket.curve_serverkey, _ = zmq.auth.load_certificate(case["server"])
    monitor = monitored(socket)
    socket.connect(case["endpoint"])
    socket.send(b"hello")
    end, refusal = time.monotonic() + case["timeout_ms"] / 1000, None
    while True:
        replied = socket.poll(5)
        if refusal is None:
            outcome = handshakes(monitor)
            refusal = {"denied": "denied", "failed": "closed"}.get(outcome)
            if refusal is not None:
                # A reply after a refusal must be seen.
                end = time.monotonic() + case["quiet_ms"] / 1000
        if replied:
            say("reply", body=socket.recv().decode())
            break
        if time.monotonic() >= end:
            say("no-reply", why=refusal or "timeout")
            break
    close(socket, monitor)
    context.term()


# -- certificates


def make_certificate(directory, name, *metadata):
    metadata = dict(entry.split("=", 1) for entry in metadata)
    public, _ = zmq.auth.create_certificates(directory, name, metadata=metadata)
    print(json.dumps({"public": zmq.auth.load_certificate(public)[0].decode()}))


def read_certificate(file):
    public, secret = zmq.auth.load_certificate(file)
    # pyzmq doesn't read metadata.
    print(json.dumps({"public": public.decode(), "has_secret": secret is not None, "metadata": None}))


def each_case(run, use_asyncio):
    lines = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(json.loads(line))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (case := lines.get()) is not None:
        try:
            if case.get("put_off"):
                say("unsupported", why="zmq.auth never answers 300")
            else:
                run(case, lines, use_asyncio)
        except Exception as error:
            say("error", what=f"{type(error).__name__}: {error}")
        say("done")


def main():
    arguments = sys.argv[1:]
    use_asyncio = arguments[0] == "--asyncio"
    role, *rest = arguments[use_asyncio:]
    if role in ("server", "client"):
        each_case({"server": server, "client": client}[role], use_asyncio)
    else:
        {"make-certificate": make_certificate, "read-certificate": read_certificate}[role](*rest)


main()
