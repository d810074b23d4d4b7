"""Dropping, mending and masking the rows of findings, always into a new file."""
