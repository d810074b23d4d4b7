"""What the script of a run that learns from its own answers needs beside TRL: rewards and order.

Rewards of the studio are carried as their source; functions of the person's own are copied in
files beside the script.
"""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

from studio.data import samples, score
from studio.export.script.calls import Code, written
from studio.export.script.facts import Facts
from studio.files import typed_path
from studio.models import thoughts
from studio.recipe.usual import reinforcement_beta
from studio.training import scorers
from studio.training.methods.prompt_order import PromptOrder
from studio.training.rewards import Named, rewards_named
from studio.training.rewards.length import length_reward

_JSON = [score.canonical_json, score._refuse, score._without_repeats]
_SOURCES: dict[str, list[Any]] = {
    "similarity": [scorers.similarity], "exact_match": [scorers.exact_match],
    "json_valid": [scorers.json_valid, *_JSON], "json_equal": [scorers.json_equal, *_JSON],
    "contains": [scorers.contains], "length": [length_reward],
}
CLASS_BODY = '''\
    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict]:
        return prompts, None, {}  # they are tokens already

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        rows = self.train_dataset if dataset is None else dataset
        answers = self.args.num_generations
        return PromptOrder(
            len(rows), answers=answers, seed=self.args.data_seed,
            prompts_per_step=self.args.generation_batch_size // answers,
            repeats=self.args.num_iterations * self.args.steps_per_generation)
'''
_REWARDED = '''\
def rewarded(name: str, score: Any) -> Any:
    """As TRL asks for it: a number for each answer, without what the model thought before it."""

    def reward(completions: list[str], expected: list[str], shown: list[str], **_: Any) -> Any:
        return [score(without_reasoning(answer), without_reasoning(wanted), prompt)
                for answer, wanted, prompt in zip(completions, expected, shown, strict=True)]

    reward.__name__ = name
    return reward
'''
_REGEX = '''\
def matches(pattern: str) -> Any:
    """1 where `pattern` is found anywhere in the answer."""
    compiled = re.compile(pattern)
    return lambda answer, expected, prompt: float(compiled.search(answer) is not None)
'''
_LENGTH = '''\
def rewarded_length(name: str, wanted: int) -> Any:
    """The same for the tokens of an answer, without the one that ends it."""

    def reward(completion_ids: list[list[int]], **_: Any) -> Any:
        return [length_reward(sum(token not in ENDS for token in ids), wanted)
                for ids in completion_ids]

    reward.__name__ = name
    return reward
'''


def carried_rewards(facts: Facts) -> list[str]:
    """The source of the rewards and of what they call, each once."""
    named = _named(facts)
    found: list[Any] = [PromptOrder, thoughts.Thoughtful, thoughts.split_thought,
                        scorers.without_reasoning]
    for one in named:
        found += [source for source in _SOURCES.get(one.kind, []) if source not in found]
    texts = [inspect.getsource(one) for one in found]
    if any(one.kind != "length" for one in named):
        texts.append(_REWARDED)
    kinds = {one.kind for one in named}
    return texts + [text for kind, text in (("length", _LENGTH), ("regex", _REGEX))
                    if kind in kinds]


def carried_for_prompts() -> list[Any]:
    """What the rows of prompts are made with."""
    return [samples.answer_text, samples.shown_turns]


def reward_imports(facts: Facts) -> list[str]:
    """Lines of imports from the standard library, and of the person's own functions."""
    kinds = {one.kind for one in _named(facts)}
    return [*(["import difflib"] if "similarity" in kinds else []), "import re"]


def own_imports(facts: Facts) -> list[str]:
    """Of the files beside the script, each function under the name that it is called by."""
    own = [one for one in _named(facts) if one.kind == "python"]
    return [f"from {_module(number)} import {_function(one)} as own_reward_{number}"
            for number, one in enumerate(own, 1)]


def reward_constants(facts: Facts) -> list[str]:
    """What the carried sources know by name."""
    lines = [f"ENDS = {written(list(facts.ends))}  # tokens at which an answer ends",
             "Turn = dict[str, Any]", f"_OPENING = re.compile({thoughts._OPENING.pattern!r})"]
    if any(one.kind == "similarity" for one in _named(facts)):
        lines.append(f"_COMPARED_CHARACTERS = {scorers._COMPARED_CHARACTERS}")
    if any(one.kind == "contains" for one in _named(facts)):
        lines.append("Scorer = Any")
    return lines


def reward_calls(facts: Facts) -> Code:
    """The list of functions for TRL's `reward_funcs`."""
    calls, own = [], 0
    for one in _named(facts):
        if one.kind == "length":
            calls.append(f"rewarded_length({written(_name(one))}, {int(one.argument)})")
            continue
        own += one.kind == "python"
        calls.append(f"rewarded({written(_name(one))}, {_score(one, own)})")
    inner = "".join(f"        {call},\n" for call in calls)
    return Code(f"[\n{inner}    ]")


def reward_settings(facts: Facts) -> dict[str, Any]:
    """What TRL's configuration is told beside the common settings."""
    wanted = facts.recipe.reinforcement
    values: dict[str, Any] = {
        "num_generations": wanted.generations, "num_generations_eval": 1,
        "beta": reinforcement_beta(facts.recipe), "max_completion_length": wanted.answer_tokens,
        "temperature": wanted.temperature, "top_p": wanted.top_p,
        "num_iterations": wanted.iterations,
        "reward_weights": [float(one.weight) for one in _named(facts)],
        "remove_unused_columns": False,
    }
    if facts.method == "grpo":
        values |= {"loss_type": wanted.loss, "scale_rewards": wanted.scale_rewards}
    return values


def copy_own_rewards(folder: Path, facts: Facts) -> None:
    """Put the person's own files beside the script."""
    if not facts.writes:
        return
    own = [one for one in _named(facts) if one.kind == "python"]
    for number, one in enumerate(own, 1):
        file = typed_path(one.argument.rpartition(":")[0])
        shutil.copyfile(file, folder / f"{_module(number)}.py")


def _named(facts: Facts) -> list[Named]:
    return rewards_named(facts.recipe.reinforcement.rewards)


def _module(number: int) -> str:
    return f"own_rewards_{number}"


def _function(one: Named) -> str:
    return one.argument.rpartition(":")[2]


def _name(one: Named) -> str:
    """As the losses are logged by; no folder of this PC."""
    return _function(one) if one.kind == "python" else one.text


def _score(one: Named, own: int) -> str:
    if one.kind == "python":
        return f"own_reward_{own}"
    if one.kind == "contains":
        return f"contains({written(one.argument)})"
    if one.kind == "regex":
        return f"matches({written(one.argument)})"
    return one.kind
