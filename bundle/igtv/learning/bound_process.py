"""A child process in a group of its own that ends, with everything it started, when its parent does.

Between parent and work stands this small program: it leads the group, hears from the kernel when the parent dies
(PR_SET_PDEATHSIG, Linux) and then ends the whole group; when it is killed itself, the kernel ends the work too.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
NICENESS = 5  # those who wait for an answer come first


def start_bound(
    command: Sequence[str], log_path: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a command that must not outlive this process.

    The kernel counts the thread that calls this as the parent: it has to stay until the command has ended.

    Args:
        command: program and arguments.
        log_path: file that its output is appended to.
        environment: of the command; None: this process's own.

    Returns:
        The leader of the group; its return code is that of the command, 128 + n when signal n ended it.
    """
    launcher = [sys.executable, os.path.abspath(__file__), str(os.getpid()), *command]
    with open(log_path, "ab") as log:
        return subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )


def stop_bound(process: subprocess.Popen) -> None:
    """End the whole group of a command at once, without asking."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when its parent ends; does nothing elsewhere than on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)


def main(arguments: Sequence[str]) -> int:
    """Run `arguments[1:]` for the process `arguments[0]`, and end with it."""
    parent, command = int(arguments[0]), list(arguments[1:])
    signal.signal(signal.SIGTERM, _end_group)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the kernel was asked
        return 1
    leader = os.getpid()
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent()
        os.nice(NICENESS)
        if os.getppid() != leader:
            os._exit(1)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]} cannot be started: {error}", flush=True)
            os._exit(127)
    while True:
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code  # by a signal: as shells tell it
        if os.getppid() != parent:
            _end_group()
        time.sleep(0.2)


def _end_group(*_: object) -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
