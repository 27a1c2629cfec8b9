"""interpreter_lock: a Python program with busy threads. A line on stdin has a new thread read a null pointer in C:
held      while it holds the interpreter lock        released  after it has given that up
count N   prints "count N: C", C grows while the other threads run
Prints "ready P"."""

import ctypes
import os
import sys
import threading
import time

counted = 0


def count():
    global counted
    while True:
        counted += 1
        time.sleep(0.001)


def held():
    ctypes.string_at(0)


def released():
    ctypes.CDLL(None).strlen(0)


for _ in range(2):
    threading.Thread(target=count, daemon=True).start()
print("ready", os.getpid(), flush=True)
for line in sys.stdin:
    if line.startswith("count"):
        print(f"{line.strip()}: {counted}", flush=True)
    else:
        threading.Thread(target={"held\n": held, "released\n": released}[line], daemon=True).start()
