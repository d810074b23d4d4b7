"""Two models' distributions of the next token, compared: agreement, divergence, perplexity.

Pure: numbers in, numbers out. Where a program names only its likeliest tokens, all others count
as one: that can only make the divergence smaller (data processing inequality; Cover & Thomas,
Elements of Information Theory, 2.8), by little where the listed ones hold nearly everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from studio.chat.scoring import kl_divergence
from studio.export.verify.verification import TokenMeasures

if TYPE_CHECKING:
    import torch


_LEAST_REST = 1e-3
"""llama.cpp adds its softmax up in float32, so that all probabilities may be off by a ten
thousandth: a smaller rest says nothing."""


@dataclass(frozen=True)
class Full:
    """Natural logarithms of the probabilities of every token: (positions, vocabulary), float32."""

    log_probabilities: torch.Tensor


@dataclass(frozen=True)
class Listed:
    """The likeliest tokens at each position, likeliest first, and their log-probabilities: both
    (positions, listed)."""

    ids: torch.Tensor
    log_probabilities: torch.Tensor


@dataclass(frozen=True)
class _Found:
    """One value for each position."""

    kl: torch.Tensor
    is_same_top: torch.Tensor
    live: torch.Tensor
    artifact: torch.Tensor


def measured(pairs: Iterable[tuple[torch.Tensor, Full | Listed, list[int]]]) -> TokenMeasures:
    """`pairs` are the live log-probabilities (positions, vocabulary), the artifact's at the same
    positions, and the token that stands at each. There must be at least one position."""
    import torch

    found, is_bound = [], False
    for live, artifact, answer_ids in pairs:
        is_bound |= isinstance(artifact, Listed)
        found.append(_listed(live, artifact, answer_ids) if isinstance(artifact, Listed)
                     else _full(live, artifact.log_probabilities, answer_ids))
    kl = torch.cat([one.kl for one in found])
    return TokenMeasures(
        tokens=len(kl),
        top1_agreement=float(torch.cat([one.is_same_top for one in found]).float().mean()),
        mean_kl=float(kl.mean()), highest_kl=float(kl.max()),
        live_perplexity=_perplexity([one.live for one in found]),
        artifact_perplexity=_perplexity([one.artifact for one in found]),
        kl_is_lower_bound=is_bound,
    )


def _perplexity(parts: list[torch.Tensor]) -> float:
    import torch

    mean = -float(torch.cat(parts).double().mean())
    return math.exp(min(mean, 700.0))  # behind that a float is infinite


def _full(live: torch.Tensor, artifact: torch.Tensor, answer_ids: list[int]) -> _Found:
    import torch

    if live.shape[-1] != artifact.shape[-1]:
        # A vocabulary may be padded to a round size; what only one of them has is left out.
        both = min(live.shape[-1], artifact.shape[-1])
        live, artifact = (torch.log_softmax(one[:, :both], -1) for one in (live, artifact))
    taken = torch.tensor(answer_ids)[:, None]
    return _Found(kl_divergence(live, artifact), live.argmax(-1) == artifact.argmax(-1),
                  live.gather(1, taken)[:, 0], artifact.gather(1, taken)[:, 0])


def _listed(live: torch.Tensor, artifact: Listed, answer_ids: list[int]) -> _Found:
    import torch

    known = artifact.ids.clamp(max=live.shape[-1] - 1)
    log_p = live.gather(1, known).masked_fill(artifact.ids >= live.shape[-1], -math.inf)
    log_q = artifact.log_probabilities
    rests = [_rest(part) for part in (log_p, log_q)]
    among = kl_divergence(torch.log_softmax(log_p, -1), torch.log_softmax(log_q, -1))
    between = kl_divergence(*(torch.stack([rest, 1 - rest], -1).log() for rest in rests))
    taken = torch.tensor(answer_ids)[:, None]
    return _Found((1 - rests[0]) * among + between, live.argmax(-1) == artifact.ids[:, 0],
                  live.gather(1, taken)[:, 0], _likelihood(artifact, taken))


def _rest(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Probability of everything that is not listed: (positions,)."""
    rest = 1 - log_probabilities.double().exp().sum(1)
    return rest.clamp(min=_LEAST_REST, max=1 - _LEAST_REST).float()


def _likelihood(artifact: Listed, taken: torch.Tensor) -> torch.Tensor:
    """Log-probability of the tokens that stand there; one that is not listed is at most as likely
    as the last that is."""
    is_it = artifact.ids == taken
    listed = artifact.log_probabilities.masked_fill(~is_it, 0).sum(1)
    return listed.where(is_it.any(1), artifact.log_probabilities[:, -1])


def agreement(some: list[int], others: list[int]) -> float:
    """Share of tokens that are equal before the first difference, of the longer of both."""
    longest = max(len(some), len(others))
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1],
                                    zip(some, others, strict=False)))
    return same / longest if longest else 1.0
