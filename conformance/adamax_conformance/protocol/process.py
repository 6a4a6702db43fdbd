"""A child process that answers a line with a line, and whatever else it may do instead.

It has a time for each answer and a limit on its length, it is never waited for by a blocking read
or write, and it ends, with all that it has started, when the judge does. What the lines mean is the
business of `adamax_conformance.protocol.client`. POSIX only: it is a process group of its own.
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
"""Bytes of an answer; a longer one is not read to its end."""

STOP = b'{"command":"stop"}\n'

_CHUNK = 2**16
_KEPT = 4096
_LINES_SHOWN = 3
_TICK = 0.05
_GRACE = 1.0


class HungError(LostError):
    """The process gave no answer in its time."""


class Process:
    """One life of a program.

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
        self._said = b""
        # Also where this object is forgotten, and where the interpreter exits.
        self._end = weakref.finalize(self, _end, self._child)

    @property
    def pid(self) -> int:
        """The number of the process, and of its group."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether it has been made an end of."""
        return not self._end.alive

    def end(self) -> None:
        """Ask it to stop; kill it, and all that it has started, where it does not."""
        self._end()

    def kill(self) -> None:
        """Kill it, and all that it has started."""
        if self._end.detach() is not None:
            _kill(self._child)

    def ask(self, line: bytes, timeout: float) -> bytes:
        """Send a line; the line that it answers, without its end.

        The process is killed where this raises.

        Raises:
            HungError: no answer came in this many seconds.
            LostError: it exited, closed its output, or wrote something else than one line.
        """
        try:
            return self._ask(line, timeout)
        except BaseException:
            self.kill()
            raise

    def _ask(self, line: bytes, timeout: float) -> bytes:
        self._require_silence()
        deadline = time.monotonic() + timeout
        unsent = memoryview(line)
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            for pipe in (self._out, self._err):
                selector.register(pipe, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = [key.fd for key, _ in selector.select(min(left, _TICK))]
                if not ready and self._child.poll() is not None:
                    # Somebody else still holds its output.
                    raise LostError(self._how_it_ended())
                if self._in in ready:
                    try:
                        unsent = unsent[os.write(self._in, unsent[:_CHUNK]) :]
                    except BrokenPipeError:
                        selector.unregister(self._in)
                    if not unsent:
                        selector.unregister(self._in)
                if self._err in ready and not self._listen():
                    selector.unregister(self._err)
                if self._out in ready and (answer := self._read_line()) is not None:
                    if unsent:
                        raise LostError(f"wrote {_quoted(answer)} before it had read what it was "
                                        "asked")  # fmt: skip
                    return answer
        raise HungError(f"gave no answer in {timeout:g} s{self._last_words()}")

    def _require_silence(self) -> None:
        """Raise unless nothing has come since the last answer, and the process is there."""
        early = bytes(self._received) or _read(self._out)
        if early:
            raise LostError(f"wrote {_quoted(early)} without being asked")
        if early is not None or self._child.poll() is not None:
            raise LostError(self._how_it_ended())

    def _read_line(self) -> bytes | None:
        """What has come so far of the answer, if that is all of it."""
        chunk = _read(self._out)
        if chunk is None:
            return None
        if not chunk:
            raise LostError(self._how_it_ended())
        end = chunk.find(b"\n")
        self._received += chunk if end < 0 else chunk[:end]
        if len(self._received) > LONGEST_LINE:
            raise LostError(f"wrote a line of more than {LONGEST_LINE >> 20} MiB")
        if end < 0:
            return None
        answer = bytes(self._received)
        self._received = bytearray(chunk[end + 1 :])
        return answer

    def _listen(self) -> bool:
        """Keep both ends of what comes on the standard error; False where that is closed."""
        chunk = _read(self._err)
        self._said += chunk or b""
        if len(self._said) > 2 * _KEPT:
            self._said = self._said[:_KEPT] + self._said[-_KEPT:]
        return chunk != b""

    def _how_it_ended(self) -> str:
        """What became of a process whose output has ended, which may take it a moment."""
        deadline = time.monotonic() + _GRACE
        while self._child.poll() is None and time.monotonic() < deadline:
            self._listen()
            time.sleep(_TICK / 10)
        for _ in range(_KEPT):
            if not _readable(self._err) or not self._listen():
                break
        code = self._child.returncode
        if code is None:
            how = "closed its standard output, and goes on"
        elif code < 0:
            with suppress(ValueError):
                code = signal.Signals(-code).name
            how = f"was ended by signal {code}"
        else:
            how = f"exited with code {code}"
        return f"{how}{self._last_words()}"

    def _last_words(self) -> str:
        """What it has begun to answer, and what it has said beside that."""
        begun = f" after {_quoted(self._received)}, which has no end" if self._received else ""
        lines = [line.strip() for line in self._said.decode(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        # In some languages the end tells what went wrong, in some the beginning.
        if len(lines) > 2 * _LINES_SHOWN:
            lines = [*lines[:_LINES_SHOWN], "...", *lines[-_LINES_SHOWN:]]
        said = " | ".join(printable(line[-100:], LONGEST) for line in lines)
        return begun + (f"; its standard error: {said}" if said else "")


def _read(pipe: int) -> bytes | None:
    """What there is in a pipe; None where there is nothing yet, empty where it has ended."""
    try:
        return os.read(pipe, _CHUNK)
    except BlockingIOError:
        return None


def _readable(pipe: int) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(0))


def _quoted(raw: bytes | bytearray) -> str:
    """The beginning of an output, for a message."""
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
    """The whole group: what the program started, too. Its number is not given to others before."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
