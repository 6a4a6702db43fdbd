"""A pool of Python threads, started by the first call that is long enough to use them.

There is no barrier: the caller works too, and waits only for helpers that are still working. A
forked process starts without a pool and makes its own.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


def usable() -> int:
    """The number of processors that this process may use, at most ``OMP_NUM_THREADS``.

    Reads the scheduler's affinity where the system has one. Of a list in ``OMP_NUM_THREADS`` the
    first number counts; other values are ignored, as OpenMP does.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(processors, int(limit)) if limit.isdecimal() and int(limit) else processors


def together(work: Callable[[], object], helpers: int) -> None:
    """Call `work` in this thread and in up to `helpers` others at the same time.

    Each call of `work` takes pieces until none is left, so the result does not depend on how many
    helpers run.
    """
    helping: list[Future[object]] = []
    try:
        helping.extend(_pool(helpers).submit(work) for _ in range(helpers))
    except RuntimeError:
        # The interpreter is shutting down, or cannot start a thread: the caller works alone.
        _pools.clear()  # a pool would keep `work` queued for a thread that never starts
    try:
        work()
    finally:
        for future in helping:
            # All pieces are taken, so a helper that has not begun can be cancelled.
            if not future.cancel():
                future.result()


_pools: dict[int, ThreadPoolExecutor] = {}
"""The pool, by its number of threads; at most one."""


def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool of at least `threads` threads; replaces a smaller one."""
    for size, pool in list(_pools.items()):
        if size >= threads:
            return pool
        pool.shutdown(wait=False)
    _pools.clear()
    return _pools.setdefault(threads, ThreadPoolExecutor(threads, thread_name_prefix="adamax"))


if hasattr(os, "register_at_fork"):
    # A fork copies the pool, but not its threads.
    os.register_at_fork(after_in_child=_pools.clear)
