"""A right program, except for runs whose eps is 1: then it misbehaves as its argument says.

The second argument is a file for the ids of its processes, the third the folder of the right
skeleton.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOW, NOTES = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, sys.argv[3])
adamax_harness: Any = importlib.import_module("adamax_harness")
ONE = "3ff0000000000000"
OFFER = {**adamax_harness.OFFER, "name": "misbehaving", "dtypes": ["float32"]}
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def write(raw: bytes) -> None:
    """Write to standard output and flush."""
    while raw:
        raw = raw[os.write(1, raw) :]


def say(message: Any) -> None:
    write(json.dumps(message).encode() + b"\n")


def sleep() -> None:
    time.sleep(600)


def note(*pids: int) -> None:
    with NOTES.open("a") as notes:
        notes.write(" ".join(map(str, pids)) + "\n")


def forever(do: Callable[[], Any]) -> None:
    while True:
        do()


# What it says instead of the right answer, of a request and that answer: a document, or raw bytes.


def records(change: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda _, a: {**a, "records": [{**r, **change(r)} for r in a["records"]]}


def arrays(**fields: Any) -> Callable[[Any, Any], Any]:
    return records(lambda r: {"params": {k: {**v, **fields} for k, v in r["params"].items()}})


def steps(step: Any) -> Callable[[Any, Any], Any]:
    return records(lambda r: {"state": {k: {**v, "step": step} for k, v in r["state"].items()}})


def failure(**error: Any) -> Callable[[Any, Any], Any]:
    return lambda request, _: {"id": request["id"], "error": error}


def widened(record: Any) -> Any:
    wide = {"dtype": "float64", "shape": [1], "bits": ONE}
    return {"params": dict.fromkeys(record["params"], wide)}


SAYS: dict[str, Callable[[Any, Any], Any]] = {
    "not-json": lambda *_: b"done!\n",
    "empty-line": lambda *_: b"\n",
    "python-repr": lambda _, a: repr(a).encode() + b"\n",
    "list": lambda _, a: [a],
    "number": lambda *_: 7,
    "not-utf8": lambda *_: b'{"id": "\xff\xfe"}\n',
    "utf16": lambda _, a: json.dumps(a).encode("utf-16-le") + b"\n\0",
    "deep": lambda *_: b"[" * 200_000 + b"\n",
    "key-twice": lambda *_: b'{"id": 1, "id": 1}\n',
    "nan": lambda *_: b'{"id": NaN}\n',
    "infinity": lambda *_: b'{"id": -Infinity}\n',
    "huge-number": lambda *_: b'{"id": ' + b"9" * 10_000 + b"}\n",
    "huge-step": steps(10**30),
    "fractional-step": steps(0.5),
    "step-as-float": steps(1.0),
    "nan-in-words": arrays(bits="NaN"),
    "decimals": arrays(bits=[1.0, 2.0]),
    "upper-case": arrays(bits="3F800000"),
    "too-few-bits": arrays(bits="3f800000"),
    "unknown-dtype": arrays(dtype="float8"),
    "wrong-dtype": records(widened),
    "wrong-shape": arrays(shape=[1], bits="3f800000"),
    "negative-shape": arrays(shape=[-1]),
    "missing-step": lambda _, a: {**a, "records": a["records"][1:]},
    "extra-step": lambda _, a: {**a, "records": a["records"] * 2},
    "missing-parameter": records(lambda r: {"params": {"w": r["params"]["w"]}}),
    "extra-parameter": records(
        lambda r: {"params": {**r["params"], "\x1b]0;title\x07": r["params"]["w"]}}
    ),
    "missing-state": records(lambda _: {"state": {}}),
    "hidden-state": records(lambda _: {"state": None}),
    "unknown-field": lambda _, a: {**a, "seconds": 3},
    "no-records": lambda request, _: {"id": request["id"]},
    "later-id": lambda _, a: {**a, "id": a["id"] + 1},
    "earlier-id": lambda _, a: {**a, "id": a["id"] - 1},
    "id-as-text": lambda _, a: {**a, "id": str(a["id"])},
    "chats": lambda _, a: b"stepping ...\n" + json.dumps(a).encode() + b"\n",
    "error-without-message": failure(kind="value"),
    "error-of-unknown-kind": failure(kind="oops", message="x"),
    "internal-error": failure(kind="internal", message="\x1b[1mboom\r\n[red]"),
    "surrogates": failure(kind="internal", message="\ud800\x1b[2J"),
}

# What it does before or instead of answering.


def exits() -> None:
    print("cannot \x1b[31mgo on", file=sys.stderr)  # noqa: T201 - it is a program
    sys.exit(3)


def raises() -> None:
    raise RuntimeError("[bold]no[/bold] device\x07")


def deaf() -> None:
    """Only SIGKILL ends this program and its child."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    note(os.getpid(), subprocess.Popen(SLEEPER).pid)
    sleep()


