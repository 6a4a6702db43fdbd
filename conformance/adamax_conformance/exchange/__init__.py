"""Runs as JSON: what every file and message of the judge is made of."""
