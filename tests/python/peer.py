"""A peer for cross-language tests: tests/interop/peer in Python, with pyzmq's own authenticators.

The command line, the environment and the lines that it prints are those of tests/interop/peer; see there. What pyzmq has not
(--allow-ipc, --deny-ipc) is missing here, and --asyncio is more: the asyncio authenticator instead of the thread.
"""

import argparse
import asyncio
import io
import logging
import os
import sys
import zmq
import zmq.auth
import zmq.auth.asyncio
import zmq.auth.thread
import zmq.utils.monitor

PROPERTIES = ["User-Id", "Peer-Address", "Socket-Type", "Identity"]
# How long a client that was turned away listens for a reply that must not come.
LISTEN_MS = 100
# How long a running handler has for an answer in a script. pyzmq's keeps silent where ours doesn't; it is waited out.
SILENCE_MS = 2_000

HANDSHAKES = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "succeeded",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "denied",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "failed",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "failed",
}


def say(*words):
    print(*words, flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    for role in (roles.add_parser("server"), roles.add_parser("client")):
        role.add_argument("--mechanism", choices=["null", "plain", "curve"], required=True)
        role.add_argument("--endpoint", required=True)
        role.add_argument("--user")
        role.add_argument("--own")
        role.add_argument("--deadline", type=int, default=30)
        if role.prog.endswith("client"):
            role.add_argument("--server")
        else:
            role.add_argument("--domain", default="test")
            role.add_argument("--clients")
            role.add_argument("--user-id")
            role.add_argument("--allow", action="append", default=[])
            role.add_argument("--deny", action="append", default=[])
            role.add_argument("--property", action="append", default=[])
            role.add_argument("--handshakes", type=int, default=1)
            role.add_argument("--asyncio", action="store_true")
    role = roles.add_parser("certificates")
    role.add_argument("directory")
    role.add_argument("names", nargs="*")
    roles.add_parser("decide")
    return parser.parse_args()


def monitored(socket):
    events = zmq.EVENT_CONNECT_RETRIED
    for event in HANDSHAKES:
        events |= event
    return socket.get_monitor_socket(events)


def wait_for_handshake(monitor, deadline):
    """What came of the next one, in the words that both languages' peers use."""
    while monitor.poll(deadline * 1000):
        event = zmq.utils.monitor.recv_monitor_message(monitor)
        outcome = HANDSHAKES.get(event["event"])
        if outcome is not None:
            return f"{outcome} {event['value']}" if outcome == "denied" else outcome
    raise TimeoutError("no handshake in time")


# -- server -------------------------------------------------------------------------------------------------------------


def configure(auth, a):
    # Empty calls would be no rules, but not nothing: only what is asked for.
    if a.allow:
        auth.allow(*a.allow)
    if a.deny:
        auth.deny(*a.deny)
    if a.mechanism == "plain":
        auth.configure_plain(a.domain, {a.user: os.environ["PEER_PASSWORD"]})
    if a.mechanism == "curve":
        auth.configure_curve(a.domain, a.clients)
    if a.user_id is not None:
        auth.curve_user_id = lambda key: a.user_id


def server(a):
    context = zmq.Context()
    if a.asyncio:
        asyncio.run(serve_beside_loop(context, a))
    else:
        auth = zmq.auth.thread.ThreadAuthenticator(context)
        auth.start()
        configure(auth, a)
        serve(context, a)
        auth.stop()
    context.term()


async def serve_beside_loop(context, a):
    auth = zmq.auth.asyncio.AsyncioAuthenticator(context)
    auth.start()
    configure(auth, a)
    # The server blocks; the loop is the authenticator's.
    await asyncio.to_thread(serve, context, a)
    auth.stop()


def serve(context, a):
    socket = context.socket(zmq.REP)
    socket.zap_domain = a.domain.encode()
    if a.mechanism == "plain":
        socket.plain_server = True
    if a.mechanism == "curve":
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(a.own)
        socket.curve_server = True
    monitor = monitored(socket)
    socket.rcvtimeo = socket.sndtimeo = a.deadline * 1000
    socket.linger = 0
    socket.bind(a.endpoint)
    say("READY", socket.last_endpoint.decode())
    for _ in range(a.handshakes):
        outcome = wait_for_handshake(monitor, a.deadline)
        say("HANDSHAKE", outcome)
        if outcome == "succeeded":
            answer(socket, a)
    # The client has to hear the last word, and whatever it sent in spite of it has to arrive, before this ends.
    sys.stdin.read()
    while socket.poll(0):
        answer(socket, a)
    say("DONE")
    socket.disable_monitor()
    monitor.close()
    socket.close()


def answer(socket, a):
    request = socket.recv(copy=False)
    say("REQUEST", request.bytes.decode())
    for name in PROPERTIES + a.property:
        value = property_of(request, name)
        say("PROPERTY", name if value is None else f"{name}={value}")
    user = property_of(request, "User-Id")
    socket.send_string("welcome " + (user or "-"))


def property_of(message, name):
    try:
        return message.get(name)
    except zmq.ZMQError:
        return None


# -- client -------------------------------------------------------------------------------------------------------------


def client(a):
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    if a.mechanism == "plain":
        socket.plain_username = a.user.encode()
        socket.plain_password = os.environ["PEER_PASSWORD"].encode()
    if a.mechanism == "curve":
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(a.own)
        socket.curve_serverkey, _ = zmq.auth.load_certificate(a.server)
    monitor = monitored(socket)
    socket.routing_id = b"client-7"
    socket.linger = 0
    socket.connect(a.endpoint)
    socket.send_string("hello")
    outcome = wait_for_handshake(monitor, a.deadline)
    say("HANDSHAKE", outcome)
    if socket.poll(a.deadline * 1000 if outcome == "succeeded" else LISTEN_MS):
        say("REPLY", socket.recv_string())
    else:
        say("NO-REPLY")
    say("DONE")
    socket.disable_monitor()
    monitor.close()
    socket.close()
    context.term()


# -- decide -------------------------------------------------------------------------------------------------------------


class Reply:
    """In place of the authenticator's socket: keeps what it would have sent."""

    frames = None

    def send_multipart(self, frames):
        self.frames = frames


class Credentials:
    def __init__(self, verdict):
        self.verdict = verdict

    def callback(self, _domain, _key):
        if self.verdict == "raise":
            raise RuntimeError("as the script asks")
        return self.verdict == "allow"


class Subject:
    def __init__(self, log, journal):
        journal.seek(0)
        journal.truncate()
        self.journal = journal
        self.context = zmq.Context()
        self.auth = zmq.auth.thread.ThreadAuthenticator(self.context, log=log)
        self.socket = None

    def take(self, command, words):
        words_as_text = [word.decode() for word in words if command not in ("ask", "put")]
        return getattr(self, "do_" + command.replace("-", "_"))(*(words_as_text or words))

    def do_allow(self, *addresses):
        return taken(self.auth.allow, *addresses)

    def do_deny(self, *addresses):
        return taken(self.auth.deny, *addresses)

    def do_plain(self, domain, *users):
        return taken(self.auth.configure_plain, domain, dict(user.split("=", 1) for user in users))

    def do_curve(self, domain, location):
        return taken(self.auth.configure_curve, domain, location)

    def do_callback(self, domain, verdict):
        return taken(self.auth.configure_curve_callback, domain, Credentials(verdict))

    def do_user_id(self, name):
        def user_id(_key):
            if name == "raise":
                raise RuntimeError("as the script asks")
            return name

        self.auth.curve_user_id = user_id
        return "ok"

    def do_gssapi(self, domain):
        return taken(self.auth.configure_gssapi, domain)

    def do_start(self):
        self.auth.start()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect("inproc://zeromq.zap.01")
        return "ok"

    def do_put(self, *frames):
        self.socket.send_multipart([b"", *frames])
        return "ok"

    def do_ask(self, *frames):
        if self.socket is None:
            self.auth.zap_socket = Reply()
            try:
                asyncio.run(self.auth.handle_zap_message(list(frames)))
            except Exception as error:
                return f"raised {type(error).__name__}"
            reply = self.auth.zap_socket.frames
            if reply is None:
                return "none"
        else:
            self.do_put(*frames)
            if not self.socket.poll(SILENCE_MS):
                return "silence"
            reply = self.socket.recv_multipart()[1:]
        version, request_id, status, _text, user_id, _metadata = reply
        if version != b"1.0" or request_id != frames[1]:
            raise ValueError(f"a reply to another request: {reply}")
        return f"{escape(status)} {escape(user_id)}".rstrip()

    def do_create(self, directory, name):
        _, secret = zmq.auth.create_certificates(directory, name)
        return f"{os.stat(secret).st_mode & 0o777:o}"

    def do_logged(self, word):
        return "yes" if word in self.journal.getvalue() else "no"


def taken(call, *arguments):
    try:
        call(*arguments)
    except Exception:
        return "refused"
    return "ok"


def escape(frame):
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in frame)


def word(text):
    if text == "-":
        return b""
    return bytes.fromhex(text[2:]) if text.startswith("x:") else text.encode()


def decide():
    os.umask(0o022)
    journal = io.StringIO()
    log = logging.Logger("zmq.auth", logging.DEBUG)
    log.addHandler(logging.StreamHandler(journal))
    # All are kept: stopping one whose thread has died would wait for ever.
    subjects = []
    for line in sys.stdin:
        command, *words = (word(text) for text in line.rstrip("\n").split(" "))
        if command == b"new":
            subjects.append(Subject(log, journal))
            say("ok")
        else:
            say(subjects[-1].take(command.decode(), words))
    os._exit(0)


def main():
    a = arguments()
    if a.role == "server":
        server(a)
    elif a.role == "client":
        client(a)
    elif a.role == "certificates":
        for name in a.names:
            zmq.auth.create_certificates(a.directory, name)
        say("DONE")
    else:
        decide()


if __name__ == "__main__":
    main()
