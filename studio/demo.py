"""The main job from end to end, measured: data, memory, training, score, chat, merge, GGUF.

Calls the same engine functions as the page, on the starter model and the starter data. Draws
nothing; `studio/cli/demo.py` does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.arbiter import Arbiter
from studio.chat.many import answer_all
from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.chat.session import BASE_COLUMN, ChatSession, Column
from studio.errors import RunError
from studio.export.gguf import default_gguf_file, write_gguf
from studio.export.merge import merge
from studio.export.origin import default_merge_folder
from studio.export.verify import ask_gguf
from studio.files import folder_bytes, safe_name
from studio.presets import starter_recipe
from studio.progress import Progress, Step
from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import Settings
from studio.training.job import JobRunner

ANSWER_TOKENS = 96
"""Room for the longest expected answer of the starter task, and a little more."""


@dataclass
class DemoReport:
    """What was measured. Sizes in bytes, durations in seconds, scores in percent."""

    measured: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    question: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for `--json`."""
        return {"measured": self.measured, "files": self.files, "seconds": self.seconds,
                "question": self.question, "answers": self.answers}


@dataclass
class Demo:
    """One pass through the studio. `follow` watches a run until it ends.

    `max_steps` 0 trains as long as the starter recipe says.
    """

    settings: Settings
    progress: Progress
    follow: Callable[[JobRunner, Run], Any]
    max_steps: int = 0
    outtype: str = "q8_0"
    question: list[Message] = field(default_factory=list)
    report: DemoReport = field(default_factory=DemoReport)

    def run(self) -> DemoReport:
        """All steps in order. Raises StudioError where one fails; finished files stay."""
        recipe = starter_recipe()
        if self.max_steps:
            recipe = recipe.with_values({"training.max_steps": self.max_steps})
        self._timed("prepare the starter model", lambda: self._prepare(recipe))
        self._timed("inspect the data", lambda: self._inspect(recipe))
        self._timed("estimate memory", lambda: self._estimate(recipe))
        run = self._timed("train", lambda: self._train(recipe))
        self._timed("score and chat", lambda: self._score_and_chat(recipe, run))
        merged = self._timed("merge", lambda: self._merge(run))
        gguf = self._timed("write GGUF", lambda: self._write_gguf(merged))
        self._timed("ask llama.cpp", lambda: self._ask(gguf))
        return self.report

    def _timed(self, what: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        result = work()
        self.report.seconds[what] = time.monotonic() - began
        return result

    def _prepare(self, recipe: Recipe) -> None:
        from studio.models.source import find_model

        found = find_model(recipe.model.source, self.settings, progress=self.progress)
        self.report.files["starter model"] = str(found.path)

    def _inspect(self, recipe: Recipe) -> None:
        from studio.data.lab.look import inspect
        from studio.models.loading import load_tokenizer
        from studio.models.source import find_model

        tokenizer = load_tokenizer(find_model(recipe.model.source, self.settings))
        self.progress(Step("Looking at the data"))
        found = inspect(recipe.data, self.settings, tokenizer, recipe.training)
        self.report.measured["data format"] = found.format
        self.report.measured["data rows"] = found.rows
        self.report.measured["data problems"] = found.problem_count

    def _estimate(self, recipe: Recipe) -> None:
        from studio.adapters.count import count_trainable
        from studio.device import free_device_bytes, pick_device
        from studio.hardware.calibration import calibrated
        from studio.hardware.memory import estimate
        from studio.models.shape import model_shape

        shape = model_shape(recipe.model.source, self.settings)
        count = count_trainable(recipe, shape)
        self.report.measured["trainable parameters"] = count.trainable
        device = calibrated(pick_device(), self.settings)
        self.report.measured["estimated memory bytes"] = estimate(
            recipe, shape, device, free_bytes=free_device_bytes(device)).total_bytes

    def _train(self, recipe: Recipe) -> Run:
        name = safe_name(time.strftime("demo-%Y-%m-%d-%H%M%S"))
        jobs = JobRunner(self.settings, Arbiter())
        run = jobs.start(recipe, name)
        self.follow(jobs, run)
        story = run.story()
        if not run.has_adapter or story.state != "done":
            raise RunError(f"The training ended as {story.state}, so there is nothing to score.",
                           f"Go on with it: launch.py resume {name}")
        self.report.files["run folder"] = str(run.path)
        self.report.measured.update({
            "training steps": story.step, "first loss": story.points[0].loss,
            "last loss": story.points[-1].loss, "training seconds": story.elapsed_seconds,
            "tokens per second": story.tokens_per_second,
            "measured memory bytes": peak_memory_bytes(run),
        })
        if story.evals:
            self.report.measured["held-out loss"] = story.evals[-1][1]
        return run

    def _score_and_chat(self, recipe: Recipe, run: Run) -> None:
        from studio.data.score import score_json

        prompts, expected = held_out_questions(self.settings)
        session = ChatSession(recipe.model, [Column(BASE_COLUMN)], self.settings,
                              progress=self.progress)
        try:
            for who, adapter in (("base", None), ("tuned", run.adapter_path)):
                answers = answer_all(session, adapter, prompts, max_new_tokens=ANSWER_TOKENS,
                                     progress=self.progress, what=f"Scoring the {who}")
                score = score_json(answers, expected)
                self.report.measured[f"{who} valid JSON percent"] = score.valid_percent
                self.report.measured[f"{who} exact match percent"] = score.exact_percent
            self.report.measured["held-out examples"] = len(expected)
            self._chat(session, run, prompts[0])
        finally:
            session.close()

    def _chat(self, session: ChatSession, run: Run, question: list[Message]) -> None:
        session.show([Column("base"), Column("tuned", run.adapter_path)])
        self.progress(Step("Chatting with both"))
        sampling = Sampling(temperature=0, max_new_tokens=ANSWER_TOKENS)
        for texts in session.answer({"base": question, "tuned": question}, sampling):
            self.report.answers.update(texts)
        self.question = question
        self.report.question = question[-1]["content"]

    def _merge(self, run: Run) -> Path:
        target = default_merge_folder(self.settings, run.name)
        made = merge(run.adapter_path, target, self.settings, progress=self.progress)
        self.report.files["merged model"] = str(made.path)
        self.report.measured["merged model bytes"] = folder_bytes(made.path)
        return made.path

    def _write_gguf(self, merged: Path) -> Path:
        target = default_gguf_file(self.settings, merged.name, self.outtype)
        made = write_gguf(merged, target, self.outtype, self.settings, progress=self.progress)
        self.report.files["GGUF"] = str(made.path)
        self.report.measured["GGUF bytes"] = made.bytes
        return made.path

    def _ask(self, gguf: Path) -> None:
        self.progress(Step("Asking llama.cpp"))
        answer = ask_gguf(gguf, self.question, ANSWER_TOKENS)
        self.report.answers["llama.cpp"] = answer
        same = answer.strip() == self.report.answers["tuned"].strip()
        self.report.measured["llama.cpp answers as the tuned model"] = same


def peak_memory_bytes(run: Run) -> int:
    """The highest reading of a run's telemetry: of the GPU where there is one, else of this
    program."""
    lines = (run.path / "telemetry.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    return max((sample["gpu_used_bytes"] or sample["rss_bytes"] for sample in samples), default=0)


def held_out_questions(settings: Settings) -> tuple[list[list[Message]], list[str]]:
    """The starter's held-out prompts, and the answers expected, in the same order."""
    from studio.data.convert import to_sample
    from studio.data.lab.look import open_whole
    from studio.data.reading.sources import starter_files
    from studio.data.samples import Conversation
    from studio.recipe import Data

    whole = open_whole(Data(source=str(starter_files()[1])), settings)
    samples = [to_sample(row, whole.detections[0]) for row in whole.store.each()]
    turns: list[list[Message]] = [one.turns for one in samples if isinstance(one, Conversation)]
    return [found[:-1] for found in turns], [found[-1]["content"] for found in turns]
