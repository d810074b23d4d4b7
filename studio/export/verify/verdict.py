"""From numbers to words: how near an artifact is to the live model, and what to know before use.

The limits are the same for every format. They follow what is usual for llama.cpp's types on models
of several billion weights: q8_0 and q6_k diverge by less than 0.01 nats a token, q4_k_m by 0.02 to
0.06, q3_k_m by 0.1 to 0.2, q2_k by more (smaller models by more throughout). Which token is the
likeliest decides nothing: where many are as likely as each other, any rounding changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from studio.export.verify.verification import LEVELS, AnswerPair, Check, Level, TokenMeasures


@dataclass(frozen=True)
class Limits:
    """What an artifact of a level may at most be: nats a token, and a share."""

    mean_kl: float
    perplexity_rise: float


LIMITS: dict[Level, Limits] = {
    "same": Limits(0.01, 0.01),
    "close": Limits(0.06, 0.05),
    "changed": Limits(0.3, 0.25),
    "poor": Limits(1.5, 3.0),
}
"""Beyond the last it is "broken". A perplexity that fell is no worse than one that stayed."""

_EXACT_TOP1 = 0.9
"""Of weights that are the same but for 16 bits, however flat the distributions are."""


@dataclass(frozen=True)
class Verdict:
    """The level, a sentence that says it, and warnings."""

    level: Level
    summary: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """What was found. `precision` is how the artifact's weights are rounded, `live_precision` how
    those of the live base are; empty where they are not."""

    artifact: str
    program: str
    precision: str
    live_precision: str
    measures: TokenMeasures | None
    answers: tuple[AnswerPair, ...]
    checks: tuple[Check, ...]


def verdict_on(case: Case) -> Verdict:
    """What a person is told."""
    level = _level(case)
    return Verdict(level, _summary(case, level), tuple(_warnings(case, level)))


def _level(case: Case) -> Level:
    if case.measures is None:
        near = all(pair.is_identical for pair in case.answers)
        return "close" if near else "changed"
    found: Level = next((level for level, limits in LIMITS.items()
                         if _within(case.measures, limits)), "broken")
    if case.precision or case.live_precision:
        return found
    # Nothing was rounded to fewer bits, so that nothing but a mistake can explain a distance.
    is_near = (LEVELS.index(found) <= LEVELS.index("close")
               and case.measures.top1_agreement >= _EXACT_TOP1)
    return found if is_near else "broken"


def _within(found: TokenMeasures, limits: Limits) -> bool:
    return (found.mean_kl <= limits.mean_kl
            and found.perplexity_rise <= limits.perplexity_rise)


def _summary(case: Case, level: Level) -> str:
    words = {
        "same": "answers as the live model does",
        "close": "answers nearly as the live model does",
        "changed": "answers noticeably otherwise than the live model",
        "poor": "answers much worse than the live model",
        "broken": "does not answer as the live model does",
    }
    found = f"{case.artifact} {words[level]} ({case.program})."
    failed = [check.name for check in case.checks if not check.passed]
    if failed:
        found += f" Wrong: {', '.join(failed)}."
    return " ".join(filter(None, (found, _measured(case), _answered(case))))


def _measured(case: Case) -> str:
    found = case.measures
    if found is None:
        return ""
    return (f"At {found.top1_agreement:.1%} of {found.tokens} answer tokens both find the same "
            f"next token likeliest; the mean KL divergence is {found.mean_kl:.4f} nats a token, "
            f"the perplexity {found.live_perplexity:.2f} live and {found.artifact_perplexity:.2f} "
            f"here ({found.perplexity_rise:+.1%}).")


def _answered(case: Case) -> str:
    if not case.answers:
        return ""
    same = sum(pair.is_identical for pair in case.answers)
    return f"{same} of {len(case.answers)} greedy answers are the same word for word."


def _warnings(case: Case, level: Level) -> Iterator[str]:
    yield from (check.said for check in case.checks if not check.passed)
    if level in ("changed", "poor"):
        yield _cost(case, level)
    if level == "broken":
        yield _broken(case)
    unended = sum(pair.live_ends and not pair.artifact_ends for pair in case.answers)
    if unended > 1:  # a single one goes another way soon
        yield (f"{unended} of {len(case.answers)} answers go on where the live model ends: look "
               "whether they repeat themselves.")


def _cost(case: Case, level: Level) -> str:
    if not case.precision:
        return (f"The run was trained over its base in {case.live_precision}, and this is the "
                "adapter with the base in full precision: the difference is what that rounding "
                "did. Compare a few answers of your own before you rely on it.")
    assert case.measures is not None or level == "changed"
    often = "" if case.measures is None else (
        f" About every {_every(case.measures)} token it would go on otherwise.")
    advice = ("Compare a few answers of your own before you rely on it, or take a format with more "
              "bits." if level == "changed" else
              "Take a format with more bits: of GGUF q5_k_m, q6_k or q8_0. Small models lose most.")
    costs = "costs something" if level == "changed" else "costs too much"
    return f"Rounding the weights to {case.precision} {costs}.{often} {advice}"


def _every(found: TokenMeasures) -> str:
    apart = round(1 / max(1 - found.top1_agreement, 1 / (2 * found.tokens)))
    return {1: "single", 2: "second", 3: "third"}.get(apart, f"{apart}th")


def _broken(case: Case) -> str:
    if case.precision:
        return (f"This is more than rounding to {case.precision} usually does: it hardly is the "
                "same model any more. Do not use it; write it again, with more bits.")
    return ("Nothing of it was rounded to fewer bits, so it should answer the same: these are not "
            "the weights of the run, or the file is damaged. Do not use it; export it again.")
