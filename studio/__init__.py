"""Adapter Studio: fine-tune a language model on one PC, with LoRA or another adapter.

Importing this package costs nothing: no room imports torch, transformers, peft or gradio
before a function that needs it is called.
"""

__version__ = "0.1.0"
