"""Export: a merged Transformers folder, a GGUF file, and proof that it answers alike."""
