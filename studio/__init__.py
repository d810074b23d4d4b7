"""Adapter Studio: fine-tune a language model with LoRA or QLoRA on one PC.

Importing this package costs nothing: no room imports torch, transformers, peft or gradio
before a function that needs it is called.
"""

__version__ = "0.1.0"
