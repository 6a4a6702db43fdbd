"""The specification as data: its clauses, and the floating-point formats that it is judged in."""
