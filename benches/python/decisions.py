"""pyzmq's ThreadAuthenticator under the load driver of benches/decisions.

Arguments: the compiled driver, a file of members (one on a line), a file of requests in the driver's form, a file for
latencies, the mechanism, the domain, how many latencies there's room for, and the names of the libzmq functions that the driver takes.

Each line on the standard input is a run: sockets, window, warm-up, seconds, whether latencies are noted. Answers each
with the driver's counts as JSON on a line.
"""

import ctypes
import json
import mmap
import sys
from pathlib import Path

import zmq
import zmq.auth.thread

ENDPOINT = "inproc://zeromq.zap.01"
U64, F64 = ctypes.c_uint64, ctypes.c_double


class Load(ctypes.Structure):
    _fields_ = [
        ("requests", ctypes.c_void_p),
        ("size", U64),
        ("cursor", U64),
        ("mechanism", ctypes.c_char_p),
        ("credentials", U64),
        ("window", U64),
        ("warm_up", U64),
        ("seconds", F64),
        ("latencies", ctypes.POINTER(ctypes.c_uint32)),
        ("room", U64),
    ]


class Counts(ctypes.Structure):
    _fields_ = [
        (name, U64)
        for name in ("asked", "expected", "allowed", "refused", "other", "answers", "latencies")
    ] + [(name, F64) for name in ("seconds", "own_cpu", "other_cpu")]


def configure(auth, mechanism, domain, members):
    # The same as configure_curve with a directory of this many files, without the files.
    if mechanism == "CURVE":
        auth.certs[domain] = {key.encode(): True for key in members}
    elif mechanism == "PLAIN":
        auth.configure_plain(domain, dict(member.split("=", 1) for member in members))
    else:
        auth.allow(*members)


def functions(names):
    """The addresses of the functions in the libzmq that pyzmq has loaded."""
    beside = Path(zmq.__file__).parent.parent / "pyzmq.libs"
    library = ctypes.CDLL(str(next(beside.glob("libzmq*"))))
    addresses = [ctypes.cast(getattr(library, name), ctypes.c_void_p) for name in names]
    return (ctypes.c_void_p * len(names))(*addresses)


def connect(context):
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    socket.rcvtimeo = 20_000
    socket.connect(ENDPOINT)
    return socket


def main():
    driver, members, requests, noted, mechanism, domain, room, names = sys.argv[1:]
    context = zmq.Context()
    auth = zmq.auth.thread.ThreadAuthenticator(context)
    configure(auth, mechanism, domain, Path(members).read_text().splitlines())
    auth.start()
    # The call releases the interpreter's lock, so that the authenticator runs meanwhile.
    drive = ctypes.CDLL(driver).drive
    table = functions(names.split(","))
    with open(requests, "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    bytes_ = (ctypes.c_char * len(mapped)).from_buffer(mapped)
    latencies = (ctypes.c_uint32 * int(room))()
    credentials = {"NULL": 0, "CURVE": 1, "PLAIN": 2}[mechanism]
    cursor = 0
    print("ready", flush=True)
    for line in sys.stdin:
        sockets, window, warm_up, seconds, with_latencies = line.split()
        sockets = [connect(context) for _ in range(int(sockets))]
        raw = (ctypes.c_void_p * len(sockets))(*(socket.underlying for socket in sockets))
        load = Load(
            ctypes.addressof(bytes_), len(mapped), cursor, mechanism.encode(), credentials,
            int(window), int(warm_up), float(seconds), None, int(room),
        )
        if with_latencies == "1":
            load.latencies = latencies
        counts = Counts()
        failed = drive(table, raw, len(sockets), ctypes.byref(load), ctypes.byref(counts))
        assert failed == 0, "no answer, or libzmq failed"
        cursor = load.cursor
        for socket in sockets:
            socket.close()
        if with_latencies == "1":
            Path(noted).write_bytes(memoryview(latencies).cast("B")[: 4 * counts.latencies])
        print(json.dumps({name: getattr(counts, name) for name, _ in Counts._fields_}), flush=True)
    auth.stop()


main()
