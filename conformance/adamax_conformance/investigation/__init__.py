"""What is behind the failures of a report: the dialect, the wrong variant, the smallest runs."""
