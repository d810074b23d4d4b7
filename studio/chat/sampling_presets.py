"""Named settings of sampling for a person who doesn't want to know the numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from studio.chat.sampling import Sampling
from studio.errors import StudioError


@dataclass(frozen=True)
class SamplingPreset:
    """How tokens are chosen. Length, seed, and stop strings stay what the person set."""

    name: str
    line: str
    """What to expect of it, in one sentence."""
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float

    def applied_to(self, sampling: Sampling) -> Sampling:
        """`sampling` with this preset's way of choosing."""
        return replace(sampling, temperature=self.temperature, top_p=self.top_p, top_k=self.top_k,
                       min_p=self.min_p, repetition_penalty=self.repetition_penalty)


PRESETS = (
    SamplingPreset("precise", "Always the likeliest token: the same answer every time, best for "
                   "facts, code, and comparing adapters.",
                   temperature=0, top_p=1, top_k=0, min_p=0, repetition_penalty=1),
    SamplingPreset("balanced", "Varied but sensible, as chats usually are.",
                   temperature=0.7, top_p=0.95, top_k=50, min_p=0, repetition_penalty=1),
    SamplingPreset("creative", "Unlikely words get a chance, and only those that would be "
                   "nonsense are dropped: for stories and ideas.",
                   temperature=1.2, top_p=1, top_k=0, min_p=0.08, repetition_penalty=1.05),
)


def sampling_preset(name: str) -> SamplingPreset:
    """The preset of that name. Raises StudioError naming those there are."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise StudioError(f"There is no sampling preset {name!r}.",
                      f"Choose {', '.join(preset.name for preset in PRESETS)}.")
