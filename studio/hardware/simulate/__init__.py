"""The memory of one training step, simulated: transformers' and PEFT's own code on the meta device.

Tensors have shapes there but no memory, so a step of a 7B model takes a second or two, without
weights and without a GPU; every storage that comes and goes is counted. `simulation.py` is the
way in. What a GPU's kernels, bitsandbytes or older software do is emulated in files of its own.
"""
