"""The doors to llama.cpp, Ollama and LM Studio: GGUF in every type, and the adapter alone as one.

All types are written in one go from one conversion, each with a Modelfile for Ollama beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from studio.errors import StudioError
from studio.export.door import Door, Subject, Work, why_no_merge
from studio.export.gguf import CONVERTED_TYPES, KERNELS, are_rounded, gguf_bytes_of_shape
from studio.export.output import Written
from studio.extras import install_command, is_installed

_GGUF_PURPOSES = {
    "q4_k_m": "The usual choice: less than a third of 16 bits at a small loss.",
    "q5_k_m": "About a third of 16 bits, little loss.",
    "q6_k": "A little smaller than q8_0, very little loss.",
    "q8_0": "Half the size of 16 bits, hardly any loss.",
    "bf16": "16 bits as most models are trained; nothing is lost of those.",
    "f16": "16 bits for programs that do not know bf16.",
    "f32": "Twice the size of 16 bits, for comparisons.",
    "q3_k_m": "For models that hardly fit: a loss that is noticed.",
    "q2_k": "The smallest: for large models; small ones lose their senses.",
}
"""The usual choices first."""
_GGUF = "gguf:"
_EXACT = {"float16": "f16", "bfloat16": "bf16"}
"""The type that keeps every number as it is stored, by torch's name for that."""
GGUF_FAMILY = "gguf"
"""All types are written in one go: what they are rounded from is made once and then deleted."""


def _gguf_door(outtype: str) -> Door:
    def size(subject: Subject) -> int:
        return gguf_bytes_of_shape(subject.shape, outtype)

    def why_not(subject: Subject) -> str:
        if outtype not in CONVERTED_TYPES and not is_installed(KERNELS):
            return f"It needs {KERNELS}. Install it with: {install_command([KERNELS])}"
        return why_no_merge(subject)

    return Door(f"{_GGUF}{outtype}", "gguf", f"GGUF {outtype}", _GGUF_PURPOSES[outtype],
                f"-{outtype}.gguf", size, _write_ggufs, why_not, needs_model=True,
                family=GGUF_FAMILY)


def passing_gguf_bytes(keys: Collection[str], subject: Subject) -> int:
    """What the GGUF takes that others are rounded from, where it is none of `keys` itself."""
    types = [key.removeprefix(_GGUF) for key in keys if key.startswith(_GGUF)]
    exact = _EXACT.get(subject.shape.dtype_name, "f32")
    if not are_rounded(types) or exact in types:
        return 0
    return gguf_bytes_of_shape(subject.shape, exact)


def _write_ggufs(work: Work) -> tuple[Written, ...]:
    from studio.export.calibration import calibration_data
    from studio.export.gguf import write_ggufs
    from studio.export.imatrix import Importance

    subject = work.subject
    data = calibration_data(subject.origin) if subject.choices.own_data else None
    outputs = {key.removeprefix(_GGUF): output for key, output in work.outputs.items()}
    made = write_ggufs(work.model, outputs, subject.settings,
                       importance=Importance(data) if data else None, **work.how)
    return tuple(_with_modelfile(made[outtype], work) for outtype in outputs)


def _with_modelfile(made: Written, work: Work) -> Written:
    """Ollama's Modelfile beside the GGUF. One that a person may have edited is left alone."""
    from studio.export.ollama import default_modelfile, write_modelfile

    if default_modelfile(made.path).exists() and not work.overwrite:
        return made
    try:
        beside = write_modelfile(made.path, work.model, overwrite=True)
    except StudioError as error:
        return replace(made, notes=(*made.notes, f"There is no Modelfile for Ollama: {error}"))
    return replace(made, notes=(*made.notes, *beside.notes))


def _lora_gguf_bytes(subject: Subject) -> int:
    from studio.export.lora_gguf import lora_gguf_bytes

    return lora_gguf_bytes(subject.origin, "f16")


def _write_lora_gguf(work: Work) -> tuple[Written]:
    from studio.export.lora_gguf import write_lora_gguf

    return (write_lora_gguf(work.subject.origin, work.output, "f16", work.subject.settings,
                            **work.how),)


def _why_no_lora_gguf(subject: Subject) -> str:
    from studio.export.lora_gguf import why_no_lora_gguf

    reason = why_no_lora_gguf(subject.origin)
    return f"llama.cpp cannot load the adapter on its own: {reason}." if reason else ""


LORA_GGUF = Door(
    "lora-gguf", "gguf", "GGUF LoRA", "The adapter alone, for llama.cpp over a GGUF of its base.",
    "-lora-f16.gguf", _lora_gguf_bytes, _write_lora_gguf, _why_no_lora_gguf)

GGUF_DOORS = (*map(_gguf_door, _GGUF_PURPOSES), LORA_GGUF)
"""In the order of the page: the usual choices first."""
