"""Training: one function, `loop.train`, and the one background job that calls it."""
