"""blocking: threads of a Python program that wait in C: called by ctypes, in a lock, in a read. Prints "ready pid=P"."""

import ctypes
import os
import threading

READ_END, WRITE_END = os.pipe()
C = ctypes.CDLL(None)


def parse_header(depth):
    if depth:
        return parse_header(depth - 1)
    buffer = ctypes.create_string_buffer(1)
    return C.read(READ_END, buffer, 1)


def handle_request(kind):
    return {"ctypes": lambda: parse_header(2), "lock": lambda: LOCK.acquire(), "read": lambda: os.read(READ_END, 1)}[kind]()


class Worker(threading.Thread):
    def run(self):
        handle_request(self.name)


LOCK = threading.Lock()
LOCK.acquire()
for name in ("ctypes", "lock", "read"):
    Worker(name=name, daemon=True).start()
print(f"ready pid={os.getpid()}", flush=True)
parse_header(1)
