"""Foreign text made safe to print: it can neither move the cursor nor fill the screen."""

import sys

LONGEST = 300
"""Largest number of characters shown of a program's message; the middle of a longer one is cut."""


def printable(text: object, longest: int = sys.maxsize) -> str:
    r"""Return the text in one line, with each unprintable character as an escape.

    Line ends, terminal escape sequences, bidirectional controls and lone surrogates are
    unprintable. Each format of reports does its own escaping.

    >>> printable("\x1b[31mred\n" + "\ud800")
    '\\x1b[31mred\\n\\ud800'
    >>> printable("0123456789", longest=9)
    '012...789'
    """
    text, half = str(text), (longest - 3) // 2
    if len(text) > longest:
        text = f"{text[:half]}...{text[-half:]}"
    shown = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return shown if len(shown) <= longest else f"{shown[:half]}...{shown[-half:]}"
