"""Foreign text made safe to print."""

import pytest

from adamax_conformance.subject.printable import LONGEST, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold] text", "plain [bold] text"),
        ("\x1b[31m\x07\u202e\ud800\n", "\\x1b[31m\\x07\\u202e\\ud800\\n"),
        ("x" * 400, "x" * 148 + "..." + "x" * 148),
        ("\0" * 250, "\\x00" * 37 + "..." + "\\x00" * 37),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text, LONGEST) == shown


def test_text_is_not_cut_by_default() -> None:
    assert printable("x" * 400) == "x" * 400
