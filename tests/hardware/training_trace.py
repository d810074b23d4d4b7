"""The tensors of training steps of a Llama, taken and given back in the order of the real thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from studio.hardware.simulate.allocator import Block, CachingAllocator

HALF, FULL = 2, 4


@dataclass(frozen=True)
class Sizes:
    hidden: int
    intermediate: int
    vocabulary: int
    layers: int


def train(allocator: CachingAllocator, sizes: Sizes, tokens_of_steps: Iterable[int], *,
          whole_logits: bool) -> float:
    """Steps with checkpointing; gives reserved over allocated at the end."""
    for tokens in tokens_of_steps:
        _Step(allocator, sizes, tokens, whole_logits).run()
    return allocator.reserved_bytes / allocator.peak_allocated_bytes


@dataclass
class _Step:
    allocator: CachingAllocator
    sizes: Sizes
    tokens: int
    whole_logits: bool

    def take(self, width: int, item: int = HALF) -> Block:
        return self.allocator.take(self.tokens * width * item)

    def free(self, *blocks: Block) -> None:
        for block in blocks:
            self.allocator.give_back(block)

    def run(self) -> None:
        inputs, stream = [], self.take(self.sizes.hidden)
        for _ in range(self.sizes.layers):
            inputs.append(stream)
            stream, kept = self.layer()
            self.free(*kept)
        gradient = self.loss()
        self.free(stream)
        for layer_input in reversed(inputs):
            output, kept = self.layer()
            below = self.backward(kept)
            self.free(output, gradient, layer_input)
            gradient = below
        self.free(gradient)

    def layer(self) -> tuple[Block, list[Block]]:
        h, i = self.sizes.hidden, self.sizes.intermediate
        kept = [self.take(h, FULL), self.take(h)]
        before_rotation = [self.take(h), self.take(h)]
        kept += [self.take(h), self.take(h), self.take(h)]
        self.free(*before_rotation)
        kept += [self.take(h), self.take(h), self.take(h, FULL), self.take(h)]
        kept += [self.take(i) for _ in range(4)]
        down = self.take(h)
        output = self.take(h)
        self.free(down)
        return output, kept

    def backward(self, kept: list[Block]) -> Block:
        h, i = self.sizes.hidden, self.sizes.intermediate
        product, gate, up = self.take(i), self.take(i), self.take(i)
        self.free(product)
        activated = self.take(i)
        self.free(gate)
        block_input = self.take(h)
        self.free(up, activated)
        attention = [self.take(h) for _ in range(3)]
        below = self.take(h)
        self.free(*kept, *attention, block_input)
        return below

    def loss(self) -> Block:
        h, v = self.sizes.hidden, self.sizes.vocabulary
        norm = [self.take(h, FULL), self.take(h)]
        if self.whole_logits:
            logits, upcast = self.take(v), self.take(v, FULL)
            log_softmax = self.take(v, FULL)
            self.free(upcast)
            chosen, gradient = self.take(v, FULL), self.take(v, FULL)
            self.free(chosen, log_softmax)
            half = self.take(v)
            self.free(gradient, logits)
        else:
            half = self.allocator.take(min(self.tokens, 4096) * 32768 * HALF)
        below = self.take(h)
        self.free(half, *norm)
        return below
