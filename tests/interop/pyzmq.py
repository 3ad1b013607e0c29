"""pyzmq's policy, as scenarios.txt asks it: reads lines from standard input and answers each; see ours.rs."""

import asyncio
import faulthandler
import io
import logging
import os
import sys

import zmq
import zmq.auth
import zmq.auth.thread

# How long a running handler has for an answer. pyzmq's keeps silent where ours doesn't; it is waited out.
SILENCE_MS = 2_000
# How long all of it may take.
DEADLINE_S = 60


def say(answer):
    print(answer, flush=True)


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


def main():
    faulthandler.dump_traceback_later(DEADLINE_S, exit=True)
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


main()
