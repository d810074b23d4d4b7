"""How the next token is chosen, the same for every column: fair sampling.

All columns draw with the same noise at the same step (the Gumbel-max trick: the highest of
logits + Gumbel noise is a sample of their softmax), so that what differs between two answers is
the weights and not the luck. Identical weights give identical text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from studio.data.records import has_broken_text
from studio.errors import StudioError

if TYPE_CHECKING:
    import torch
    from transformers import LogitsProcessorList

_LAST_SEED = 2**63 - 1
_LIMITS: dict[str, tuple[float, float]] = {
    "temperature": (0, 5), "top_p": (0, 1), "top_k": (0, 1_000_000), "min_p": (0, 1),
    "repetition_penalty": (0.1, 10), "max_new_tokens": (1, 1_000_000), "seed": (0, _LAST_SEED),
}
_MOST_STOP_STRINGS = 16


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 is greedy; `top_p` 1, `top_k` 0 and `min_p` 0 keep every token.

    `min_p` drops tokens less likely than that share of the likeliest one's probability (Nguyen
    et al. 2024, arXiv:2407.01082). A text in `stop_strings` ends an answer and is not shown.
    Counts in tokens.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 50
    repetition_penalty: float = 1.0
    max_new_tokens: int = 256
    seed: int = 42
    min_p: float = 0.0
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._require_stop_strings()
        for name, (lowest, highest) in _LIMITS.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise StudioError(f"{name} is {value}, but must lie between {lowest:g} and "
                                  f"{highest:g}.", "Correct it in the sampling settings.")

    def _require_stop_strings(self) -> None:
        given = self.stop_strings
        if isinstance(given, str) or not all(isinstance(text, str) and text for text in given):
            raise StudioError(f"The stop strings are {given!r}, but each must be a text of at "
                              "least one character.", "Leave empty ones out.")
        if has_broken_text(list(given)):
            raise StudioError("A stop string holds half of a character, which no answer does.",
                              "Write it again, without what was pasted.")
        if len(given) > _MOST_STOP_STRINGS:
            raise StudioError(f"There are {len(given)} stop strings, but at most "
                              f"{_MOST_STOP_STRINGS} are watched for.", "Leave some out.")
        object.__setattr__(self, "stop_strings", tuple(given))

    def with_next_seed(self) -> Sampling:
        """The same settings with other luck: what regenerating uses. Begins again at 0."""
        return replace(self, seed=0 if self.seed == _LAST_SEED else self.seed + 1)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0


def logits_processors(sampling: Sampling, attention_mask: torch.Tensor) -> LogitsProcessorList:
    """What generate() applies before it takes the highest score: (rows, vocabulary) floats.

    `attention_mask` (rows, prompt length) tells padding from prompt.
    """
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    processors: list[Any] = []
    if sampling.repetition_penalty != 1:
        processors.append(_repetition_penalty(sampling.repetition_penalty, attention_mask))
    if not sampling.is_greedy:
        processors.append(TemperatureLogitsWarper(float(sampling.temperature)))
        if sampling.top_k:
            processors.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            # The warper wants more than 0; the likeliest token is kept in any case.
            processors.append(TopPLogitsWarper(max(sampling.top_p, 1e-6)))
        if sampling.min_p > 0:
            processors.append(MinPLogitsWarper(sampling.min_p))
        processors.append(_shared_gumbel_noise(sampling.seed))
    return LogitsProcessorList(processors)


def _shared_gumbel_noise(seed: int) -> Any:
    import torch
    from transformers import LogitsProcessor

    class SharedGumbelNoise(LogitsProcessor):
        """Adds one row of standard Gumbel noise per step to all rows.

        Drawn on the CPU, so that a seed means the same on every device. -log(E) of an
        exponential E is Gumbel distributed.
        """

        def __init__(self) -> None:
            self.generator = torch.Generator().manual_seed(seed)

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            # Said, since torch's own format is another while the page counts another model.
            noise = torch.empty(scores.shape[-1], dtype=torch.float32)
            noise.exponential_(generator=self.generator)
            return scores.float() - noise.log_().to(scores.device)

    return SharedGumbelNoise()


def _repetition_penalty(penalty: float, attention_mask: torch.Tensor) -> Any:
    import torch
    from transformers import LogitsProcessor

    class RepetitionPenalty(LogitsProcessor):
        """Tokens already in a row become less likely (Keskar et al. 2019, section 4.1).

        Unlike the library's own, padding left of a shorter prompt does not count as said, so
        that a column's answer does not depend on its neighbours' lengths.
        """

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            said = torch.zeros_like(scores)
            counted = torch.ones_like(input_ids, dtype=scores.dtype)
            counted[:, :attention_mask.shape[1]] = attention_mask.to(scores.dtype)
            said.scatter_add_(1, input_ids, counted)
            penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
            return torch.where(said > 0, penalised, scores)

    return RepetitionPenalty()
