"""Text of a stranger made fit to be shown: it can neither move the cursor nor fill the screen."""

import sys

LONGEST = 300
"""Characters of a message that a program sends; of a longer one the middle is left out."""


def printable(text: object, longest: int = sys.maxsize) -> str:
    r"""The text in one line, with every character that does not print as an escape.

    Line ends, escape sequences of terminals, marks that turn the direction of writing and halves
    of surrogate pairs do not print. Escaping for a format of reports is the business of that
    format.

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
