"""One run of steps: its data, how it is judged, and the smallest run that shows a fault."""
