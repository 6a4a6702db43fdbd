"""An exception is located in foreign code, never in a room of the judge."""

from pathlib import Path

import pytest

from adamax_conformance.reports.expectations import ExpectationError, load
from adamax_conformance.subject.blame import location


def test_frames_of_every_room_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text("not TOML")
    with pytest.raises(ExpectationError) as raised:
        load(path)
    assert location(raised.value).startswith("test_blame.py:")
