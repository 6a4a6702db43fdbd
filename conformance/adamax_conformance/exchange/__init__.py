"""Runs as JSON, for all files and messages of the judge."""