def leaves_a_child() -> None:
    """The child keeps standard output open after the program has exited."""
    note(os.getpid(), subprocess.Popen(SLEEPER).pid)
    os._exit(4)


def cuts_a_line() -> None:
    write(b'{"id": 1, "init')
    os._exit(0)


def hangs_in_a_line() -> None:
    write(b'{"id": 1, "init')
    sleep()


def closes(pipe: int) -> Callable[[], None]:
    def close() -> None:
        os.close(pipe)
        sleep()

    return close


DOES: dict[str, Callable[[], Any]] = {
    "exits": exits,
    "exits-with-zero": lambda: os._exit(0),
    "is-killed": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "raises": raises,
    "hangs": sleep,
    "hangs-in-a-line": hangs_in_a_line,
    "deaf": deaf,
    "leaves-a-child": leaves_a_child,
    "closes-output": closes(1),
    "closes-input": closes(0),
    "cuts-a-line": cuts_a_line,
    "huge-line": lambda: forever(lambda: write(b"x" * 2**20)),
    "floods": lambda: forever(lambda: write(b"x" * 2**10 + b"\n")),
    "complains": lambda: forever(lambda: os.write(2, b"no" * 2**15)),
}

# What it does otherwise than others in answer to hello.


def changes() -> Any:
    known = NOTES.exists()
    note(os.getpid())
    return {"name": "second" if known else "first"}


HELLOS: dict[str, Callable[[], Any]] = {
    "never-says-hello": sleep,
    "hello-exits": lambda: sys.exit("no licence"),
    "hello-of-version-2": lambda: {"version": 2},
    "hello-without-dtypes": lambda: {"dtypes": []},
    "hello-with-unknown-feature": lambda: {"features": ["teleport"]},
    "hello-changes": changes,
    "hello-as-a-terminal": lambda: {"name": "\x1b[2J[bold]x[/nothing]\n" * 20},
}


def answer(request: Any) -> None:
    right = {"id": request["id"], **adamax_harness.answer(request)}
    if HOW == "many-warnings":
        os.write(2, b"warning\n" * 2**17)
    if request["command"] == "hello":
        say({"id": request["id"], **OFFER, **HELLOS.get(HOW, dict)()})
    elif request["hyperparameters"][0]["eps"] != ONE:
        say(right)
    elif HOW in SAYS:
        said = SAYS[HOW](request, right)
        write(said) if isinstance(said, bytes) else say(said)
    else:
        DOES.get(HOW, lambda: None)()
        say(right)
        if HOW == "answers-twice":
            say(right)
        if HOW == "answers-and-exits":
            os._exit(0)


def main() -> None:
    if HOW == "banner":
        write(b"Welcome to misbehaving 1.0\n")
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            if HOW == "does-not-stop":
                note(os.getpid(), subprocess.Popen(SLEEPER).pid)
                sleep()
            return
        answer(request)


if __name__ == "__main__":
    main()
