"""Kinds of models whose files hold the weights just as they are computed with."""

STORED_PLAINLY = frozenset({
    "arcee", "cohere", "cohere2", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4",
    "granite", "helium", "llama", "mistral", "nemotron", "olmo", "olmo2", "olmo3", "phi", "phi3",
    "qwen2", "qwen3", "seed_oss", "smollm3", "stablelm", "starcoder2",
})
"""By `model_type`: each layer an nn.Linear, under its own name, nothing put together or turned when
Transformers loads them. A test asks Transformers."""
