"""Who judged which implementations, and when, in words: what the lines say, and nothing else."""

from collections.abc import Sequence

from adamax_conformance.reports.environment import described
from adamax_conformance.scoreboard.entry import Entry


def summary(entries: Sequence[Entry]) -> str:
    """Return how many implementations there are, in which languages, and when they were judged."""
    dates = sorted(entry.date for entry in entries if entry.date)
    languages = sorted({entry.language for entry in entries if entry.language})
    text = f"{len(entries)} implementation{'s'[: len(entries) != 1]}"
    text += f" in {', '.join(languages)}" if languages else ""
    if not dates:
        return text
    some = "" if len(dates) == len(entries) else f"{len(dates)} of them "
    first, last = dates[0], dates[-1]
    return f"{text}, {some}judged {f'on {last}' if first == last else f'from {first} to {last}'}"


def judged(entry: Entry) -> str:
    """Return when and by what an implementation was judged; empty if it was not."""
    if not entry.date:
        return ""
    by = f" by {described(entry.environment)}" if entry.environment else ""
    return f"judged on {entry.date}{by}"
