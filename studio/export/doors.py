"""Every way out of the studio, in the order of the page: the registry behind the Export tab, the
verb `export` and `plan.py`.

A door knows its writer and nothing of how the format is made; writers are imported when they are
called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studio.errors import ExportError, SetupError
from studio.export.door import Door, Subject, Work, why_no_merge
from studio.export.gguf_doors import GGUF_DOORS
from studio.export.output import Written
from studio.export.quantize_shape import TUNING_STEPS, Format, plan_of, quantized_bytes

ALL = "all"
"""Stands for every door that is open to what is exported."""


def _merged_bytes(subject: Subject) -> int:
    from studio.hardware.export_memory import merged_disk

    return sum(part.bytes for part in merged_disk(subject.shape))


def _write_merged(work: Work) -> tuple[Written]:
    from studio.export.folder import complete_merged
    from studio.export.merge import merge

    subject = work.subject
    made = merge(subject.origin.path, work.output, subject.settings,
                 dequantized=subject.choices.dequantized, **work.how)
    return (complete_merged(made, subject.origin, subject.settings),)


MERGED = Door(
    "merged", "python", "Transformers folder",
    "The adapter added to its base: a whole model that needs no adapter any more.", "-merged",
    _merged_bytes, _write_merged, why_no_merge)


def _nf4_bytes(subject: Subject) -> int | None:
    from studio.export.nf4 import nf4_bytes

    return nf4_bytes(subject.base, subject.settings) if subject.base else None


def _write_nf4(work: Work) -> tuple[Written]:
    from studio.export.nf4 import write_nf4

    return (write_nf4(work.model, work.output, work.subject.settings, **work.how),)


NF4 = Door(
    "nf4", "gpu", "NF4, of bitsandbytes",
    "4 bits that Transformers loads by itself on an NVIDIA card; needs no data.", "-nf4",
    _nf4_bytes, _write_nf4, why_no_merge, needs_model=True)


def _rounded_door(format: Format, label: str, purpose: str) -> Door:
    def size(subject: Subject) -> int | None:
        plan = plan_of(subject.shape, format)
        return quantized_bytes(subject.base, subject.shape, plan) if subject.base else None

    def write(work: Work) -> tuple[Written]:
        from studio.export.calibration import calibration_data
        from studio.export.quantize import Rounding, write_quantized

        subject = work.subject
        rounding = Rounding(format, calibration_data(subject.origin),
                            tuning_steps=TUNING_STEPS if subject.choices.tuned else 0)
        return (write_quantized(work.model, work.output, rounding, subject.settings, **work.how),)

    def why_not(subject: Subject) -> str:
        from studio.export.quantize import require_auto_round

        if subject.origin.run is None:
            return ("It is measured on the data that the run learned from, and this adapter "
                    "belongs to no run.")
        try:
            plan_of(subject.shape, format)
            require_auto_round()
        except (ExportError, SetupError) as error:
            return str(error)
        return why_no_merge(subject)

    return Door(format, "gpu", label, purpose, f"-{format}", size, write, why_not,
                needs_model=True)


def _adapter_bytes(subject: Subject) -> int:
    from studio.export.adapter_alone import adapter_bytes

    return adapter_bytes(subject.origin)


def _write_adapter(work: Work) -> tuple[Written]:
    from studio.export.adapter_alone import write_adapter

    return (write_adapter(work.subject.origin, work.output, work.subject.settings, **work.how),)


def _why_no_adapter(subject: Subject) -> str:
    return ("The run trained every weight, so there is no adapter."
            if subject.origin.is_full_model else "")


ADAPTER = Door(
    "adapter", "share", "Adapter alone",
    "A few megabytes for those who have the base: no path of this PC in it, a model card beside.",
    "-adapter", _adapter_bytes, _write_adapter, _why_no_adapter)


def _script_bytes(subject: Subject) -> int:
    from studio.export.script import script_bytes

    return script_bytes(subject.origin)


def _write_script(work: Work) -> tuple[Written]:
    from studio.export.script import write_script

    return (write_script(work.subject.origin, work.output, work.subject.settings, **work.how),)


def _why_no_script(subject: Subject) -> str:
    from studio.export.script.facts import recipe_of

    run = subject.origin.run
    if run is None:
        return "It repeats a run, and this adapter belongs to none."
    try:
        recipe_of(run)
    except ExportError as error:
        return error.message
    return ""


SCRIPT = Door(
    "script", "leave", "Python script", "The run as one readable file over transformers, peft and "
    "trl, with its data and an accelerate configuration: it needs no studio.", "-script",
    _script_bytes, _write_script, _why_no_script, is_checked=False)


def _serving_bytes(subject: Subject) -> int:
    from studio.export.serving import serving_bytes

    return serving_bytes(subject.origin)


def _write_serving(work: Work) -> tuple[Written]:
    from studio.export.serving import write_serving

    return (write_serving(work.subject.origin, work.output, work.subject.settings,
                          name=work.name, **work.how),)


SERVING = Door(
    "serving", "leave", "Serving recipes", "Commands and compose files for vLLM, TGI and "
    "llama.cpp, with the names, ports and lengths of this model.", "-serving",
    _serving_bytes, _write_serving, is_checked=False)

DOORS: Mapping[str, Door] = {door.key: door for door in (
    MERGED, *GGUF_DOORS, NF4,
    _rounded_door("gptq", "GPTQ", "4 bits measured on your own data, for vLLM, TGI and SGLang."),
    _rounded_door("awq", "AWQ", "The same with the weights that matter most kept finer."),
    ADAPTER, SCRIPT, SERVING)}
"""Every door by its key, in the order of the page."""


def doors_of(keys: Sequence[str], subject: Subject) -> list[Door]:
    """The doors of these keys in the order of the page; `ALL` stands for all that are open.

    Raises ExportError for a key that is none, or for no key.
    """
    unknown = [key for key in keys if key not in DOORS and key != ALL]
    if unknown or not keys:
        named = f"There is no format named {unknown[0]!r}." if unknown else "No format is chosen."
        raise ExportError(named, f"Choose among {', '.join(DOORS)}, or {ALL}.")
    return [door for key, door in DOORS.items()
            if key in keys or (ALL in keys and not door.why_not(subject))]
