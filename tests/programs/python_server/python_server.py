"""python_server.py: an HTTP server with a thread for each connection. The path says what a request is to do.

  /good                 answers "ok"
  /state                answers "THREADS threads, KIB KiB, FILES files, OBJECTS objects, REFS references, ALIVE alive"
  /MODULE/FUNCTION      calls that function with an object, and answers what it returned; where it raises, status 500 and
                        "TYPE: TEXT | FUNCTION:LINE | ...", the functions that the exception has passed
  /ctypes/held          a C function called with the interpreter lock (PyDLL) reads at 0; /ctypes/released: without it (CDLL);
                        /ctypes/callback: called in a call of C, the C library's qsort(3)
"""

import ctypes
import gc
import http.server
import os
import sys
import traceback

import fault_cython
import fault_native
import fault_pybind
import fault_translated

argument = object()
noted = []
parsers = {"pybind": fault_pybind.Parser(), "cython": fault_cython.Parser()}
length, length_with_lock = ctypes.CDLL(None).strlen, ctypes.PyDLL(None).strlen
length.argtypes = length_with_lock.argtypes = [ctypes.c_void_p]
modules = {
    "cython": fault_cython,
    "translated": fault_translated,
    "pybind": fault_pybind,
}


def compare(left, right):
    return length(None)


def call_ctypes(function):
    if function == "held":
        return length_with_lock(None)
    if function == "released":
        return length(None)
    compared = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(compare)
    numbers = (ctypes.c_int * 2)(2, 1)
    return ctypes.CDLL(None).qsort(numbers, 2, ctypes.sizeof(ctypes.c_int), compared)


def call(module, function):
    if module == "ctypes":
        return call_ctypes(function)
    if function == "method":
        return parsers[module].parse(argument)
    if function == "attribute":
        return parsers[module].header
    if function == "cleaned":
        return fault_cython.cleaned(argument, fault_native.held, noted)
    if module == "native":
        return getattr(fault_native, function)()
    return getattr(modules[module], function)(argument)


def state():
    gc.collect()
    with open("/proc/self/statm") as file:
        memory = int(file.read().split()[1]) * 4
    files = len(os.listdir("/proc/self/fd"))
    threads = len(os.listdir("/proc/self/task"))
    references = sys.getrefcount(argument) + sys.getrefcount(fault_cython.held) + sys.getrefcount(fault_pybind.held)
    objects = len(gc.get_objects())
    alive = fault_translated.alive() + fault_pybind.alive()
    return (
        f"{threads} threads, {memory} KiB, {files} files, {objects} objects, {references} references, "
        f"{alive} alive, {len(noted)} noted"
    )


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out at once.
    wbufsize = 1 << 16

    def do_GET(self):
        status = 200
        try:
            if self.path == "/good":
                text = "ok"
            elif self.path == "/state":
                text = state()
            else:
                text = str(call(*self.path[1:].split("/")))
        except RuntimeError as error:
            status = 500
            frames = [f"{frame.name}:{frame.line}" for frame in traceback.extract_tb(error.__traceback__)]
            text = " | ".join([f"{type(error).__name__}: {error}", *frames])
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
