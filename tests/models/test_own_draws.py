"""Start values that nobody keeps are drawn beside torch's own random numbers."""

from __future__ import annotations

import threading

import torch
from torch import nn

from studio.models.own_draws import own_draws


def test_what_is_drawn_inside_moves_no_generator_of_torch() -> None:
    before = torch.get_rng_state()
    with own_draws():
        layer = nn.Linear(4, 4)
        nn.init.normal_(layer.weight)
        nn.init.orthogonal_(layer.weight)
        nn.init.xavier_uniform_(layer.weight)
        nn.Embedding(4, 4)
        torch.randn(3)
        torch.rand(2, device="meta")
        assert float(layer.weight.detach().std()) > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_another_thread_draws_as_ever() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = []
    with own_draws():
        thread = threading.Thread(target=lambda: found.append(torch.rand(3)))
        thread.start()
        thread.join()
    assert torch.equal(found[0], expected)
