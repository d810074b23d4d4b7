"""The model card: README.md of what is passed on, with how it was made and how it is used.

Written from the run's own records. Sources of data that are files of a person are not named, and
no prompt, note or path of theirs is in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.adapters.blend import read_blend
from studio.adapters.words import run_words
from studio.data.reading.sources import hub_dataset
from studio.evaluation.record import read_evaluations
from studio.recipe import Recipe, form_fields, is_used
from studio.recipe.base import STARTER
from studio.recipe.method_words import method_words
from studio.runs import Run
from studio.training.environment import read_environment

if TYPE_CHECKING:
    from studio.export.origin import Origin
    from studio.export.shared_base import SharedBase
    from studio.story import Story

CardKind = Literal["adapter", "merged"]
CARD_FILE = "README.md"
_UNTOLD = {"model.source", "data.source", "data.mix", "data.eval_source", "data.custom_template",
           "data.columns", "data.config", "data.revision", "adapter.prompt_text",
           "training.save_steps", "training.save_total_limit", "training.logging_steps"}
"""Said in other words, nobody's business, or of no consequence for what was learned."""
_FOLDERS = r"=.*[\\/](?=[^\\/]*$)"
_SECTIONS = ("model", "data", "adapter", "training", "preference", "reinforcement")

USE_MERGED = '''```python
from transformers import pipeline

chat = pipeline("text-generation", model="{where}")
answer = chat([{{"role": "user", "content": "Hello!"}}], max_new_tokens=200)
print(answer[0]["generated_text"][-1]["content"])
```'''
_USE_ADAPTER = '''```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}"{revision}, dtype="auto")
model = PeftModel.from_pretrained(base, "{where}")
tokenizer = AutoTokenizer.from_pretrained("{where}")
prompt = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "Hello!"}}], add_generation_prompt=True, return_dict=True,
    return_tensors="pt")
answer = model.generate(**prompt, max_new_tokens=200)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))
```'''


