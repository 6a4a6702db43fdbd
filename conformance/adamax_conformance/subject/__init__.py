"""An implementation under judgement: its protocol, and guards against its faults."""
