"""Models: find them, know their shape without loading them, load them safely.

Importing this package is cheap; torch and transformers are imported by the functions.
"""

from studio.models.loading import load_base, load_tokenizer
from studio.models.shape import LinearShape, ModelShape, model_shape
from studio.models.source import ModelFolder, find_model

__all__ = [
    "LinearShape",
    "ModelFolder",
    "ModelShape",
    "find_model",
    "load_base",
    "load_tokenizer",
    "model_shape",
]
