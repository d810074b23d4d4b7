"""Chat: one base and any number of adapters answer the same question side by side.

`session.py` puts the parts together, `desk.py` keeps one session for the whole program.
"""
