"""Plain threads that help with a call: started by the first call that is long enough for them.

A pool of Python threads, with no barrier: the caller works too, and waits for a helper only while
that helper is at work. A forked process starts with no pool and makes its own.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


def usable() -> int:
    """The number of processors that this process may use, at most ``OMP_NUM_THREADS``.

    That is the scheduler's affinity where the system has one. ``OMP_NUM_THREADS`` may be a list,
    of which the first counts; what is no positive number is ignored, as OpenMP does.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(processors, int(limit)) if limit.isdecimal() and int(limit) else processors


def together(work: Callable[[], object], helpers: int) -> None:
    """Call `work` in this thread, and in up to so many others at the same time.

    Each call of `work` takes a share of what is to be done, until nothing is left; so it does not
    matter how many of the others get a processor.
    """
    helping: list[Future[object]] = []
    try:
        helping.extend(_pool(helpers).submit(work) for _ in range(helpers))
    except RuntimeError:
        # The interpreter is shutting down, or may not start another thread: the caller works alone.
        _pools.clear()  # one would keep `work` for a thread that never comes
    try:
        work()
    finally:
        for future in helping:
            # One that has not begun has nothing left to do.
            if not future.cancel():
                future.result()


_pools: dict[int, ThreadPoolExecutor] = {}
"""The one pool that there is, by its number of threads; or none."""


def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool of so many threads or more; it takes the place of one that has fewer."""
    for size, pool in list(_pools.items()):
        if size >= threads:
            return pool
        pool.shutdown(wait=False)
    _pools.clear()
    return _pools.setdefault(threads, ThreadPoolExecutor(threads, thread_name_prefix="adamax"))


if hasattr(os, "register_at_fork"):
    # The child has none of the threads that the pool counts on.
    os.register_at_fork(after_in_child=_pools.clear)
