"""Rewards as a recipe names them: `kind`, or `kind=argument`, each with a weight.

Says what is wrong with a name as far as that can be known without loading anything. Computes no
reward.
"""

from __future__ import annotations

from dataclasses import dataclass

from studio.errors import RecipeError
from studio.recipe import Recipe

_KEY = "reinforcement.rewards"


@dataclass(frozen=True)
class Kind:
    """`argument` says what stands behind the =, empty where nothing may. `may_lack` that it may be
    left out. `compares` with the record's own answer (where no argument is given)."""

    argument: str = ""
    may_lack: bool = False
    compares: bool = False


KINDS: dict[str, Kind] = {
    "similarity": Kind(compares=True),
    "exact_match": Kind(compares=True),
    "json_equal": Kind(compares=True),
    "json_valid": Kind(),
    "contains": Kind("a text", may_lack=True, compares=True),
    "regex": Kind("a pattern"),
    "length": Kind("a number of tokens"),
    "model": Kind("the name of a run of method reward"),
    "python": Kind("file.py:function"),
}


@dataclass(frozen=True)
class Named:
    """One reward: `text` as the recipe has it, taken apart."""

    text: str
    kind: str
    argument: str
    weight: float

    @property
    def field(self) -> str:
        """Where a person finds it in the recipe, for messages."""
        return f"{_KEY} ({self.text})"

    @property
    def compares(self) -> bool:
        """True where an answer is compared with the record's own."""
        return KINDS[self.kind].compares and not self.argument


def rewards_named(rewards: dict[str, float]) -> list[Named]:
    """The rewards of a recipe in order. Raises RecipeError that says every mistake."""
    found, mistakes = [], []
    for text, weight in rewards.items():
        one = _taken_apart(text, weight)
        mistake = _mistake(one)
        if mistake:
            mistakes.append(mistake)
        found.append(one)
    if mistakes:
        raise RecipeError(mistakes[0], f"{_KEY} may hold {_allowed()}.", tuple(mistakes))
    return found


def require_rewards(recipe: Recipe) -> None:
    """Raises RecipeError for rewards that cannot be, and for batches that do not divide."""
    rewards_named(recipe.reinforcement.rewards)
    batch, generations = recipe.training.effective_batch_size, recipe.reinforcement.generations
    if batch % generations:
        below = batch // generations * generations
        near = " or ".join(f"{number}" for number in (below, below + generations) if number)
        raise RecipeError(
            f"The effective batch is {batch} answers, which cannot be shared out in groups of "
            f"{generations} (reinforcement.generations).",
            f"Make it {near} (training.batch_size times training.gradient_accumulation), or set "
            f"reinforcement.generations to {_divisors(batch)}.")


def _taken_apart(text: str, weight: float) -> Named:
    kind, _, argument = text.partition("=")
    return Named(text, kind.strip(), argument.strip(), weight)


def _mistake(one: Named) -> str:
    """What is wrong with it in one sentence, or empty."""
    kind = KINDS.get(one.kind)
    if kind is None:
        return f"{_KEY}: there is no reward {one.kind!r}."
    if one.argument and not kind.argument:
        return f"{_KEY}: {one.kind} takes nothing behind an =, but {one.text!r} is given."
    if kind.argument and not one.argument and not kind.may_lack:
        return f"{_KEY}: {one.kind} needs {kind.argument}, as in {one.kind}={_EXAMPLES[one.kind]}."
    if one.kind == "length" and not (one.argument.isdecimal() and int(one.argument) > 0):
        return (f"{_KEY}: {one.text!r} names no number of tokens; write a whole number above 0, "
                "as in length=100.")
    return ""


_EXAMPLES = {"regex": r"\d+", "length": "100", "model": "my-judge",
             "python": "my_rewards.py:score"}


def _allowed() -> str:
    shown = []
    for name, kind in KINDS.items():
        argument = f"={kind.argument}" if kind.argument else ""
        shown.append(f"{name}[{argument}]" if kind.may_lack else f"{name}{argument}")
    return ", ".join(shown)


def _divisors(batch: int) -> str:
    found = [str(number) for number in range(2, batch + 1) if batch % number == 0]
    return " or ".join(found[:4]) if found else "2, with an even batch"


