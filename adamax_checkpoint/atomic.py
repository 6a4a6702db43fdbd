"""Replacing a file at once: whatever interrupts it, the path holds the old file or the new one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a file to write, which takes the place of `path` if the block ends without an error.

    It is another file in the same folder, flushed to disk and then renamed, as the folder is. A
    killed process can leave it, as ``.NAME.*.partial``.

    Raises:
        OSError: it cannot be written, such as on a full disk; nothing has changed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "new")) as file:
    ...         _ = file.write(b"content")
    ...     [(path.name, path.read_bytes()) for path in Path(folder).iterdir()]
    [('new', b'content')]
    """
    target = Path(path).resolve()
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot save {path} ({error.strerror}), and nothing has changed: choose a folder "
            "that can be written and has the space",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    """Flush a renaming to disk; Windows does so itself, and cannot open folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
