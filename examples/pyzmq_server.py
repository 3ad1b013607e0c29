"""A pyzmq server with pyzmq's own authenticator: pyzmq_server.py SERVER.key_secret DIRECTORY_OF_CLIENTS

Prints its endpoint, answers one request, and ends.
"""

import sys

import zmq
from zmq.auth import load_certificate
from zmq.auth.thread import ThreadAuthenticator

server_file, clients = sys.argv[1:]

context = zmq.Context()
auth = ThreadAuthenticator(context)
auth.start()
auth.configure_curve(domain="lab", location=clients)

server = context.socket(zmq.REP)
server.rcvtimeo = 10_000  # ms: the end of this program if nothing happens
server.curve_publickey, server.curve_secretkey = load_certificate(server_file)
server.curve_server = True
server.zap_domain = b"lab"
port = server.bind_to_random_port("tcp://127.0.0.1")
print(f"tcp://127.0.0.1:{port}", flush=True)

try:
    request = server.recv_string()
    server.send_string(f"pyzmq got {request!r}")
finally:
    server.close()
    auth.stop()
    context.term()  # waits for the answer to be sent
