"""The specification as data: its clauses, and the floating-point formats in which it is judged."""
