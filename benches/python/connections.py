"""pyzmq's server of the benchmark connections: see benches/connections.

Arguments: the domain, and a directory with server.key_secret and clients/*.key. Prints the endpoint, then echoes until
its input ends. The endpoint to bind is in BENCH_ENDPOINT, where a certain one is wanted.
"""

import os
import sys
import threading
import zmq
import zmq.auth
import zmq.auth.thread


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    domain, directory = sys.argv[1:]
    threading.Thread(target=end_with_parent, daemon=True).start()
    context = zmq.Context()
    auth = zmq.auth.thread.ThreadAuthenticator(context)
    auth.start()
    auth.configure_curve(domain=domain, location=os.path.join(directory, "clients"))
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.backlog = 1000
    socket.zap_domain = domain.encode()
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(os.path.join(directory, "server.key_secret"))
    socket.curve_server = True
    socket.bind(os.environ.get("BENCH_ENDPOINT", "tcp://127.0.0.1:*"))
    print(socket.last_endpoint.decode(), flush=True)
    while True:
        socket.send_multipart(socket.recv_multipart())


main()
