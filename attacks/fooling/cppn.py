"""Pictures from small networks of the place: compositional pattern-producing networks, many in one batch.

Stanley, Compositional Pattern Producing Networks, 2007; as the encoding of fooling images Nguyen, Yosinski and Clune
2015, section 2.2. A genome is a network without cycles from the coordinates of a pixel to its channels; its nodes apply
a sine, a sigmoid, a Gaussian or nothing. Here all genomes have the same number of places for nodes, in an order in
which connections only lead onwards, so that a batch of them is one tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

COORDINATES = 4
"""Across, down, distance from the middle, and one."""
SINE, SIGMOID, GAUSSIAN, LINEAR = range(4)
FUNCTIONS = 4
LARGEST = 3.0
"""Weights lie between minus and plus this."""


@dataclass(frozen=True)
class Canvas:
    """How an input is laid out.

    Attributes:
        channels, height, width: of the picture; anything that is none is a row of pixels.
        last: channels come last.
        flat: it is ``[height, width]``, or no picture.
        shape: of the input.
    """

    channels: int
    height: int
    width: int
    last: bool
    shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Canvas:
        """The layout of inputs of a shape."""
        if len(shape) == 2:
            return cls(1, *shape, False, shape)
        if len(shape) == 3 and shape[2] < min(shape[:2]):
            return cls(shape[2], shape[0], shape[1], True, shape)
        if len(shape) == 3:
            return cls(*shape, False, shape)
        return cls(1, 1, math.prod(shape), False, shape)

    def coordinates(self, like: Tensor) -> Tensor:
        """``[4, pixels]``; from -1 to 1 along the longer side."""
        longest = max(self.height, self.width) - 1 or 1
        down, across = torch.meshgrid(
            (2 * torch.arange(self.height) - (self.height - 1)) / longest,
            (2 * torch.arange(self.width) - (self.width - 1)) / longest,
            indexing="ij",
        )
        found = torch.stack([across, down, torch.hypot(across, down), torch.ones_like(down)])
        return found.flatten(1).to(like)

    def pictures(self, channels: Tensor) -> Tensor:
        """Channels ``[n, c, pixels]`` as inputs ``[n, *shape]``."""
        if self.last:
            channels = channels.transpose(1, 2)
        return channels.reshape(len(channels), *self.shape)


@dataclass(frozen=True, eq=False)
class Genomes:
    """``n`` networks of ``p`` places for nodes: coordinates first, then hidden ones, then channels.

    Attributes:
        weights: ``[n, p, p]``, from row to column, above the diagonal; 0: no connection.
        functions: int64 ``[n, p]``.
        hidden: how many places are hidden nodes'; one is in use if anything leads to it.
    """

    weights: Tensor
    functions: Tensor
    hidden: int

    @property
    def outputs(self) -> int:
        """Channels."""
        return self.weights.shape[1] - COORDINATES - self.hidden

    def packed(self) -> Tensor:
        """One row for each: ``[n, p * p + p]``."""
        return torch.cat([self.weights.flatten(1), self.functions.to(self.weights)], 1)

    @classmethod
    def unpacked(cls, rows: Tensor, hidden: int) -> Genomes:
        """From ``packed`` rows."""
        places = round((math.sqrt(1 + 4 * rows.shape[1]) - 1) / 2)
        weights = rows[:, : places**2].reshape(-1, places, places).triu(1)
        return cls(weights, rows[:, places**2 :].long(), hidden)

    def draw(self, canvas: Canvas) -> Tensor:
        """Pictures ``[n, *shape]`` with values from 0 to 1."""
        ground = canvas.coordinates(self.weights)
        values = ground.expand(len(self.weights), -1, -1)
        for place in range(COORDINATES, self.weights.shape[1]):
            total = torch.bmm(self.weights[:, :place, place, None].transpose(1, 2), values)[:, 0]
            value = _apply(self.functions[:, place, None], total)
            if place >= COORDINATES + self.hidden:
                signed = (self.functions[:, place, None] == SINE) | (self.functions[:, place, None] == LINEAR)
                value = torch.where(signed, (value + 1) / 2, value).clamp(0, 1)
            values = torch.cat([values, value[:, None]], 1)
        return canvas.pictures(values[:, COORDINATES + self.hidden :])


def _apply(functions: Tensor, x: Tensor) -> Tensor:
    found = torch.where(functions == SINE, torch.sin(math.pi * x), x)
    found = torch.where(functions == SIGMOID, torch.sigmoid(2 * x), found)
    return torch.where(functions == GAUSSIAN, torch.exp(-x.square()), found)


class FixedTopology(nn.Module):
    """One network of the place as a function of its weights: ``[n, k]``, one for each of its connections, to pictures
    ``[n, *shape]`` with values from 0 to 1. So a box of weights is a set of pictures that bounds can speak about.

    Args:
        genomes: of one network.
        canvas: of the pictures.
        lower, upper: ends of the input box that values 0 and 1 stand for.
    """

    def __init__(
        self, genomes: Genomes, canvas: Canvas, lower: Tensor | float = 0.0, upper: Tensor | float = 1.0
    ) -> None:
        super().__init__()
        self.canvas, self.hidden = canvas, genomes.hidden
        self.functions = genomes.functions[0].tolist()
        needed, last = set(range(COORDINATES + genomes.hidden, len(self.functions))), genomes.weights.shape[1]
        found = torch.nonzero(genomes.weights[0]).tolist()
        for place in reversed(range(last)):
            needed |= {start for start, end in found if end == place} if place in needed else set()
        self.connections = [(start, end) for start, end in found if end in needed]
        weights = torch.stack([genomes.weights[0, start, end] for start, end in self.connections])
        self.register_buffer("weights", weights)
        self.register_buffer("ground", canvas.coordinates(genomes.weights))
        self.register_buffer("lower", torch.as_tensor(lower, dtype=torch.float32))
        self.register_buffer("upper", torch.as_tensor(upper, dtype=torch.float32))

    def forward(self, z: Tensor) -> Tensor:
        """Pictures of weights ``[n, k]``."""
        ground = self.get_buffer("ground")
        rows: dict[int, Tensor] = {}
        for place in range(COORDINATES, len(self.functions)):
            total = None
            for number, (start, end) in enumerate(self.connections):
                if end != place:
                    continue
                weight = z[:, number : number + 1]
                part = weight * (ground[start] if start < COORDINATES else rows[start])
                total = part if total is None else total + part
            if total is None:
                if place < COORDINATES + self.hidden:
                    continue
                total = z[:, :1] * torch.zeros_like(ground[0])
            rows[place] = _value(self.functions[place], total)
        outputs = range(COORDINATES + self.hidden, len(self.functions))
        signed = (SINE, LINEAR)
        shown = [(rows[p] + 1) / 2 if self.functions[p] in signed else rows[p] for p in outputs]
        picture = self.canvas.pictures(torch.stack(shown, 1).clamp(0, 1))
        lower, upper = self.get_buffer("lower"), self.get_buffer("upper")
        return lower + picture * (upper - lower)


def _value(function: int, x: Tensor) -> Tensor:
    if function == SINE:
        return torch.sin(math.pi * x)
    if function == SIGMOID:
        return torch.sigmoid(2 * x)
    return torch.exp(-(x * x)) if function == GAUSSIAN else x


def random_genomes(size: int, channels: int, hidden: int, generator: torch.Generator, device: torch.device) -> Genomes:
    """Networks without hidden nodes: every coordinate leads to every channel, by a random weight."""
    places = COORDINATES + hidden + channels
    weights = torch.zeros(size, places, places)
    drawn = torch.rand(size, COORDINATES, channels, generator=generator)
    weights[:, :COORDINATES, COORDINATES + hidden :] = LARGEST * (2 * drawn - 1)
    functions = torch.randint(FUNCTIONS, (size, places), generator=generator)
    return Genomes(weights.to(device), functions.to(device), hidden)


@dataclass(frozen=True)
class Rates:
    """With which probability a child gets a connection, loses one, gets a node, loses one, and changes a function."""

    connect: float = 0.5
    disconnect: float = 0.3
    grow: float = 0.5
    shrink: float = 0.2
    change: float = 0.1


def restructured(genomes: Genomes, rates: Rates, generator: torch.Generator) -> Genomes:
    """Each network with changes to its structure, each kind at its rate."""
    weights, functions = genomes.weights.clone(), genomes.functions.clone()
    count, places = functions.shape

    def draws(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator).to(weights)

    rows = torch.arange(count, device=weights.device)
    last = COORDINATES + genomes.hidden
    below = torch.ones(places, places, device=weights.device).triu(1).bool()
    below[:, :COORDINATES] = False
    below[last:] = False
    used = torch.ones(count, places, dtype=torch.bool, device=weights.device)
    used[:, COORDINATES:last] = (weights[:, :, COORDINATES:last] != 0).any(1)

    # A node on a connection: the way in has weight one, the way out the connection's.
    chance, edges, slots = draws(1)[:, 0] < rates.grow, draws(places, places), draws(places)
    slot = torch.where(used, -1.0, slots)
    free, at = slot.max(1)
    index = torch.arange(places, device=weights.device)
    spans = (index[:, None] < at[:, None, None]) & (index[None, :] > at[:, None, None])
    edge = torch.where((weights != 0) & spans, edges, -1.0).flatten(1)
    best, flat = edge.max(1)
    start, end = torch.div(flat, places, rounding_mode="floor"), flat % places
    some = torch.nonzero(chance & (free >= 0) & (best >= 0))[:, 0]
    old = weights[some, start[some], end[some]]
    weights[some, start[some], at[some]], weights[some, at[some], end[some]] = torch.ones_like(old), old
    weights[some, start[some], end[some]] = 0
    used[some, at[some]] = True

    # A connection more, between nodes in use; one less.
    chance, edges, fresh = draws(1)[:, 0] < rates.connect, draws(places, places), draws(1)[:, 0]
    able = below & used[:, :, None] & used[:, None, :] & (weights == 0)
    best, flat = torch.where(able, edges, -1.0).flatten(1).max(1)
    some = torch.nonzero(chance & (best >= 0))[:, 0]
    weights.flatten(1)[some, flat[some]] = LARGEST * (2 * fresh[some] - 1)
    chance, edges = draws(1)[:, 0] < rates.disconnect, draws(places, places)
    best, flat = torch.where(weights != 0, edges, -1.0).flatten(1).max(1)
    some = torch.nonzero(chance & (best >= 0))[:, 0]
    weights.flatten(1)[some, flat[some]] = 0

    # A node less, with all that leads to it and from it.
    chance, nodes = draws(1)[:, 0] < rates.shrink, draws(places)
    nodes[:, :COORDINATES], nodes[:, last:] = -1.0, -1.0
    best, at = torch.where(used, nodes, -1.0).max(1)
    some = torch.nonzero(chance & (best >= 0))[:, 0]
    weights[some, :, at[some]], weights[some, at[some]] = 0.0, 0.0

    chance, node, function = draws(1)[:, 0] < rates.change, draws(1)[:, 0], draws(1)[:, 0]
    at = COORDINATES + (node * (places - COORDINATES)).long().clamp_max(places - COORDINATES - 1)
    new = (function * FUNCTIONS).long().clamp_max(FUNCTIONS - 1)
    functions[rows[chance], at[chance]] = new[chance]
    return Genomes(weights, functions, genomes.hidden)
