"""Speed-ups of a training step that change nothing of what is learned, one a file.

Each replaces the arithmetic of some modules by one that keeps less and passes over memory less
often: `adapted_linear.py`, `gated.py`, `norm.py`, `head.py`. `fusing.py` says which modules of a
model they fit, tries them there, and puts them on; `setup.forward_kept` takes them off again.
`liger.py` and `compiling.py` hand layers to Liger and to torch's compiler.
Whether to: `training/choices.py`.
"""
