"""faulthandler.py [fault]: Python whose faulthandler prints its own traceback when the interpreter faults.
Prints "ready PID", then reads address 8 through ctypes in a function named read_null (or, without `fault`, ends well)."""
import ctypes
import faulthandler
import os
import sys


def read_null():
    ctypes.string_at(8)


faulthandler.enable()
print("ready", os.getpid(), flush=True)
if sys.argv[1:] == ["fault"]:
    read_null()
