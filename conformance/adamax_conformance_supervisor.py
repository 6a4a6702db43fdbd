"""Run the judge as a child process and supervise it: a judge that vanishes is never exit code 0.

A backend may end the process that judges it (`os._exit`, `exit` in a compiled library, a
segmentation fault), or never return. So the command forks before it imports anything that starts a
thread. The child judges, on the streams and the terminal of its parent, and writes into shared
memory what it is doing; the parent waits, and says what the child was doing if it vanished.

This module imports nothing of the package. In a process that `supervise` did not start, such as
that of pytest, nobody reads what `note`, `limit`, `begin` and `end` write.
"""

import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

VANISHED = 3
"""Exit code if the judge vanished: that of a broken backend."""

TICK = 0.25
"""Seconds between two looks at the judge."""

_SAME_KEY = 1.0
_RUNNING = -1
_PR_SET_PDEATHSIG = 1


class _Record(ctypes.Structure):
    """What the judge is doing.

    Attributes:
        code: exit code of the judge; `_RUNNING` until it ends by itself.
        calls: number of calls of a backend that began, plus those that ended: odd during a call.
        limit: seconds that a call may take.
        work: what is judged, such as a case, in UTF-8.
        operation: the present or latest call.
    """

    _fields_ = (
        ("code", ctypes.c_int64),
        ("calls", ctypes.c_int64),
        ("limit", ctypes.c_double),
        ("work", ctypes.c_char * 512),
        ("operation", ctypes.c_char * 64),
    )


_record = _Record(_RUNNING, 0, float("inf"))


def note(work: str) -> None:
    """Write down what the next calls of a backend are for; the message after a crash says it."""
    _record.work = work.encode(errors="replace")[: _Record.work.size - 1]


def limit(seconds: float) -> None:
    """Set the time that a call of a backend may take; after that the judge is killed."""
    _record.limit = seconds


def begin(operation: str) -> None:
    """Write down that a call of the backend begins."""
    _record.operation = operation.encode()
    _record.calls += 1


def end() -> None:
    """Write down that the call has returned or raised."""
    _record.calls += 1


def supervise(run: Callable[[], None]) -> NoReturn:
    """Run a function in a child process, and exit as it does.

    If the child ends without `run` having returned or raised, say on standard error what it was
    doing and exit with `VANISHED`. Kill it if a call of a backend exceeds its limit.
    """
    global _record  # noqa: PLW0603 - a process has one supervisor
    if not hasattr(os, "fork"):
        run()
        sys.exit()
    _record = _Record.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Record)))
    _record.code, _record.limit = _RUNNING, float("inf")
    if child := os.fork():
        sys.exit(_Parent(child).wait())
    _die_with_parent()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Interrupt())
    try:
        run()
    except SystemExit as asked:
        _record.code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
        raise
    except Exception:
        _record.code = 1
        raise
    _record.code = 0
    sys.exit()


def _die_with_parent() -> None:
    """Ask Linux to kill this process if the parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Interrupt:
    """Handler of SIGINT: a key of the terminal interrupts both processes, and the parent forwards.

    So it ignores a signal that follows another at once.
    """

    def __init__(self) -> None:
        self._latest = -_SAME_KEY

    def __call__(self, number: int, frame: FrameType | None) -> None:
        before, self._latest = self._latest, time.monotonic()
        if self._latest - before >= _SAME_KEY:
            signal.default_int_handler(number, frame)


class _Parent:
    """The parent of the judge."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._sent: set[int] = set()
        self._seen = 0
        self._waited = 0.0
        self._hung = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._forward)
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    def wait(self) -> int:
        """Wait for the judge; return the exit code."""
        _, status = os.waitpid(self._child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        code = os.waitstatus_to_exitcode(status)
        if _record.code != _RUNNING:
            return int(_record.code)
        if -code in self._sent:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        self._explain(code)
        return VANISHED

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        self._sent.add(number)
        self._kill(number)

    def _kill(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        """Kill the judge if a call exceeds its limit; a stopped job is not looked at."""
        calls = _record.calls
        self._waited = self._waited + TICK if calls == self._seen and calls % 2 else 0.0
        self._seen = calls
        if self._waited > _record.limit:
            self._hung = True
            self._kill(signal.SIGKILL)

    def _explain(self, code: int) -> None:
        """Print what the judge was doing, and how it ended."""
        where = _record.work.decode(errors="replace") or "before the first step"
        if _record.calls % 2:
            where += f", in `{_record.operation.decode()}`"
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        message = f"the process that judges ended with {how}, so there is no report"
        if self._hung:
            message = f"no answer within {_record.limit:g} s: raise --timeout"
        if sys.stderr is not None:
            # A progress bar hides the cursor.
            show = "\n\x1b[?25h" if sys.stderr.isatty() else ""
            sys.stderr.write(f"{show}{where}: {message}\n")
