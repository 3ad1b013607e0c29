"""One run of the benchmark slow_callbacks with a handler of pyzmq: see benches/slow_callbacks.

Arguments: thread or asyncio, the number of slow clients, and in seconds: how long their callback takes, how often the
fast client asks, and for how long; and how many answers it waits for at least. Prints the largest number of slow
callbacks under way at once, then the fast client's latencies in nanoseconds, one on a line.
"""

import asyncio
import os
import sys
import threading
import time
import zmq
import zmq.auth.asyncio
import zmq.auth.thread

ENDPOINT = "inproc://zeromq.zap.01"
FAST = [b"", b"1.0", b"1", b"fast", b"127.0.0.1", b"", b"PLAIN", b"alice", b"correct horse"]
SLOW = [b"", b"1.0", b"1", b"slow", b"127.0.0.1", b"", b"CURVE", bytes([7] * 32)]


class Gauge:
    under_way = peak = 0

    def __init__(self):
        self.entered = threading.Event()

    def __enter__(self):
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        self.entered.set()

    def __exit__(self, *_):
        self.under_way -= 1


class SyncCallback:
    def __init__(self, gauge, takes):
        self.gauge, self.takes = gauge, takes

    def callback(self, _domain, _key):
        with self.gauge:
            time.sleep(self.takes)
        return True


class AsyncCallback(SyncCallback):
    async def callback(self, _domain, _key):
        with self.gauge:
            await asyncio.sleep(self.takes)
        return True


def connect(context):
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvtimeo = 60_000
    socket.connect(ENDPOINT)
    return socket


def slow_clients(sockets, takes):
    poller = zmq.Poller()
    for socket in sockets:
        socket.send_multipart(SLOW)
        poller.register(socket, zmq.POLLIN)
        time.sleep(takes / len(sockets))
    while True:
        for socket, _ in poller.poll():
            assert socket.recv_multipart()[3] == b"200"
            socket.send_multipart(SLOW)


def ask(socket):
    asked = time.perf_counter_ns()
    socket.send_multipart(FAST)
    reply = socket.recv_multipart()
    latency = time.perf_counter_ns() - asked
    assert reply[3] == b"200", reply
    return latency


def measure(context, gauge, load, takes, every, window, at_least):
    socket = connect(context)
    for _ in range(50):
        ask(socket)
    if load:
        sockets = [connect(context) for _ in range(load)]
        threading.Thread(target=slow_clients, args=(sockets, takes), daemon=True).start()
        # Only one callback runs at a time; after this time, the others have asked.
        assert gauge.entered.wait(60)
        time.sleep(2 * takes)
    latencies = []
    start = following = time.monotonic()
    while time.monotonic() - start < window or len(latencies) < at_least:
        time.sleep(max(0, following - time.monotonic()))
        following = time.monotonic() + every
        latencies.append(ask(socket))
    return latencies


async def beside_loop(context, auth, *arguments):
    # It belongs to the event loop that starts it.
    auth.start()
    return await asyncio.to_thread(measure, context, *arguments)


def main():
    kind, load, takes, every, window, at_least = sys.argv[1:]
    takes, gauge, context = float(takes), Gauge(), zmq.Context()
    arguments = (gauge, int(load), takes, float(every), float(window), int(at_least))
    if kind == "thread":
        auth, callback = zmq.auth.thread.ThreadAuthenticator(context), SyncCallback(gauge, takes)
    else:
        auth, callback = zmq.auth.asyncio.AsyncioAuthenticator(context), AsyncCallback(gauge, takes)
    auth.configure_plain("fast", {"alice": "correct horse"})
    auth.configure_curve_callback("slow", callback)
    if kind == "thread":
        auth.start()
        latencies = measure(context, *arguments)
    else:
        latencies = asyncio.run(beside_loop(context, auth, *arguments))
    print(gauge.peak, *latencies, sep="\n", flush=True)
    # Doesn't wait for clients that are still waiting.
    os._exit(0)


main()
