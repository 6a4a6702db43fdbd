"""Acceptance intervals: the rule run on numbers that carry their error."""
