"""raiser.py: answers requests on stdin, each in a worker thread with an `except Exception` of its own.

  good      prints "ok"                             string    ctypes reads a string at 0, with the interpreter lock
  foreign   a C function called through ctypes reads at 0, without the lock
  held      a method of an extension faults, with the lock
  released  the same without it                     handed    a method hands the interpreter what is no object
  length    an object's length faults               caught    C++ faults below a method that catches everything
  quiet     the same below one that is noexcept     traceback prints where "held" raised its exception
  state     prints "state: F failed, N threads, KiB of memory, files, REFS references"

Another thread counts all the time. "main" as an argument has the main thread answer.
"""

import ctypes
import os
import sys
import threading
import time
import traceback

import fault_cxx
import fault_native

counted = 0
failed = 0
argument = object()
length = ctypes.CDLL(None).strlen
length.argtypes = [ctypes.c_void_p]


def parse(request):
    if request == "string":
        return ctypes.string_at(0)
    if request == "foreign":
        return length(None)
    if request == "length":
        return len(fault_native.Sized())
    if request in ("caught", "quiet"):
        return getattr(fault_cxx, request)()
    return getattr(fault_native, request)()


def answer(request):
    global failed
    if request == "good":
        return "ok"
    if request == "state":
        before = counted
        while counted == before:
            time.sleep(0)
        with open("/proc/self/statm") as file:
            memory = int(file.read().split()[1]) * 4
        files = len(os.listdir("/proc/self/fd"))
        threads = len(os.listdir("/proc/self/task"))
        references = sys.getrefcount(argument) + sys.getrefcount(fault_native.held) + fault_cxx.things()
        return f"state: {failed} failed, {threads} threads, {memory} KiB, {files} files, {references} references"
    try:
        parse("held" if request == "traceback" else request)
        return "ok"
    except Exception as error:
        failed += 1
        if request == "traceback":
            lines = [f"{frame.name}:{frame.line}" for frame in traceback.extract_tb(error.__traceback__)]
            return "traceback: " + " | ".join(lines)
        return f"failed: {type(error).__name__}: {error}"


def work():
    for line in sys.stdin:
        print(answer(line.strip()), flush=True)
    os._exit(0)


def count():
    global counted
    while True:
        counted += 1
        time.sleep(0.0001)


print("ready", os.getpid(), flush=True)
threading.Thread(target=count, daemon=True).start()
if len(sys.argv) > 1:
    work()
threading.Thread(target=work, name="worker").start()
