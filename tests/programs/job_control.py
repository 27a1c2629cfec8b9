"""job_control.py: an interactive shell under pexpect. Stops, resumes, lists and ends jobs, and prints what the shell says of them."""

import re
import sys

import pexpect

PROMPT = "prompt-is-here "


def main():
    shell = pexpect.spawn("/bin/bash", ["--norc", "--noprofile", "--noediting", "-i"], encoding="utf-8", timeout=20, echo=False)
    shell.sendline(f"stty -echo; PS1='prompt-is-'here' '")
    shell.expect_exact(PROMPT)

    def command(line):
        shell.sendline(line)
        shell.expect_exact(PROMPT)
        text = shell.before.replace("\r", "").strip()
        print(line, "->", re.sub(r"[0-9]{3,}", "N", text))

    def start(line, begun):
        shell.sendline(line)
        shell.expect_exact(begun)

    def key(letter):
        shell.sendcontrol(letter)
        shell.expect_exact(PROMPT)
        print("ctrl", letter, "->", " ".join(re.sub(r"[0-9]{3,}", "N", shell.before).replace("\r", "").split()))

    start("sh -c 'echo begun-$((1+1)); exec sleep 1000'", "begun-2")
    key("z")
    command("jobs")
    command("bg %1")
    command("jobs")
    start("fg %1", "sleep 1000")
    key("c")
    command("echo status $?")
    start("cat", "")
    shell.sendline("a line")
    shell.expect_exact("a line")
    key("z")
    start("fg", "cat")
    key("c")
    command("sh -c 'kill -STOP $$; exit 7'")
    command("fg; echo status $?")
    command("(sleep 0.01; exit 3) & wait $!; echo status $?")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
    print("shell ended with", shell.exitstatus, shell.signalstatus)


sys.exit(main())