def model_card(
    origin: Origin, base: SharedBase, kind: CardKind, folder_name: str, notes: Iterable[str] = ()
) -> str:
    """The whole text, with the front matter that the Hub reads. It will lie in `folder_name`."""
    run = origin.run
    recipe = None if run is None else run.readable_recipe
    parts = [
        f"---\n{_front_matter(base, kind, recipe)}\n---",
        f"# {origin.name}\n\n{_what_it_is(origin, base, kind, recipe)}",
        "## How to use it\n\n" + _use(base, kind, folder_name),
    ]
    if run is not None and recipe is not None:
        story = run.story()
        parts += [_training(recipe, story), _data(recipe, run.path), _results(run, story)]
    parts += [_license(base), _versions(run), _notes((base.note, *notes))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(base: SharedBase, kind: CardKind, recipe: Recipe | None) -> str:
    from huggingface_hub import ModelCardData

    tags = ["adapter-studio"]
    if recipe is not None:
        adapter = [] if recipe.adapter.trains_base else [recipe.adapter.method]
        tags += [recipe.training.method, *adapter]
    values: dict[str, Any] = dict(
        base_model=base.hub_id, license=base.license, datasets=_hub_datasets(recipe) or None,
        library_name="peft" if kind == "adapter" else "transformers",
        pipeline_tag="text-generation", tags=tags)
    if base.hub_id:
        values["base_model_relation"] = "adapter" if kind == "adapter" else "finetune"
    return ModelCardData(**values).to_yaml().strip()


def _hub_datasets(recipe: Recipe | None) -> list[str]:
    sources = [] if recipe is None else [recipe.data.source, *recipe.data.mix]
    return [found for found in map(hub_dataset, sources) if found is not None]


def _what_it_is(
    origin: Origin, base: SharedBase, kind: CardKind, recipe: Recipe | None
) -> str:
    what = "An adapter for" if kind == "adapter" else "A model made of"
    trained = "" if recipe is None else f", trained as {run_words(recipe)}"
    if origin.is_full_model:
        what = "A model made of"
    blend = read_blend(origin.path)
    mixed = f" Mixed of others: {blend.words}." if blend is not None and blend.parents else ""
    return f"{what} {base.link}{trained}.{mixed}"


def _use(base: SharedBase, kind: CardKind, folder_name: str) -> str:
    where = f"./{folder_name}"
    if kind == "merged":
        return USE_MERGED.format(where=where)
    revision = f', revision="{base.revision}"' if base.hub_id and base.revision else ""
    return _USE_ADAPTER.format(base=base.reference, where=where, revision=revision)


def _training(recipe: Recipe, story: Story) -> str:
    words = method_words(recipe.training.method)
    rows = [(field.label, f"`{field.key}`", _shown(_value(recipe, field.key)))
            for section in _SECTIONS for field in form_fields(section)
            if field.key not in _UNTOLD and is_used(field.key, recipe)
            and not (field.rare and _value(recipe, field.key) == field.default)]
    step = f" The result is of step {story.result_step:,}." if story.result_step else ""
    memory = "".join(f" After step {at:,}: {text}" for at, text in story.adaptations)
    return (f"## How it was trained\n\n{words.label}: {words.summary}{step}{memory}\n\n"
            + table(("Setting", "Key", "Value"), rows))


def _value(recipe: Recipe, key: str) -> Any:
    if key == "training.learning_rate":
        return recipe.learning_rate
    section, _, name = key.partition(".")
    return getattr(getattr(recipe, section), name)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        # A reward may be a file or a folder of the author's, which go by their last names.
        return ", ".join(f"{re.sub(_FOLDERS, '=', str(key))}: {one}" for key, one in value.items())
    return "" if value is None else str(value)


def _data(recipe: Recipe, folder: Path) -> str:
    known = read_environment(folder).get("data", {})
    named = _hub_datasets(recipe)
    if recipe.data.source == STARTER:
        source = "The starter data of Adapter Studio."
    elif named:
        source = "From " + ", ".join(f"[{one}](https://huggingface.co/datasets/{one})"
                                     for one in named) + "."
    else:
        source = "Data of the author's own."
    lines = [source]
    if known:
        lines += [f"{known['train_examples']:,} examples to learn from, "
                  f"{known['eval_examples']:,} held out.",
                  f"Fingerprint (SHA-256 of the tokens): `{known['fingerprint']}`"]
    return "## Data\n\n" + "\n\n".join(lines)


def _results(run: Run, story: Story) -> str:
    losses = [loss for _, loss in story.evals if math.isfinite(loss)]
    name = "Mean held-out reward" if story.is_rewarded else "Held-out loss"
    sign = -1 if story.is_rewarded else 1
    rows = []
    if losses:
        rows.append((name, *_ends([f"{sign * loss:.4f}" for loss in losses])))
        if story.has_perplexity:
            rows.append(("Held-out perplexity", *_ends([f"{math.exp(loss):.2f}"
                                                        for loss in losses])))
    if story.scores:
        rows.append((f"Answers by {story.scores[-1].scorer}",
                     *_ends([f"{score.value:.1%}" for score in story.scores])))
    if story.forgetting:
        last = story.forgetting[-1]
        rows.append(("Loss on general text", f"{last.base_loss:.4f}", f"{last.loss:.4f}"))
    parts = [table(("Measured while training", "First", "Last"), rows) if rows else "",
             _evaluations(run)]
    found = "\n\n".join(part for part in parts if part)
    return f"## Results\n\n{found}" if found else ""


def _ends(values: list[str]) -> tuple[str, str]:
    """The first and the last; of a single one the last alone."""
    return "" if len(values) == 1 else values[0], values[-1]


def _evaluations(run: Run) -> str:
    rows = [(f"{score.task}, {score.metric}", f"{score.base:.4f}", f"{score.tuned:.4f}",
             score.verdict)
            for evaluation in read_evaluations(run) for score in evaluation.scores]
    return table(("Task", "Base", "This model", "Verdict"), rows) if rows else ""


def _license(base: SharedBase) -> str:
    known = f"The base is under the licence `{base.license}`" if base.license else \
        "The licence of the base is not recorded here: see its page"
    return (f"## Licence\n\n{known}; what is made of it is bound by that, and by the terms of the "
            "data that it learned from.")


def _versions(run: Run | None) -> str:
    found = {} if run is None else read_environment(run.path)
    libraries = found.get("libraries", {})
    if not libraries:
        return ""
    listed = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return f"## Made with\n\nAdapter Studio {found.get('studio', '')}: {listed}."


def _notes(notes: Iterable[str]) -> str:
    lines = [f"- {note}" for note in notes if note]
    return "## To know\n\n" + "\n".join(lines) if lines else ""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
