"""Tries a recipe's chat template with a small conversation and says what would go wrong.

Looks at the template and the tokenizer alone, so it is done in milliseconds, before any row is
read. What single rows do to a template is a RowFault of theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from studio.data.findings import Finding, Level
from studio.data.samples import RowFault
from studio.data.templates.chosen import template_for
from studio.data.templates.extras import Extra
from studio.data.templates.probe import ONE_ANSWER, TWO_ANSWERS, Case, Probe, finding, sentence
from studio.data.templates.token_checks import TOKEN_CHECKS
from studio.data.templates.turn_checks import OTHER, TURN_CHECKS
from studio.errors import DataError
from studio.recipe import Data

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_GRAVEST_FIRST: tuple[Level, ...] = ("problem", "warning", "info")


def check_template(
    tokenizer: PreTrainedTokenizerBase, data: Data, *, extras: Collection[Extra] | None = None
) -> list[Finding]:
    """Everything that is known to be wrong with the template, gravest first.

    `extras` is what the data has, as `extras_of` says, where that is known: the loss of anything
    else is not told.
    """
    try:
        template = template_for(tokenizer, data)
    except DataError as error:
        return [finding("invalid", "problem", "The chat template cannot be used", error.message,
                        error.hint)]
    probe = Probe(tokenizer, template)
    one, two = probe.tried(ONE_ANSWER), probe.tried(TWO_ANSWERS)
    if isinstance(one, RowFault):
        return [finding("refuses", "problem", "The chat template refuses a plain conversation",
                        f"{sentence(one)} So no row with turns can be taught.", one.hint)]
    takes_two = isinstance(two, str)
    case = Case(probe, data, extras, TWO_ANSWERS if takes_two else ONE_ANSWER,
                 two if isinstance(two, str) else one)
    found = [check(case) for check in (*TOKEN_CHECKS, *TURN_CHECKS)]
    if isinstance(two, RowFault):
        found.append(finding(
            "one_answer", "warning", "The chat template takes one question and one answer only",
            f"{sentence(two)} Longer conversations are left out.", OTHER))
    return sorted((one for one in found if one), key=lambda one: _GRAVEST_FIRST.index(one.level))
