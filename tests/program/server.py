"""A guarded pyzmq server for `zmq-auth ping`: it prints its endpoint, and serves until its input ends.

Usage: server.py TYPE MECHANISM [--domain NAME] [--handler] [--secret FILE --clients DIRECTORY] [--user NAME]

The password of --user is in the environment, as PEER_PASSWORD.
"""

import argparse
import os
import sys
import zmq
import zmq.auth
import zmq.auth.thread


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("type", choices=["REP", "ROUTER", "DEALER", "PUB", "XPUB", "PULL", "PAIR"])
    parser.add_argument("mechanism", choices=["null", "plain", "curve"])
    parser.add_argument("--domain")
    parser.add_argument("--handler", action="store_true")
    parser.add_argument("--deny")
    parser.add_argument("--secret")
    parser.add_argument("--clients")
    parser.add_argument("--user")
    return parser.parse_args()


def main():
    a = arguments()
    context = zmq.Context()
    auth = None
    if a.handler:
        auth = zmq.auth.thread.ThreadAuthenticator(context)
        auth.start()
        if a.deny:
            auth.deny(a.deny)
        if a.user:
            auth.configure_plain(a.domain, {a.user: os.environ["PEER_PASSWORD"]})
        if a.clients:
            auth.configure_curve(a.domain, a.clients)
    socket = context.socket(getattr(zmq, a.type))
    socket.linger = 0
    if a.domain is not None:
        socket.zap_domain = a.domain.encode()
    if a.mechanism == "plain":
        socket.plain_server = True
    if a.mechanism == "curve":
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(a.secret)
        socket.curve_server = True
    socket.bind("tcp://127.0.0.1:*")
    print(socket.last_endpoint.decode(), flush=True)
    sys.stdin.read()
    # Nothing must have been received.
    if a.type in ("REP", "ROUTER", "DEALER", "PULL", "PAIR") and socket.poll(0):
        print("MESSAGE", flush=True)
    socket.close()
    if auth is not None:
        auth.stop()
    context.term()


main()
