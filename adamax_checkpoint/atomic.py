"""Replacing a file at once: whatever interrupts it, the path holds the old file or the new one."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a file to write, which takes the place of `path` if the block ends without an error.

    It is another file in the same folder, with the mode of the file that it replaces, flushed to
    disk and then renamed; the folder is flushed too. A killed process can leave it, as
    ``.NAME.*.partial``.

    Raises:
        OSError: it cannot be written, such as on a full disk, or the path is no regular file, such
            as a pipe or a device; nothing has changed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "new")) as file:
    ...         _ = file.write(b"content")
    ...     [(path.name, path.read_bytes()) for path in Path(folder).iterdir()]
    [('new', b'content')]
    """
    # Path.resolve raises another error for a loop of links.
    target = Path(os.path.realpath(path))
    # The name of the target may be as long as a name can be.
    partial = target.parent / f".{target.name[:50]}.{secrets.token_hex(8)}.partial"
    try:
        mode = _mode(target)
        with partial.open("xb") as file:
            if mode is not None:
                partial.chmod(mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot save {path} ({error.strerror}), and nothing has changed: choose a file "
            "in a folder that can be written and has the space",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    _flush_folder(target.parent)


def _mode(target: Path) -> int | None:
    """The mode of the file that is there, or None.

    Raises:
        OSError: what is there is no regular file.
    """
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "not a regular file")
    return stat.S_IMODE(found)


def _flush_folder(folder: Path) -> None:
    """Flush a renaming to disk, unless the folder may not be read.

    Windows flushes it itself, and cannot open folders.
    """
    if os.name == "nt" or not os.access(folder, os.R_OK):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
