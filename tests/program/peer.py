"""A peer of `zmq-auth matrix` without ZeroMQ: it speaks JSON over TCP, and makes mistakes on request.

peer.py [MISTAKE] server | client | make-certificate DIRECTORY NAME KEY=VALUE... | read-certificate FILE
"""

import json
import os
import pathlib
import queue
import socket
import sys
import threading

MISTAKES = [
    "accepts-all", "says-nothing", "other-user", "garbage", "dies", "no-reload", "reloads-nothing", "readable-secrets",
]


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def public_key(file):
    lines = [line.split('"') for line in pathlib.Path(file).read_text().splitlines() if "public-key" in line]
    return lines[0][1]


def server(case, lines, mistake):
    if case.get("put_off"):
        return say("unsupported", why="it never answers 300")
    listener = socket.create_server(("127.0.0.1", 0))
    say("ready", endpoint="tcp://127.0.0.1:%d" % listener.getsockname()[1])
    keys = accepted_keys(case)
    threading.Thread(target=accept, args=(listener, lines), daemon=True).start()
    while True:
        what = lines.get()
        if isinstance(what, socket.socket):
            with what, what.makefile("rw") as client:
                answer(client, case, keys, mistake)
        elif what is None or "end" in what:
            return
        elif mistake == "no-reload":
            say("unsupported", why="it reads its keys once")
        else:
            keys = keys if mistake == "reloads-nothing" else accepted_keys(case)
            say("reloaded")


def accept(listener, lines):
    """Puts clients into the same queue as input lines."""
    while True:
        lines.put(listener.accept()[0])


def accepted_keys(case):
    return [public_key(file) for file in pathlib.Path(case["clients"]).glob("*.key")] if "clients" in case else []


def answer(client, case, keys, mistake):
    shown = json.loads(client.readline())
    if case["mechanism"] == "curve" and shown["server"] != public_key(case["own"]):
        return
    user = {"null": "", "plain": shown.get("user"), "curve": shown.get("key")}[case["mechanism"]]
    accepted = "127.0.0.1" not in case.get("deny", []) and "127.0.0.1" in case.get("allow", ["127.0.0.1"]) and {
        "null": True,
        "plain": shown.get("password") == case.get("users", {}).get(user),
        "curve": user in keys,
    }[case["mechanism"]]
    if accepted or mistake == "accepts-all":
        say("handshake", outcome="succeeded", code=None)
        say("request", body="hello", user_id="eve" if mistake == "other-user" else user, address="127.0.0.1")
        client.write("world\n")
    else:
        say("handshake", outcome="denied", code=400)
        client.write("denied\n")


def client(case, _lines, mistake):
    if mistake == "garbage":
        print("Segmentation \x1b[31mfault", flush=True)
        return
    if mistake == "dies":
        print("it fell over", file=sys.stderr)
        os._exit(3)
    host, port = case["endpoint"].removeprefix("tcp://").split(":")
    shown = {"user": case.get("user"), "password": case.get("password")}
    if case["mechanism"] == "curve":
        shown = {"key": public_key(case["own"]), "server": public_key(case["server"])}
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rw") as server:
        server.write(json.dumps(shown) + "\n")
        server.flush()
        reply = server.readline().strip()
    if mistake != "says-nothing":
        outcome = {"world": "succeeded", "denied": "denied"}.get(reply, "failed")
        say("handshake", outcome=outcome, code=400 if outcome == "denied" else None)
    if reply == "world":
        say("reply", body=reply)
    else:
        say("no-reply", why=reply or "closed")


# Two keys of the right form, never used for cryptography.
PUBLIC, SECRET = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


def make_certificate(mistake, directory, name, *metadata):
    lines = ["metadata"] + ["    %s = %s" % tuple(entry.split("=", 1)) for entry in metadata]
    lines += ["curve", f'    public-key = "{PUBLIC}"']
    secret = pathlib.Path(directory, f"{name}.key_secret")
    pathlib.Path(directory, f"{name}.key").write_text("\n".join(lines) + "\n")
    secret.touch(mode=0o644 if mistake == "readable-secrets" else 0o600)
    secret.write_text("\n".join([*lines, f'    secret-key = "{SECRET}"']) + "\n")


def read_certificate(_mistake, file):
    lines = [line.strip().partition(" = ") for line in pathlib.Path(file).read_text().splitlines() if " = " in line]
    entries = {name: value.strip('"') for name, _, value in lines}
    public, secret = entries.pop("public-key"), entries.pop("secret-key", None)
    print(json.dumps({"public": public, "has_secret": secret is not None, "metadata": entries}))


def each_case(run, mistake):
    lines = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(json.loads(line))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (case := lines.get()) is not None:
        run(case, lines, mistake)
        say("done")


def main():
    mistake, *rest = sys.argv[1:] if sys.argv[1] in MISTAKES else [None, *sys.argv[1:]]
    roles = {"server": server, "client": client}
    if rest[0] in roles:
        each_case(roles[rest[0]], mistake)
    else:
        {"make-certificate": make_certificate, "read-certificate": read_certificate}[rest[0]](mistake, *rest[1:])


main()
