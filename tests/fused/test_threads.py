"""Helper threads start only for large steps, and survive forks and interpreter shutdown."""

import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import NoReturn

import pytest

from adamax_fused import threads
from adamax_fused.threads import together, usable
from kernel_process import run

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, 4),
        ("1", 1),
        ("3", 3),
        ("9", 4),
        ("2,7", 2),
        (" 2 , 1", 2),
        ("", 4),
        ("0", 4),
        ("-2", 4),
        ("2.0", 4),
        ("two", 4),
        (",1", 4),
    ],
)
def test_the_affinity_and_openmps_variable_limit_what_is_usable(
    limit: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5, 7}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert usable() == expected


@pytest.mark.parametrize(("processors", "expected"), [(6, 6), (None, 1)])
def test_without_affinity_usable_is_the_processor_count(
    processors: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity to set")
def test_a_process_bound_to_one_processor_starts_no_thread() -> None:
    run("""
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
train(LARGE)
assert threading.active_count() == 1, threading.enumerate()
""")


def test_the_caller_and_a_helper_work_at_the_same_time() -> None:
    barrier = threading.Barrier(2, timeout=60)
    together(barrier.wait, 1)
    assert not barrier.broken


def test_an_error_of_the_caller_is_raised_after_its_helper_has_finished() -> None:
    caller, begun, failing, finished = threading.current_thread(), Event(), Event(), Event()

    def work() -> None:
        if threading.current_thread() is caller:
            assert begun.wait(60)
            failing.set()
            raise KeyError("caller")
        begun.set()
        assert failing.wait(60)
        time.sleep(0.1)  # the error would be there first
        finished.set()

    with pytest.raises(KeyError, match="caller"):
        together(work, 1)
    assert finished.is_set()


def test_an_error_of_a_helper_is_raised_in_the_caller() -> None:
    caller, begun = threading.current_thread(), Event()

    def work() -> None:
        if threading.current_thread() is caller:
            assert begun.wait(60)
            return
        begun.set()
        raise KeyError("helper")

    with pytest.raises(KeyError, match="helper"):
        together(work, 1)


def test_a_helper_that_has_not_begun_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release, calls = Event(), list[threading.Thread]()
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(threads, "_pool", lambda _: pool)
        busy = pool.submit(release.wait, 60)
        try:
            together(lambda: calls.append(threading.current_thread()), 3)
            assert not busy.done()
        finally:
            release.set()
    assert calls == [threading.current_thread()]


def test_if_no_thread_can_start_the_caller_works_alone_and_keeps_no_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    class Work:
        calls = 0

        def __call__(self) -> None:
            self.calls += 1

    threads._pools.clear()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    work = Work()
    together(work, 2)
    assert work.calls == 1
    reference = weakref.ref(work)
    del work
    gc.collect()
    assert reference() is None


SMALL = """
train(999_999, threads=8)
train(499_999, threads=8, dtype=np.complex64)
train(LARGE, threads=1)
"""


@pytest.mark.parametrize(
    ("steps", "environment"), [(SMALL, {}), ("train(LARGE)", {"OMP_NUM_THREADS": "1"})]
)
def test_a_small_or_single_threaded_step_starts_no_thread(
    steps: str, environment: dict[str, str]
) -> None:
    run(
        f"""
def native():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
before = native()
{steps}
assert threading.active_count() == 1, threading.enumerate()
assert native() == before
""",
        OPENBLAS_NUM_THREADS="1",  # SciPy comes with Numba, and starts its own
        **environment,
    )


@pytest.mark.parametrize(
    ("arguments", "limit"), [("LARGE, threads=2", "1"), ("LARGE", "2"), ("1_000_000, 8", "1")]
)
def test_a_large_step_of_two_threads_starts_one(arguments: str, limit: str) -> None:
    run(
        f"""
os.sched_getaffinity = lambda _: set(range(8))
train({arguments})
assert threading.active_count() == 2, threading.enumerate()
assert len(helpers()) == 1
""",
        OMP_NUM_THREADS=limit,
    )


def test_importing_and_making_a_state_starts_no_thread_and_imports_no_numba() -> None:
    run("""
init({"w": np.ones(LARGE, np.float32)})
assert threading.active_count() == 1, threading.enumerate()
assert "numba" not in sys.modules
""")


def test_the_pool_has_as_many_helpers_as_the_largest_step_needs() -> None:
    """A larger pool replaces a smaller one, whose threads end."""
    run(
        """
import time
for size in (1_000_000, 1_500_000, 2_000_000, 1_000_000, 3_000_000):
    train(size, threads=4)
deadline = time.monotonic() + 60
while threading.active_count() > 4 and time.monotonic() < deadline:
    time.sleep(0.01)  # a helper ends shortly after shutdown
assert threading.active_count() == 4, threading.enumerate()
"""
    )


def test_several_threads_step_at_once() -> None:
    run("""
def work(dtype):
    for _ in range(5):
        train(1_500_000, 2, dtype)
        availability.missing.cache_clear()  # as for dtypes that come anew
dtypes = [np.float32, np.float64, np.float16, np.float32]
threads = [threading.Thread(target=work, args=(dtype,)) for dtype in dtypes]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert helpers()
""")


@forks
@pytest.mark.parametrize("leave", ["sys.exit()", "os._exit(0)"])
def test_a_forked_process_starts_its_own_helpers_and_exits(leave: str) -> None:
    run(f"""
train(LARGE, 2)
assert len(helpers()) == 1
child = os.fork()
if not child:
    signal.alarm(60)
    assert not helpers()
    train(LARGE, 2)
    assert len(helpers()) == 1
    {leave}
assert os.waitpid(child, 0)[1] == 0
train(LARGE, 2)
""")


@forks
@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_forking_during_steps_does_not_hang(times: int) -> None:
    run(
        """
stop, begun = threading.Event(), threading.Event()
def go_on():
    while not stop.is_set():
        train(LARGE, 2)
        begun.set()
thread = threading.Thread(target=go_on)
thread.start()
begun.wait()
try:
    for number in range(int(os.environ['TIMES'])):
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                train(1_000_000 if number % 5 else LARGE, 2)
                assert len(helpers()) == 1
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
finally:
    stop.set()
thread.join()
""",
        TIMES=str(times),
    )


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "train(LARGE, 2)"])
def test_a_step_is_taken_at_the_exit_of_the_interpreter(before: str) -> None:
    printed = run(f"""
import atexit
def leave():
    train(LARGE, 2)
    print("stepped")
atexit.register(leave)
{before}
""")
    assert printed == "stepped\n"


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "train(LARGE, 2)"])
def test_a_thread_keeps_stepping_after_the_main_thread_has_ended(before: str) -> None:
    printed = run(f"""
import concurrent.futures.thread, time
def go_on():
    while not concurrent.futures.thread._shutdown:
        time.sleep(0.001)
    train(LARGE, 2)
    print("stepped")
threading.Thread(target=go_on).start()
{before}
""")
    assert printed == "stepped\n"


def test_a_thread_steps_while_the_main_thread_ends() -> None:
    printed = run("""
begun = threading.Event()
def go_on():
    for _ in range(20):
        train(LARGE, 2)
        begun.set()
    print("stepped")
threading.Thread(target=go_on).start()
begun.wait()
""")
    assert printed == "stepped\n"
