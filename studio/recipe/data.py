"""The data of a recipe: where they come from, how they become tokens, what is held out.

Fields only.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator, model_validator

from studio.recipe.base import STARTER, Part, require_each, setting

DataFormat = Literal["auto", "alpaca", "prompt_completion", "messages", "sharegpt", "dialogue",
                     "text", "preference", "kto", "prompts"]
TemplateName = Literal["auto", "chatml", "alpaca", "llama2", "llama3", "mistral", "zephyr", "gemma",
                       "phi", "vicuna", "human_assistant", "custom"]


class Data(Part):
    """What the model is taught, and how it is turned into tokens.

    `divides`: texts are whole documents, and long ones become several rows, see `taught.py`.
    """

    divides: ClassVar[bool] = False

    source: str = setting(
        STARTER, "Data",
        "'starter', a file or folder (JSONL, JSON, CSV, TSV, Parquet, Arrow, text; also .gz or "
        ".zst), or a Hugging Face id.", min_length=1,
    )
    mix: dict[str, float] = setting(
        {}, "Mixed with", "Further sources, one a line, each with how often its rows are taken: "
        "more.jsonl: 0.5 takes a random half of them, 2 takes them twice.", rare=True,
    )
    config: str | None = setting(
        None, "Configuration", "Which part of a Hub dataset to read, where it has several.",
        rare=True,
    )
    split: str = setting("train", "Split", "Which split of a Hub dataset to read.", rare=True,
                         min_length=1)
    revision: str | None = setting(
        None, "Data revision", "Branch, tag or commit of a Hub dataset. Empty takes the newest.",
        rare=True,
    )
    format: DataFormat = setting(
        "auto", "Format", "The shape of a record. auto looks at the records and says what it saw."
    )
    columns: dict[str, str] = setting(
        {}, "Columns",
        "Which column plays which part, where names are unusual: prompt: question, "
        "completion: answer.", rare=True,
    )
    template: TemplateName = setting(
        "auto", "Chat template",
        "How turns become text. auto takes the model's own, or ChatML where it has none; custom "
        "takes the text below.",
    )
    custom_template: str = setting(
        "", "Own chat template", "Jinja that turns `messages` into text; used when the chat "
        "template is custom.", rare=True, lines=True, max_length=100_000,
    )
    loss_on: Literal["responses", "last_response", "all"] = setting(
        "responses", "Learn from",
        "responses: only the answers count in the loss. last_response: only the last answer of a "
        "conversation. all: prompts are learned too.",
    )
    max_length: int = setting(
        1024, "Maximum length",
        "Tokens per example; what is longer is cut at the end. pretrain divides long texts into "
        "rows of this length instead, and loses nothing.",
        ge=8, le=1_048_576, step=64, top=8192,
    )
    packing: bool = setting(
        False, "Packing", "Joins short examples into full rows, which wastes no padding."
    )
    held_out: Literal["fraction", "grouped", "column", "file"] = setting(
        "fraction", "Hold out by",
        "fraction: a random part. grouped: a random part, but a conversation, a duplicate, or a "
        "group is never in both. column: the rows where a column has a value. file: another file.",
    )
    eval_fraction: float = setting(
        0.05, "Held-out part", "Share of the examples kept aside to measure the loss on.",
        ge=0, le=0.5, step=0.01, top=0.5,
    )
    group_column: str | None = setting(
        None, "Group column", "For grouped: rows with the same value here stay together.",
        rare=True,
    )
    eval_column: str | None = setting(
        None, "Held-out column", "For column: the column that says which rows are held out.",
        rare=True,
    )
    eval_value: str = setting(
        "test", "Held-out value", "For column: rows with this value are held out.", rare=True,
    )
    eval_source: str | None = setting(
        None, "Held-out file", "For file: a file, folder or Hugging Face id that is never trained "
        "on.", rare=True,
    )
    seed: int = setting(42, "Shuffle seed", "Decides the split and the order.", rare=True, ge=0,
                        le=2**32 - 1)

    @field_validator("mix")
    @classmethod
    def _weights_positive(cls, value: dict[str, float]) -> dict[str, float]:
        return require_each(value, lambda weight: 0 < weight <= 1000, (
            "{name} has the weight {value:g}; a weight lies above 0 and is at most 1000"))

    @model_validator(mode="after")
    def _held_out_named(self) -> Data:
        if self.held_out == "column" and not self.eval_column:
            raise ValueError("held_out is column, but eval_column names none: name the column, or "
                             "set held_out to fraction")
        if self.held_out == "file" and not self.eval_source:
            raise ValueError("held_out is file, but eval_source names none: name the file, or set "
                             "held_out to fraction")
        if self.template == "custom" and not self.custom_template.strip():
            raise ValueError("template is custom, but custom_template is empty: write the Jinja "
                             "text, or choose another template")
        return self

    @property
    def holds_out(self) -> bool:
        """Whether any part is kept aside to evaluate on."""
        return self.held_out in ("column", "file") or self.eval_fraction > 0
