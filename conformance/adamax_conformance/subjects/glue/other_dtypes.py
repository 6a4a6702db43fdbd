"""The cases whose gradients have another dtype than their parameters."""

OTHER_DTYPES = (
    "S-5/float32-gradients",
    "S-5/not-rounded-first",
    "S-5/float16-gradients",
    "S-5/float64-gradients",
    "S-5/other-gradients",
    "S-5/small-eps",
    "S-5/beyond-the-range",
    "S-5/bfloat16-beyond-the-range",
)
"""What deviates where a subject refuses such gradients (S-5)."""
