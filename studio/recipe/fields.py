"""The fields of a Recipe: name, default, allowed range, label and help, each written once.

Holds no logic beyond checks that need several fields. What is watched during a run is in
`monitor.py`, reading YAML in `yaml_io.py`, turning mistakes into sentences in `report.py`,
describing fields to a form in `form.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from studio.errors import RecipeError
from studio.recipe.base import Part, setting
from studio.recipe.monitor import Monitor
from studio.recipe.report import recipe_error

DataFormat = Literal["auto", "alpaca", "prompt_completion", "messages", "sharegpt", "dialogue",
                     "text", "preference", "kto", "prompts"]
TemplateName = Literal["auto", "chatml", "alpaca", "llama2", "llama3", "mistral", "zephyr", "gemma",
                       "phi", "vicuna", "human_assistant", "custom"]
STARTER = "starter"
"""The `source` that means the model or the data that comes with the studio."""


class Model(Part):
    """The base model."""

    source: str = setting(
        STARTER, "Base model",
        "'starter', a Hugging Face id such as Qwen/Qwen3-0.6B, or a folder on this PC.",
        min_length=1,
    )
    revision: str | None = setting(
        None, "Revision", "Branch, tag or commit on the Hub. Empty takes the newest.", rare=True
    )
    quantization: Literal["none", "8bit", "4bit"] = setting(
        "none", "Quantization",
        "4bit (QLoRA, NF4) holds the frozen base in a quarter of the memory; 8bit in half.",
    )
    double_quantization: bool = setting(
        True, "Double quantization",
        "Of 4bit only: the scale of each block of weights is held in 8 bits too, which saves a "
        "twelfth of the base.", rare=True,
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = setting(
        "auto", "Number format",
        "Of the base weights and the arithmetic. auto takes what this hardware is fast at.",
        rare=True,
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = setting(
        "auto", "Attention", "Attention implementation. auto takes the fastest that is installed.",
        rare=True,
    )
    trust_remote_code: bool = setting(
        False, "Run the model's own code",
        "Lets Python code from the model's repository run on this PC. Only for authors you trust.",
        rare=True,
    )


class Data(Part):
    """What the model is taught, and how it is turned into tokens."""

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
        1024, "Maximum length", "Tokens per example; what is longer is cut at the end.",
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
        wrong = {name: weight for name, weight in value.items() if not 0 < weight <= 1000}
        if wrong:
            name, weight = next(iter(wrong.items()))
            raise ValueError(f"{name} has the weight {weight:g}; a weight lies above 0 and is at "
                             "most 1000")
        return value

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


class Adapter(Part):
    """What is trained on top of the base."""

    method: Literal["lora", "none"] = setting(
        "lora", "Method",
        "lora trains small matrices beside the frozen base; none trains every weight.",
    )
    rank: int = setting(
        16, "Rank", "Width of the adapter. More learns more and costs more memory.",
        ge=1, le=1024, step=1, top=256,
    )
    alpha: float = setting(
        32, "Alpha", "Strength: the update is scaled by alpha / rank. Twice the rank is usual.",
        gt=0, le=4096, step=1, top=512,
    )
    dropout: float = setting(
        0.0, "Dropout", "Share of adapter inputs dropped while training, against overfitting.",
        ge=0, lt=1, step=0.01, top=0.5,
    )
    targets: Literal["attention", "all-linear"] | list[str] = setting(
        "all-linear", "Target modules",
        "attention: query, key, value and output projections. all-linear: every linear layer "
        "but the head. Or names such as q_proj, v_proj.",
    )
    bias: Literal["none", "all", "lora_only"] = setting(
        "none", "Train biases", "Which bias terms are trained along.", rare=True
    )
    use_rslora: bool = setting(
        False, "Rank-stabilised (rsLoRA)", "Scales by alpha / sqrt(rank): steadier at high rank.",
        rare=True,
    )
    use_dora: bool = setting(
        False, "Weight-decomposed (DoRA)", "Learns size and direction apart: better at low rank, "
        "slower.", rare=True,
    )
    modules_to_save: list[str] = setting(
        [], "Modules trained in full", "Such as embed_tokens, lm_head, when new tokens are taught.",
        rare=True,
    )

    @field_validator("targets")
    @classmethod
    def _targets_named(cls, value: Any) -> Any:
        if isinstance(value, list) and not [name for name in value if name.strip()]:
            raise ValueError("name at least one module, or use attention or all-linear")
        return value


class Training(Part):
    """How long, how fast, and how carefully."""

    method: Literal["sft"] = setting(
        "sft", "Training method", "sft: supervised fine-tuning on examples."
    )
    epochs: float = setting(1.0, "Epochs", "Passes over the data.", gt=0, le=1000, step=0.5, top=10)
    max_steps: int = setting(
        0, "Maximum steps", "Ends the run after so many optimizer steps. 0: as the epochs say.",
        ge=0, step=10, top=2000,
    )
    batch_size: int = setting(
        4, "Micro-batch", "Examples computed at once. The first to lower when memory is short.",
        ge=1, le=4096, step=1, top=64,
    )
    gradient_accumulation: int = setting(
        4, "Gradient accumulation",
        "Micro-batches per optimizer step; micro-batch times this is the effective batch.",
        ge=1, le=4096, step=1, top=64,
    )
    learning_rate: float = setting(
        2e-4, "Learning rate", "Size of each step. 2e-4 is usual for LoRA, 2e-5 for all weights.",
        gt=0, le=1,
    )
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = setting(
        "cosine", "Schedule", "How the learning rate falls over the run."
    )
    warmup_ratio: float = setting(
        0.03, "Warm-up", "Share of the steps in which the learning rate rises from zero.",
        ge=0, lt=1, step=0.01, top=0.3,
    )
    weight_decay: float = setting(0.0, "Weight decay", "Pull of the weights towards zero.",
                                  rare=True, ge=0, le=1, step=0.01, top=0.3)
    optimizer: Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit", "adafactor"] = setting(
        "adamw_torch", "Optimizer",
        "The 8-bit ones (bitsandbytes) need a quarter of the optimizer memory; paged ones "
        "survive short peaks.", rare=True,
    )
    max_grad_norm: float = setting(
        1.0, "Gradient clipping", "Longer gradients are cut to this norm. 0: never.", rare=True,
        ge=0, le=1000, step=0.1, top=10,
    )
    gradient_checkpointing: bool | Literal["auto"] = setting(
        "auto", "Gradient checkpointing",
        "Saves memory by computing activations twice. auto: only when memory asks for it.",
    )
    logging_steps: int = setting(1, "Log every", "Optimizer steps between two points of the plot.",
                                 rare=True, ge=1, step=1, top=100)
    eval_steps: int = setting(
        0, "Evaluate every", "Optimizer steps between evaluations. 0: at the end only.",
        rare=True, ge=0, step=10, top=1000,
    )
    save_steps: int = setting(
        100, "Checkpoint every", "Optimizer steps between checkpoints. 0: at the end only.",
        rare=True, ge=0, step=10, top=1000,
    )
    save_total_limit: int = setting(2, "Checkpoints kept", "Older ones are deleted.", rare=True,
                                    ge=1, le=1000, step=1, top=20)
    early_stopping_patience: int = setting(
        0, "Early stopping", "Ends the run after so many evaluations without a better held-out "
        "loss. 0: never.", rare=True, ge=0, step=1, top=20,
    )
    early_stopping_min_change: float = setting(
        0.0, "Counts as better", "How much lower the held-out loss must be to count as better.",
        rare=True, ge=0, le=10, step=0.001, top=0.1,
    )
    keep: Literal["last", "best"] = setting(
        "last", "Keep", "Which weights are the result: of the last step, or of the evaluation with "
        "the lowest held-out loss.", rare=True,
    )
    out_of_memory: Literal["stop", "adapt", "shorten"] = setting(
        "adapt", "When memory runs out",
        "adapt: goes on with a smaller micro-batch and the same effective batch, then with "
        "gradient checkpointing. shorten: after these also with shorter examples. stop: the run "
        "fails.",
        rare=True,
    )
    seed: int = setting(42, "Training seed", "Decides adapter start values and dropout.", rare=True,
                        ge=0, le=2**32 - 1)

    @field_validator("max_steps", mode="before")
    @classmethod
    def _no_limit_spellings(cls, value: Any) -> Any:
        return 0 if value in (None, -1) else value

    @property
    def effective_batch_size(self) -> int:
        """Examples per optimizer step."""
        return self.batch_size * self.gradient_accumulation


class Recipe(Part):
    """One run, wholly described. Frozen: change it with `with_values`."""

    model: Annotated[Model, Field(title="Model")] = Model()
    data: Annotated[Data, Field(title="Data")] = Data()
    adapter: Annotated[Adapter, Field(title="Adapter")] = Adapter()
    training: Annotated[Training, Field(title="Training")] = Training()
    monitor: Annotated[Monitor, Field(title="Monitor")] = Monitor()

    @model_validator(mode="after")
    def _combinations(self) -> Recipe:
        if self.adapter.method == "none" and self.model.quantization != "none":
            raise ValueError(
                f"model.quantization is {self.model.quantization}, but adapter.method none trains "
                "every weight, and quantised weights cannot be trained: use adapter.method lora, "
                "or model.quantization none"
            )
        if self.training.eval_steps and not self.data.holds_out:
            raise ValueError(
                f"training.eval_steps is {self.training.eval_steps}, but data.eval_fraction 0 "
                "keeps nothing to evaluate on: set data.eval_fraction above 0, or "
                "training.eval_steps 0"
            )
        self._require_evaluations()
        return self

    def _require_evaluations(self) -> None:
        """What decides by the held-out loss needs one, and early stopping more than one."""
        wanted = self.training
        if wanted.early_stopping_patience and not wanted.eval_steps:
            raise ValueError(
                f"training.early_stopping_patience is {wanted.early_stopping_patience}, but "
                "training.eval_steps 0 evaluates at the end only: set training.eval_steps above 0, "
                "or training.early_stopping_patience 0"
            )
        if wanted.keep == "best" and not self.data.holds_out:
            raise ValueError(
                "training.keep is best, but data.eval_fraction 0 keeps nothing to evaluate on: set "
                "data.eval_fraction above 0, or training.keep last"
            )

    def with_values(self, values: dict[str, Any]) -> Recipe:
        """A new recipe with dotted keys replaced: `{"adapter.rank": 8}`.

        Raises RecipeError naming every unknown key and value that is not allowed.
        """
        tree = self.model_dump(mode="json")
        for dotted, value in values.items():
            section, _, name = dotted.partition(".")
            if isinstance(tree.get(section), dict) and name:
                tree[section][name] = value
            else:
                tree[dotted] = value
        return parse_recipe(tree)


def parse_recipe(tree: Any) -> Recipe:
    """A recipe from plain data (what YAML or a form gives). Raises RecipeError."""
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise RecipeError(
            f"A recipe is a map with the keys {', '.join(Recipe.model_fields)}, "
            f"but this is a {type(tree).__name__}.",
            "Start from a recipe.yaml that a run has left in its folder.",
        )
    groups = {name: {} if tree.get(name, 0) is None else value for name, value in tree.items()}
    try:
        return Recipe.model_validate(groups)
    except ValidationError as error:
        raise recipe_error(error, Recipe) from None
