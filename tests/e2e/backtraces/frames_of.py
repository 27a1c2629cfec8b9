# For gdb's Python: prints every frame of every thread as one JSON line.
import json

import gdb

KINDS = {gdb.NORMAL_FRAME: "code", gdb.INLINE_FRAME: "inlined", gdb.SIGTRAMP_FRAME: "signal", gdb.TAILCALL_FRAME: "tail call"}

gdb.execute("set backtrace past-main on")
for thread in gdb.selected_inferior().threads():
    thread.switch()
    try:
        frame = gdb.newest_frame()
        while frame:
            newer = frame.newer()
            told = {
                "tid": thread.ptid[1],
                "pc": frame.pc(),
                "kind": KINDS.get(frame.type(), "other"),
                "name": frame.name(),
                "after_signal": newer is None or newer.type() == gdb.SIGTRAMP_FRAME,
            }
            print("frame " + json.dumps(told))
            frame = frame.older()
    except gdb.error as error:
        print("frame " + json.dumps({"tid": thread.ptid[1], "error": str(error)}))
