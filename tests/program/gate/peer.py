"""A pyzmq service or client for the tests of `zmq-auth gate`; it writes JSON lines.

peer.py service REP|PULL|PUB ENDPOINT      no security; PUB publishes each line of standard input
peer.py client REQ|SUB|PUSH ENDPOINT NAME [TEXT...]      CURVE, with NAME.key_secret and server.key; a | parts frames
peer.py bare REQ|SUB|PUSH ENDPOINT [TEXT...]             the same without security
"""

import json
import os
import sys
import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message


def say(**fields):
    print(json.dumps(fields), flush=True)


def text(frames):
    return [frame.decode() for frame in frames]


def service(context, kind, endpoint):
    socket = context.socket(getattr(zmq, kind))
    socket.bind(endpoint)
    say(ready=endpoint, pid=os.getpid())
    if kind == "PUB":
        for line in sys.stdin:
            socket.send_string(line.rstrip("\n"))
        return
    while True:
        frames = socket.recv_multipart()
        say(received=text(frames))
        if kind == "REP":
            socket.send_multipart([b"reply to", *frames])


def handshake(monitor):
    """The status code of a refusal, or None."""
    while True:
        event = recv_monitor_message(monitor)
        if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return event["value"]
        if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return None


def client(context, kind, endpoint, name, *texts):
    socket = context.socket(getattr(zmq, kind))
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(f"{name}.key_secret")
    socket.curve_serverkey, _ = zmq.auth.load_certificate("server.key")
    run_client(socket, kind, endpoint, texts)


def bare(context, kind, endpoint, *texts):
    run_client(context.socket(getattr(zmq, kind)), kind, endpoint, texts)


def run_client(socket, kind, endpoint, texts):
    socket.linger = 0
    socket.rcvtimeo = socket.sndtimeo = 60_000
    # Metadata that a client claims is a property of its messages, too.
    socket.set(zmq.METADATA, b"X-Team:root")
    monitor = socket.get_monitor_socket()
    monitor.rcvtimeo = 60_000
    if kind == "SUB":
        for topic in texts:
            socket.subscribe(topic)
    socket.connect(endpoint)
    say(denied=handshake(monitor))
    if kind == "SUB":
        while True:
            say(received=text(socket.recv_multipart()))
    for part in texts:
        socket.send_multipart([frame.encode() for frame in part.split("|")])
        if kind == "REQ":
            say(reply=text(socket.recv_multipart()))
    say(done=True)
    sys.stdin.read()


def main():
    with zmq.Context() as context:
        {"service": service, "client": client, "bare": bare}[sys.argv[1]](context, *sys.argv[2:])


main()
