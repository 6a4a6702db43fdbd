"""An untrusted child process that answers each line with a line.

Each answer has a time limit and a length limit. Reads and writes never block. The process and its
own children end with the judge. `adamax_conformance.protocol.client` interprets the lines. POSIX
only: the child is the leader of a process group.
"""

import os
import selectors
import signal
import subprocess
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress

from adamax_conformance.subject.backend import LostError
from adamax_conformance.subject.printable import LONGEST, printable

LONGEST_LINE = 64 * 2**20
"""Largest length of an answer in bytes; reading stops there."""

STOP = b'{"command":"stop"}\n'

_CHUNK = 2**16
_KEPT = 4096
_LINES_SHOWN = 3
_LINE_SHOWN = 160
_TICK = 0.05
_GRACE = 1.0


class HungError(LostError):
    """The process did not answer in time."""


class Process:
    """One execution of a program.

    Args:
        command: the program and its arguments.

    Raises:
        LostError: it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the user named it to have it run
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise LostError(f"cannot be started: {printable(error, LONGEST)}") from error
        assert self._child.stdin is not None  # noqa: S101 - for mypy: they are pipes
        assert self._child.stdout is not None  # noqa: S101
        assert self._child.stderr is not None  # noqa: S101
        self._in = self._child.stdin.fileno()
        self._out = self._child.stdout.fileno()
        self._err = self._child.stderr.fileno()
        for pipe in (self._in, self._out, self._err):
            os.set_blocking(pipe, False)
        self._received = bytearray()
        self._errors = b""
        # Runs also when this object is collected, and when the interpreter exits.
        self._end = weakref.finalize(self, _end, self._child)

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Has the process been stopped or killed by this object?"""
        return not self._end.alive

    def end(self) -> None:
        """Ask the process to stop; then kill what is left of its group."""
        self._end()

    def kill(self) -> None:
        """Kill the process and its children."""
        if self._end.detach() is not None:
            _kill(self._child)

    def ask(self, line: bytes, timeout: float) -> bytes:
        """Send a line; return the answer without its line end. Kill the process on any error.

        Raises:
            HungError: the process did not answer within `timeout` seconds.
            LostError: it exited, closed its output, or wrote anything but one line.
        """
        try:
            return self._ask(line, timeout)
        except BaseException:
            self.kill()
            raise

    def _ask(self, line: bytes, timeout: float) -> bytes:
        self._require_no_output()
        deadline = time.monotonic() + timeout
        unsent = memoryview(line)
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            for pipe in (self._out, self._err):
                selector.register(pipe, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = [key.fd for key, _ in selector.select(min(left, _TICK))]
                if not ready and self._child.poll() is not None:
                    # The process has exited, but a child of it keeps the pipe open.
                    raise LostError(self._end_of_process())
                if self._in in ready:
                    try:
                        unsent = unsent[os.write(self._in, unsent[:_CHUNK]) :]
                    except BrokenPipeError:
                        selector.unregister(self._in)
                    if not unsent:
                        selector.unregister(self._in)
                if self._err in ready and not self._read_errors():
                    selector.unregister(self._err)
                if self._out in ready and (answer := self._read_line()) is not None:
                    if unsent:
                        raise LostError(f"wrote {_quoted(answer)} before reading the request")
                    return answer
        raise HungError(f"did not answer within {timeout:g} s{self._output_so_far()}")

    def _require_no_output(self) -> None:
        """Raise if the process has written since its last answer, or has exited."""
        early = bytes(self._received) or _read(self._out)
        if early:
            raise LostError(f"wrote {_quoted(early)} without a request")
        if early is not None or self._child.poll() is not None:
            raise LostError(self._end_of_process())

    def _read_line(self) -> bytes | None:
        """Read a part of the answer; return the answer if it is complete, else None."""
        chunk = _read(self._out)
        if chunk is None:
            return None
        if not chunk:
            raise LostError(self._end_of_process())
        end = chunk.find(b"\n")
        self._received += chunk if end < 0 else chunk[:end]
        if len(self._received) > LONGEST_LINE:
            raise LostError(f"wrote a line of more than {LONGEST_LINE >> 20} MiB")
        if end < 0:
            return None
        answer = bytes(self._received)
        self._received = bytearray(chunk[end + 1 :])
        return answer

    def _read_errors(self) -> bool:
        """Read standard error, keeping its beginning and end; return False once it is closed."""
        chunk = _read(self._err)
        self._errors += chunk or b""
        if len(self._errors) > 2 * _KEPT:
            self._errors = self._errors[:_KEPT] + self._errors[-_KEPT:]
        return chunk != b""

    def _end_of_process(self) -> str:
        """Describe the end of a process that has closed its output; wait briefly for its exit."""
        deadline = time.monotonic() + _GRACE
        while self._child.poll() is None and time.monotonic() < deadline:
            self._read_errors()
            time.sleep(_TICK / 10)
        for _ in range(_KEPT):
            if not _readable(self._err) or not self._read_errors():
                break
        code = self._child.returncode
        if code is None:
            how = "closed its standard output but is still running"
        elif code < 0:
            with suppress(ValueError):
                code = signal.Signals(-code).name
            how = f"was killed by signal {code}"
        else:
            how = f"exited with code {code}"
        return f"{how}{self._output_so_far()}"

    def _output_so_far(self) -> str:
        """Quote the incomplete answer and the standard error."""
        begun = f" after the incomplete line {_quoted(self._received)}" if self._received else ""
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        # Some languages print the cause of an error last, some first.
        if len(lines) > 2 * _LINES_SHOWN:
            lines = [*lines[:_LINES_SHOWN], "...", *lines[-_LINES_SHOWN:]]
        # The class of an exception is at the beginning, what is wrong often at the end.
        said = " | ".join(printable(line, _LINE_SHOWN) for line in lines)
        return begun + (f"; its standard error: {said}" if said else "")


def _read(pipe: int) -> bytes | None:
    """Read what a pipe holds: None if nothing yet, empty at its end."""
    try:
        return os.read(pipe, _CHUNK)
    except BlockingIOError:
        return None


def _readable(pipe: int) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(0))


def _quoted(raw: bytes | bytearray) -> str:
    """Quote the beginning of an output for a message."""
    return repr(printable(bytes(raw[:200]).decode(errors="replace"), 60))


def _end(child: "subprocess.Popen[bytes]") -> None:
    with suppress(OSError):
        os.write(child.stdin.fileno(), STOP)  # type: ignore[union-attr]  # a pipe
    with suppress(OSError):
        child.stdin.close()  # type: ignore[union-attr]  # a pipe
    with suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)
    _kill(child)


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """Kill the whole process group. Its id cannot be reused before `wait`."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
