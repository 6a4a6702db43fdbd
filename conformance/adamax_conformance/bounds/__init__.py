"""The intervals that are accepted: the rule run on numbers that carry their error."""
