"""The two files that lie beside a verified artifact: one for programs, one for people.

In a folder they are `verification.json` and `VERIFICATION.md`; of a file `x.gguf` they are
`x.gguf.verification.json` and `x.gguf.verification.md`. No path of this PC stands in them, and in
a folder, which is passed on whole, no text of the person's data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from studio.export.verify.verification import AnswerPair, Verification, verification_from
from studio.files import write_json_safely, write_text_safely

_LONGEST_SHOWN = 1500
"""Characters of a prompt or an answer."""
_LEFT_OUT = ("The prompts and answers are left out here: they are of the data that the run was "
             "made with, and this folder may be passed on.")


def report_files(artifact: Path) -> tuple[Path, Path]:
    """Where the JSON and the Markdown report of `artifact` lie."""
    if artifact.is_dir():
        return artifact / "verification.json", artifact / "VERIFICATION.md"
    return (artifact.with_name(f"{artifact.name}.verification.json"),
            artifact.with_name(f"{artifact.name}.verification.md"))


def write_report(artifact: Path, found: Verification, *, asks_own_data: bool = False) -> None:
    """Write both files, each whole; what an earlier check left is replaced.

    `asks_own_data`: the prompts are the person's own, and stay out of a folder.
    """
    values, text = report_files(artifact)
    if asks_own_data and artifact.is_dir():
        found = _without_texts(found)
    write_json_safely(values, found.to_dict())
    write_text_safely(text, markdown(found))


def read_report(artifact: Path) -> Verification | None:
    """What was found when `artifact` was checked; None where it was not, or that is damaged, or of
    a file that was written anew since."""
    file = report_files(artifact)[0]
    try:
        if artifact.is_file() and artifact.stat().st_mtime > file.stat().st_mtime:
            return None
        return verification_from(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _without_texts(found: Verification) -> Verification:
    return replace(
        found, notes=(*found.notes, _LEFT_OUT), answers=tuple(
            pair.without_texts(f"Record {number}")
            for number, pair in enumerate(found.answers, start=1)))


def markdown(found: Verification) -> str:
    """The report as a person reads it."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Verification) -> Iterator[str]:
    yield f"# Verification of {found.artifact}"
    yield ""
    yield found.summary
    yield from _listed("Warnings", found.warnings)
    yield from _listed("How it was measured", (found.sample, *found.notes))
    yield from _measures(found)
    yield from _listed("Checks", tuple(
        f"{'passed' if check.passed else 'FAILED'}: {check.name}. {check.said}"
        for check in found.checks))
    if found.answers:
        yield from ("", "## Greedy answers", "",
                    f"{found.identical_answers} of {len(found.answers)} are equal to the last "
                    "character.")
        for number, pair in enumerate(found.answers, start=1):
            yield from _pair(number, pair)
    yield from ("", "## Made with", "",
                f"{found.kind} of {found.origin} (base {found.base}), asked through "
                f"{found.program}, in {found.seconds:.0f} seconds. "
                + ", ".join(f"{name} {version}" for name, version in found.versions.items()))


def _listed(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield from ("", f"## {title}", "")
        yield from (f"- {line}" for line in lines if line)


def _measures(found: Verification) -> Iterator[str]:
    values = found.measures
    if values is None:
        return
    bound = " or a little more" if values.kl_is_lower_bound else ""
    yield from (
        "", "## Token by token", "", "| what | value |", "| --- | --- |",
        f"| answer tokens read by both | {values.tokens} |",
        f"| same likeliest next token | {values.top1_agreement:.1%} |",
        f"| mean KL divergence, nats a token | {values.mean_kl:.4f}{bound} |",
        f"| highest KL divergence of a token | {values.highest_kl:.3f} |",
        f"| perplexity of the live model | {values.live_perplexity:.3f} |",
        f"| perplexity of the artifact | {values.artifact_perplexity:.3f} "
        f"({values.perplexity_rise:+.1%}) |",
    )


def _pair(number: int, pair: AnswerPair) -> Iterator[str]:
    yield from ("", f"### {number}. {pair.agreement:.0%} of the tokens agree", "")
    if not pair.live and not pair.artifact:
        return
    yield from _quoted("Prompt", pair.prompt)
    yield from _quoted("Live", pair.live + ("" if pair.live_ends else " [cut]"))
    if not pair.is_identical or pair.live_ends != pair.artifact_ends:
        yield from _quoted("Artifact", pair.artifact + ("" if pair.artifact_ends else " [cut]"))


def _quoted(who: str, text: str) -> Iterator[str]:
    shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + " [...]"
    fence = "```"
    while fence in shown:
        fence += "`"
    yield from (f"{who}:", "", fence + "text", *shown.splitlines(), fence, "")
