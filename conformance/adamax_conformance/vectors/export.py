"""A folder for those who implement Adamax without Python: vectors, schemas, a guide."""

import shutil
from pathlib import Path

from adamax_conformance.exchange import schemas
from adamax_conformance.vectors.lock import FILE
from adamax_conformance.vectors.vector import FOLDER, read

GUIDE = "GUIDE.md"
_SCHEMAS = ("vectors", "run", "ids")


def export(target: Path, *, force: bool = False) -> list[str]:
    """Write the vectors, ``ids.lock``, the schemas and the guide into a folder.

    Args:
        target: made where it does not exist.
        force: write into a folder that is not empty; what else is in it stays.

    Returns:
        The names of the files.

    Raises:
        FileExistsError: the folder is not empty.
        OSError: it cannot be written.
    """
    if target.exists() and any(target.iterdir()) and not force:
        raise FileExistsError(f"{target} is not empty: give another folder, or --force")
    target.mkdir(parents=True, exist_ok=True)
    sources = [FOLDER / name for name in (*read(), FILE, GUIDE)]
    sources += [Path(schemas.__path__[0]) / f"{name}.schema.json" for name in _SCHEMAS]
    for source in sources:
        shutil.copyfile(source, target / source.name)
    return [source.name for source in sources]
