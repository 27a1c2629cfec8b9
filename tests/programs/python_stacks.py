"""python_stacks.py [fault]: threads that wait in Python in different ways. Prints what faulthandler says of them, then "ready", and
ends at the end of its input; with "fault" it reads through a null pointer first."""
import ctypes
import faulthandler
import sys
import threading
import time


class Türhüter:
    def halten(self, tor):
        with tor:  # waits
            pass


def recursive(depth):
    if depth:
        return recursive(depth - 1)
    time.sleep(1000)  # waits


def counted():
    yield 1
    time.sleep(1000)  # waits


def in_generator():
    for _ in counted():
        pass


def called_by_c():
    return sorted([3, 1, 2], key=lambda _: (
        None,
        time.sleep(1000)  # waits
    ))


def fault():
    ctypes.string_at(0)


closed = threading.Lock()
closed.acquire()
threads = [
    threading.Thread(target=target, args=arguments, name=target.__name__, daemon=True)
    for target, arguments in [
        (recursive, (5,)),
        (in_generator, ()),
        (called_by_c, ()),
        (Türhüter().halten, (closed,)),
    ]
]
with open(__file__, encoding="utf-8") as own:
    waiting = {number for number, line in enumerate(own, 1) if line.endswith("# waits\n")}
for thread in threads:
    thread.start()
while not all(sys._current_frames()[thread.ident].f_lineno in waiting for thread in threads):
    time.sleep(0.01)

faulthandler.dump_traceback(file=sys.stdout, all_threads=True)
print("ready", flush=True)
if sys.argv[1:] == ["fault"]:
    fault()
sys.stdin.readline()
