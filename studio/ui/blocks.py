"""The page's `gr.Blocks`: what a handler skips costs nothing.

Gradio makes a component anew for every output that a handler leaves as it is. A look at what goes
on has a hundred outputs and changes five: without this it takes a tenth of a core from training.
"""

from __future__ import annotations

import copy
from typing import Any

import gradio as gr

SKIPPED = gr.skip()


class Page(gr.Blocks):
    """As gradio's, with the same answers to the browser."""

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """One value for each output of `block_fn`, as the browser gets it."""
        if _is_skipped(predictions):
            return [dict(SKIPPED) for _ in block_fn.outputs]
        if not isinstance(predictions, list | tuple) or (
                len(predictions) != len(block_fn.outputs) or len(predictions) < 2):
            return await super().postprocess_data(block_fn, predictions, state)
        changed = [place for place, one in enumerate(predictions) if not _is_skipped(one)]
        answers: list[Any] = [dict(SKIPPED) for _ in predictions]
        for place, answer in zip(changed, await self._changed(
                block_fn, [predictions[place] for place in changed], changed, state), strict=True):
            answers[place] = answer
        return answers

    async def _changed(
        self, block_fn: Any, predictions: list[Any], places: list[int], state: Any
    ) -> list[Any]:
        if not places:
            return []
        fewer = copy.copy(block_fn)
        fewer.outputs = [block_fn.outputs[place] for place in places]
        # Gradio takes a single output's value as it is.
        given = predictions if len(predictions) > 1 else predictions[0]
        answers: list[Any] = await super().postprocess_data(fewer, given, state)
        return answers


def _is_skipped(prediction: Any) -> bool:
    return isinstance(prediction, dict) and prediction == SKIPPED
