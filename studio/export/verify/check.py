"""Checks one artifact against the live model it was made from, and writes what was found beside it.

The live model is asked first and unloaded, then the artifact through its own consumer, so that
there is one of them in memory at a time.
"""

from __future__ import annotations

import time
from pathlib import Path

from studio.errors import ModelError
from studio.export.origin import Origin
from studio.export.output import end_if_stopped
from studio.export.shared_base import SharedBase, starter_base
from studio.export.verify.artifact import kind_of_artifact, opened_artifact
from studio.export.verify.asked import Answer, Asked
from studio.export.verify.checks import stop_check, template_check
from studio.export.verify.compare import agreement, measured
from studio.export.verify.reference import (
    ANSWER_TOKENS,
    Reference,
    live_reference,
    questions_with_answers,
)
from studio.export.verify.report import write_report
from studio.export.verify.sample import Question
from studio.export.verify.verdict import Case, verdict_on
from studio.export.verify.verification import AnswerPair, TokenMeasures, Verification
from studio.files import typed_path
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings
from studio.training.environment import made_with

_LIBRARIES = ("torch", "transformers", "peft", "xllamacpp")
_LISTED_NOTE = ("llama.cpp names the thousand likeliest tokens at each place; all others count as "
                "one, which can only make the divergence smaller.")
_FEW_TOKENS = 100
_FEW_NOTE = ("Only {tokens} answer tokens were read, so the numbers are rough; more data held out "
             "(data.eval_fraction) would give better ones.")
_STEPS_NOTE = ("Rounding to nearly the same steps again can take back part of what was learned; 8 "
               "bits keep it.")
_PRECISION_NOTE = "The live model is the adapter over its base in {how}, as it was trained."


def verify(
    artifact: Path, origin: Origin, settings: Settings, *, reference: Reference | None = None,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Verification:
    """Ask `artifact` what the live model `origin` is asked, compare, and write the report files.

    `reference` is what `live_reference` gave for this origin; without, the live model is asked
    now. Raises ModelError where one of both
    cannot be loaded, SetupError where a library for it is missing, ExportError for what is no
    artifact, Stopped; then no report is written.
    """
    started = time.monotonic()
    artifact = typed_path(artifact).absolute()
    kind = kind_of_artifact(artifact)
    known = reference or live_reference(origin, settings, progress=progress, stop=stop)
    with opened_artifact(artifact, origin, settings, progress=progress, stop=stop) as asked:
        case = _case(artifact.name, asked, known, progress, stop)
    verdict = verdict_on(case)
    found = Verification(
        artifact=artifact.name, kind=kind, origin=origin.name, base=origin.base_to_show,
        program=case.program, sample=known.sample.said, level=verdict.level,
        summary=verdict.summary, measures=case.measures, answers=case.answers,
        checks=case.checks, warnings=verdict.warnings,
        notes=_notes(case, starter_base(origin, settings)),
        seconds=round(time.monotonic() - started, 3), versions=made_with(_LIBRARIES))
    write_report(artifact, found, asks_own_data=known.sample.is_own_data)
    return found


def _case(name: str, asked: Asked, known: Reference, progress: Progress, stop: ShouldStop) -> Case:
    checks = [template_check(asked, known), stop_check(asked, known)]
    end_if_stopped(stop)
    answers = _answers(asked, known, progress, stop)
    return Case(name, asked.program, asked.precision, known.quantization,
                _measures(asked, known, progress, stop), answers,
                tuple(check for check in checks if check is not None))


def _answers(asked: Asked, known: Reference, progress: Progress,
             stop: ShouldStop) -> tuple[AnswerPair, ...]:
    questions = known.sample.questions[:len(known.answers)]
    if not questions:
        return ()
    prompts = [_prompt(asked, question) for question in questions]
    found = asked.answers(prompts, ANSWER_TOKENS, progress=progress, stop=stop)
    return tuple(_pair(known, question, live, answer) for question, live, answer
                 in zip(questions, known.answers, found, strict=True))


def _prompt(asked: Asked, question: Question) -> list[int]:
    """By the artifact's own template, as whoever chats with it; a template that cannot be used was
    told already."""
    if not question.turns:
        return question.prompt_ids
    try:
        return asked.prompt_ids(list(question.turns))
    except ModelError:
        return question.prompt_ids


def _pair(known: Reference, question: Question, live: Answer, artifact: Answer) -> AnswerPair:
    tokens = [known.tokenizer.encode(one.text.strip(), add_special_tokens=False)
              for one in (live, artifact)]
    return AnswerPair(question.shown, live.text, artifact.text, agreement(*tokens), live.ends,
                      artifact.ends)


def _measures(asked: Asked, known: Reference, progress: Progress,
              stop: ShouldStop) -> TokenMeasures | None:
    texts = questions_with_answers(known)
    pairs = []
    for number, (question, expected) in enumerate(texts):
        progress(Step(f"Reading with {asked.program}", number, len(texts), "texts"))
        pairs.append((expected, asked.reading(question.prompt_ids, question.answer_ids, stop),
                      question.answer_ids))
    return measured(pairs) if pairs else None


def _notes(case: Case, starter: SharedBase | None) -> tuple[str, ...]:
    """What to know of the numbers. The weights of a `starter` with a note were rounded before."""
    notes = [f"{starter.note} {_STEPS_NOTE}"] if starter and starter.note and case.precision else []
    found = case.measures
    if found is not None and found.kl_is_lower_bound:
        notes.append(_LISTED_NOTE)
    if found is not None and found.tokens < _FEW_TOKENS:
        notes.append(_FEW_NOTE.format(tokens=found.tokens))
    if case.live_precision:
        notes.append(_PRECISION_NOTE.format(how=case.live_precision))
    return tuple(notes)
