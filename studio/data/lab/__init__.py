"""The whole data set, however large: read once into a store, examined on worker processes, kept.

    scan (reading -> store, format) -> examine (checks, tokens) -> report

Everything is kept under the fingerprint of what it was made from.
"""
