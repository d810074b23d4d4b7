"""What checking an exported artifact against the live model found, as plain values.

Measuring is in the modules beside this one; the words are those of `verdict.py`, the files those
of `report.py`. Nothing here computes but ratios and counts of what it holds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Level = Literal["same", "close", "changed", "poor", "broken"]
"""How near the artifact is: rounding only, hardly told apart, told apart, worse, another model."""
LEVELS: tuple[Level, ...] = ("same", "close", "changed", "poor", "broken")


@dataclass(frozen=True)
class AnswerPair:
    """One prompt answered greedily by both. `agreement` is the share of tokens that are equal
    before the first difference, from 0 to 1; `live_ends` and `artifact_ends` say whether the
    answer came to its own end within the tokens allowed. The texts may be left out."""

    prompt: str
    live: str
    artifact: str
    agreement: float
    live_ends: bool
    artifact_ends: bool

    @property
    def is_identical(self) -> bool:
        """Whether both say the same, blanks around it aside."""
        return self.agreement == 1

    def without_texts(self, prompt: str) -> AnswerPair:
        """The same, of `prompt`, without what was asked and answered."""
        return replace(self, prompt=prompt, live="", artifact="")


@dataclass(frozen=True)
class TokenMeasures:
    """Both models read the same texts, and at each token of an answer say what comes next.

    `top1_agreement` is the share of `tokens` at which both find the same token likeliest.
    `mean_kl` is KL(live || artifact) in nats a token (Kullback & Leibler 1951); where the artifact
    names its likeliest tokens only, all others count as one, and `kl_is_lower_bound` is set.
    Perplexity is exp(mean negative log-likelihood) of the answers' own tokens.
    """

    tokens: int
    top1_agreement: float
    mean_kl: float
    highest_kl: float
    live_perplexity: float
    artifact_perplexity: float
    kl_is_lower_bound: bool = False

    @property
    def perplexity_rise(self) -> float:
        """0.03 where the artifact's perplexity is 3 percent above the live model's."""
        return self.artifact_perplexity / self.live_perplexity - 1


@dataclass(frozen=True)
class Check:
    """Something that is right or wrong: `name` is "template" or "stop token"; `said` a sentence."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True)
class Verification:
    """One artifact against the live model it was made from.

    `kind` is what the artifact is, `program` what it was asked through ("llama.cpp",
    "Transformers", "PEFT"); `sample` says in a sentence what was asked. `measures` is None where
    nothing could be read token by token. `summary` is the result in a sentence, `warnings` what to
    know before it is used, `notes` how it was measured.
    """

    artifact: str
    kind: str
    origin: str
    base: str
    program: str
    sample: str
    level: Level
    summary: str
    measures: TokenMeasures | None = None
    answers: tuple[AnswerPair, ...] = ()
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether it can be used without a second thought: near, and every check passed."""
        return self.level in ("same", "close") and all(check.passed for check in self.checks)

    @property
    def identical_answers(self) -> int:
        """Number of prompts answered the same to the last character."""
        return sum(pair.is_identical for pair in self.answers)

    @property
    def answer_agreement(self) -> float | None:
        """Mean share of equal tokens before the first difference; None without answers."""
        if not self.answers:
            return None
        return sum(pair.agreement for pair in self.answers) / len(self.answers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def verification_from(found: dict[str, Any]) -> Verification:
    """What `to_dict` gave, back. Raises TypeError or KeyError where it is something else."""
    measures = found["measures"]
    return Verification(**{
        **found,
        "measures": None if measures is None else TokenMeasures(**measures),
        "answers": tuple(AnswerPair(**pair) for pair in found["answers"]),
        "checks": tuple(Check(**check) for check in found["checks"]),
        "warnings": tuple(found["warnings"]), "notes": tuple(found["notes"]),
    })
