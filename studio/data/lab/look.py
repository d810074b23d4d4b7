"""Looks at a whole data set and reports: what the command line, the page, and training stand on.

`open_whole` reads and examines, `report_of` sums up. Answers for every file that exists, however
broken; only a source that is not there is an error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy

from studio.data.advice import advice_for
from studio.data.checks.findings import find_all, languages
from studio.data.checks.samples import sample_of
from studio.data.detect import choose_format
from studio.data.detection import Detection
from studio.data.encoder import Encoder, encoder_for
from studio.data.findings import Finding
from studio.data.groups import UNKNOWN
from studio.data.lab.examine import examine
from studio.data.lab.report import Report, SourceReport, Statistics
from studio.data.lab.scan import scan
from studio.data.lab.statistics import statistics_of
from studio.data.lab.store import SourceFacts, Store
from studio.data.lab.whole import Whole
from studio.data.reading.sources import sources_of
from studio.data.records import Problem
from studio.data.samples import RowFault
from studio.data.split import Split, source_weights
from studio.data.templates.checks import check_template
from studio.data.templates.extras import extras_of
from studio.errors import DataError, Stopped
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Data, Training
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROWS_FOR_EXTRAS = 500


def open_whole(
    data: Data, settings: Settings, tokenizer: PreTrainedTokenizerBase | None = None, *,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Whole:
    """Read and examine the data of a recipe, or take what was kept of it.

    Raises DataError where a source is not there or cannot be opened, and Stopped. A set without
    one intact row is no error.
    """
    sources = sources_of(data, settings)
    store = scan(sources, settings, progress=progress, stop=stop)
    detections = detections_of(store, data)
    encoder: Encoder | None = None
    template_error: DataError | None = None
    if tokenizer is not None and any(map(_is_known, store.facts.sources, detections)):
        try:
            encoder = encoder_for(tokenizer, data)
        except DataError as error:
            template_error = error
    examine(store, detections, encoder, progress=progress, stop=stop)
    return Whole(store, data, detections, encoder, tokenizer, template_error)


def _is_known(source: SourceFacts, detection: Detection) -> bool:
    """Whether any row has a format: the chosen one, or one of its own in a mixed source."""
    return detection.format is not None or bool(set(source.groups.counts) - {UNKNOWN})


def inspect(
    data: Data, settings: Settings, tokenizer: PreTrainedTokenizerBase | None = None,
    training: Training | None = None, *, progress: Progress = silent, stop: ShouldStop = never,
) -> Report:
    """The report of a recipe's data. What cannot be opened or holds nothing is a report as well,
    with the reason as its problem.

    Raises DataError where there is no such source, and Stopped.
    """
    sources_of(data, settings)
    try:
        whole = open_whole(data, settings, tokenizer, progress=progress, stop=stop)
    except Stopped:
        raise
    except DataError as error:
        return _nothing(data, error)
    return report_of(whole, training, progress=progress)


def _nothing(data: Data, error: DataError) -> Report:
    return Report(
        name=data.source, fingerprint="", sources=(), format=None, why="nothing could be read.",
        rows=0, readable=0, columns=(), statistics=Statistics(), languages={}, findings=(),
        advice=(), problems=(Problem(error.message, "", error.hint),), problem_count=1,
        train_examples=0, eval_examples=0, split="", has_tokens=False)


def detections_of(store: Store, data: Data) -> tuple[Detection, ...]:
    """The format of each source; one that the recipe names but that does not fit is unknown, with
    the reason as its problem."""
    return tuple(_detection(source, data) for source in store.facts.sources)


def _detection(source: SourceFacts, data: Data) -> Detection:
    try:
        return choose_format(source.groups, source.name, data)
    except DataError as error:
        problem = Problem(error.message, "", error.hint, "format")
        return Detection(None, error.message, {}, (problem,))


def report_of(
    whole: Whole, training: Training | None = None, *, progress: Progress = silent
) -> Report:
    """Everything that is known of the set. `training` lets the advice speak of epochs."""
    progress(Step("Looking for duplicates and mistakes"))
    statistics = statistics_of(whole)
    findings = (*_template_findings(whole), *find_all(whole))
    parts, problems = _split(whole)
    facts = whole.store.facts
    problems += [*facts.problems, *(p for one in whole.detections for p in one.problems)]
    problems += whole.fault_problems(1000 - len(problems))
    training_formats = {d.format for d, source in zip(whole.detections, whole.sources, strict=True)
                        if not source.held_out}
    sources = tuple(map(_source_report, whole.sources, whole.detections, source_weights(whole)))
    draft = Report(
        name=", ".join(source.name for source in whole.sources if not source.held_out),
        fingerprint=facts.fingerprint, sources=sources,
        format=whole.detections[0].format if None not in training_formats else None,
        why=" ".join(_why(whole)), rows=sum(source.total for source in whole.sources),
        readable=len(whole.store), columns=tuple(dict.fromkeys(
            column for source in whole.sources for column in source.groups.columns)),
        statistics=statistics, languages=languages(whole), findings=findings, advice=(),
        problems=tuple(problems),
        problem_count=sum(facts.problem_counts.values()) + len(whole.faults),
        train_examples=len(parts.train), eval_examples=len(parts.held_out), split=parts.how,
        has_tokens=whole.encoder is not None,
    )
    return replace(draft, advice=advice_for(draft, whole, training or Training()))


def _template_findings(whole: Whole) -> list[Finding]:
    """What is wrong with the chat template, where one is used and a tokenizer is there."""
    if whole.tokenizer is None or {one.format for one in whole.detections} <= {None, "text"}:
        return []
    rows = numpy.linspace(0, len(whole.store) - 1, min(len(whole.store), _ROWS_FOR_EXTRAS))
    samples = (sample_of(whole, int(row)) for row in rows)
    extras = {extra for sample in samples if not isinstance(sample, RowFault)
              for extra in extras_of(sample)}
    return check_template(whole.tokenizer, whole.data, extras=extras)


def _split(whole: Whole) -> tuple[Split, list[Problem]]:
    try:
        return whole.split, []
    except DataError as error:
        nothing = numpy.zeros(0, numpy.uint32)
        return (Split(nothing, nothing, error.message),
                [Problem(error.message, "", error.hint, "split")])


def _why(whole: Whole) -> list[str]:
    if len(whole.sources) == 1:
        return [whole.detections[0].why]
    return [f"{source.name}: {detection.format or 'not recognised'}, {detection.why}"
            for source, detection in zip(whole.sources, whole.detections, strict=True)]


def _source_report(source: SourceFacts, detection: Detection, weight: float) -> SourceReport:
    return SourceReport(
        name=source.name, weight=weight, held_out=source.held_out, rows=source.total,
        readable=source.readable, detection=detection, columns=tuple(source.groups.columns),
        formats=source.groups.counts)
