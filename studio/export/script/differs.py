"""What a plain script does otherwise than the run that it was written from, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.recipe import is_used

if TYPE_CHECKING:
    from studio.export.script.facts import Facts

DRAWN = ("The same prompts in the same order, the same rewards, the same start values. Answers are "
         "drawn at random, in batches of another size than the run's, so the losses are of the "
         "same kind, not the same numbers.")
SAME = ("The same examples in the same order, the same start values, the same schedule: with the "
        "versions in requirements.txt the losses are those of the run, up to the rounding of "
        "sums that are taken in another order.")


def differences(facts: Facts) -> list[str]:
    """One sentence for each; the first ones change the losses, the last ones do not."""
    return [sentence for sentence in (
        _dropout(facts), _sixteen_bits(facts), *_memory(facts), _end(facts), _best(facts),
        _start_of_base(facts),
        "The run laid out its batches and fused its layers for speed; the script leaves that to "
        "the libraries.",
        "On the held-out part TRL tells the mean reward as eval_reward; the run told minus that as "
        "the loss." if facts.writes else
        "Losses on the held-out part are means over its batches here; the run weighed by tokens.",
        "Sample answers, scores, the watch over the run's health and going on by itself after "
        "memory ran out are the studio's and are left out.",
    ) if sentence]


def _dropout(facts: Facts) -> str:
    adapter = facts.recipe.adapter
    if adapter.dropout == 0 or not is_used("adapter.dropout", facts.recipe):
        return ""
    return ("Dropout is drawn at random for rows laid out otherwise, so the losses are near those "
            "of the run, not the same.")


def _sixteen_bits(facts: Facts) -> str:
    if facts.writes or (facts.precision.base_dtype == "float32"
                        and facts.precision.autocast is None):
        return ""
    return ("In 16 bits the rounding is coarse: the losses agree with the run's to about three "
            "digits, and drift apart over many steps.")


def _memory(facts: Facts) -> list[str]:
    return [f"From the beginning the script does what memory forced the run to after step {step}: "
            f"{text}" for step, text in facts.story.adaptations]


def _end(facts: Facts) -> str:
    story = facts.story
    if not story.total_steps or story.step >= story.total_steps:
        return ""
    return f"The run ended after step {story.step} of {story.total_steps}; the script goes on."


def _best(facts: Facts) -> str:
    story = facts.story
    if story.result_step in (None, story.step):
        return ""
    return (f"The result of the run is of step {story.result_step}, where it was best; the script "
            "keeps the last one. Its checkpoints have the others.")


def _start_of_base(facts: Facts) -> str:
    if facts.base.note:
        return (f"{facts.base.note} For the same losses give the folder that the run used: "
                "--base FOLDER.")
    if facts.base.hub_id is None:
        return (f"The base {facts.base.name} is a folder that has no address: give it with --base "
                "FOLDER.")
    return ""
