"""Dropping, mending and masking the rows of findings, always into a new file."""

from studio.data.cleaning.writing import Cleaned, CleanedFile, clean

__all__ = ["Cleaned", "CleanedFile", "clean"]
