"""Text of a stranger made fit to be shown: it can neither move the cursor nor fill the screen."""

LONGEST = 300
"""Characters; of a longer text the middle is left out."""


def printable(text: str, longest: int = LONGEST) -> str:
    r"""The text with everything that does not print as an escape, and of a bounded length.

    >>> printable("\x1b[31mred\n" + "\ud800")
    '\\x1b[31mred\\n\\ud800'
    >>> printable("0123456789", longest=9)
    '012...789'
    """
    half = (longest - 3) // 2
    if len(text) > longest:
        text = f"{text[:half]}...{text[-half:]}"
    shown = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return shown if len(shown) <= longest else f"{shown[:half]}...{shown[-half:]}"
