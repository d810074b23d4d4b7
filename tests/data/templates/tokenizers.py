"""Small real tokenizers of the kinds that models have, and the conversations the tests render."""

from __future__ import annotations

from tests.tiny import SENTENCES

SYSTEM = {"role": "system", "content": "Be brief."}
QUESTION = {"role": "user", "content": "What is the capital of France?"}
ANSWER = {"role": "assistant", "content": "Paris."}
AGAIN = {"role": "user", "content": "And of Italy?"}
LAST = {"role": "assistant", "content": "Rome."}
PLAIN = [QUESTION, ANSWER, AGAIN, LAST]
TALK = [SYSTEM, *PLAIN]


def byte_level(eos, *, bos=None, marks=()):
    """Like Llama 3, Qwen and SmolLM: every text comes back as it was; `bos` is put before plain
    text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = [token for token in (bos, eos, *marks) if token]
    raw.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return _wrapped(raw, bos, eos)


def metaspace(*, marks=(), collapses=False):
    """Like Llama 2, Mistral and Gemma: SentencePiece's space, bytes for what it lacks, <s> before
    plain text. With `collapses` several spaces become one, and line breaks are spaces."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    if collapses:
        raw.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    raw.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)])
    numbers = [f"<0x{number:02X}>" for number in range(256)]
    raw.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", "<s>", "</s>", *marks, *numbers],
        show_progress=False))
    return _wrapped(raw, "<s>", "</s>", unk_token="<unk>")


def _wrapped(raw, bos, eos, **special):
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    if bos:
        raw.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, raw.token_to_id(bos))])
        special["bos_token"] = bos
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=eos, **special)
