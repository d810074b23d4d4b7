"""Public tasks before and after: the base and the trained adapter answer the same lm-eval tasks.

`harness.py` asks lm-eval, an optional package; `before_after.py` runs both; `record.py` keeps the
result in the run folder.
"""
