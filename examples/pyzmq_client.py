"""A pyzmq client for a CURVE server: pyzmq_client.py ENDPOINT SERVER.key CLIENT.key_secret

Says hello, and prints the outcome: "accepted: REPLY" or "denied (CODE)".
"""

import sys

import zmq
from zmq.auth import load_certificate
from zmq.utils.monitor import recv_monitor_message

endpoint, server_file, client_file = sys.argv[1:]

client = zmq.Context().socket(zmq.REQ)
client.linger = 0
client.rcvtimeo = 10_000  # ms: the end of this program if nothing happens
client.curve_serverkey, _ = load_certificate(server_file)
client.curve_publickey, client.curve_secretkey = load_certificate(client_file)

# libzmq tells a refused client nothing: it would wait for ever. The monitor knows.
monitor = client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
monitor.rcvtimeo = 10_000
client.connect(endpoint)
client.send_string("hello from pyzmq")

seen = recv_monitor_message(monitor)
if seen["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
    print("accepted:", client.recv_string())
else:
    print(f"denied ({seen['value']})")
