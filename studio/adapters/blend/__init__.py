"""Several LoRA adapters of one base become one: mixed with weights, saved as a folder of its own.

`mix.py` is the way in; `plan` says beforehand what would come out, and refuses what cannot be.
Which ways there are is told in `methods.py`, what may be mixed in `parents.py`; one layer's
arithmetic, which is PEFT's, is in `layer.py`; `saved.py` finds blends again. No base is loaded.
"""

from studio.adapters.blend.methods import METHODS, Method, Mix
from studio.adapters.blend.mix import BlendPlan, blend, plan
from studio.adapters.blend.parents import Part
from studio.adapters.blend.saved import (
    Blend,
    Parent,
    delete_blend,
    list_blends,
    open_blend,
    read_blend,
)

__all__ = ["METHODS", "Blend", "BlendPlan", "Method", "Mix", "Parent", "Part", "blend",
           "delete_blend", "list_blends", "open_blend", "plan", "read_blend"]
