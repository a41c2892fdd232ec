"""Two inputs of one network compared: individual fairness, monotonicity, local stability.

The product network maps a joint input ``[n, e + k]`` (a flat input ``x`` and ``k`` further numbers that make the second
input ``x'`` of it) to ``[f(x), f(x')]``. Each builder gives that module and the property over the joint box; trace the
one, verify the other. Comparisons are closed, so each has a margin above 0: at 0 equal answers would count as unsafe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties.families import reaches
from robust.properties.input_sets import Box
from robust.properties.parametrised import dtype_of
from robust.properties.property import Property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet


class Paired(nn.Module):
    """``[x, extra] -> [f(x), f(second(x, extra))]``, ``[n, 2 * outputs]``.

    Args:
        network: ``[n, *shape]`` to outputs.
        shape: of one input.
        second: joint input ``[n, e + k]`` to the flat second input ``[n, e]``.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int], second: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.second = second
        self.shape = tuple(shape)

    def first(self, joint: Tensor) -> Tensor:
        """The flat first input ``[n, e]``."""
        return joint[:, : math.prod(self.shape)]

    def inputs(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        """Both inputs ``[n, *shape]`` of joint inputs: what a witness shows."""
        first, second = self.first(joint), self.second(joint)
        return first.reshape(len(joint), *self.shape), second.reshape(len(joint), *self.shape)

    def forward(self, joint: Tensor) -> Tensor:
        """Both outputs, the first input's first."""
        first, second = self.inputs(joint)
        return torch.cat([self.network(first).flatten(1), self.network(second).flatten(1)], 1)


class Replaced(nn.Module):
    """The second input has some coordinates replaced by the ``k`` further numbers."""

    def __init__(self, elements: int, places: Sequence[int]) -> None:
        super().__init__()
        order = torch.arange(elements)
        order[list(places)] = torch.arange(elements, elements + len(places))
        self.register_buffer("order", order)

    def forward(self, joint: Tensor) -> Tensor:
        """``[n, e + k] -> [n, e]``."""
        return joint.index_select(1, self.get_buffer("order"))


class Shifted(nn.Module):
    """The second input is ``x + placement @ extra``, clamped where a clip is given.

    Args:
        placement: ``[e, k]``, or None for the identity.
        elements: ``e``.
        clip: the box that the second input is clamped to, or None.
        dtype: arithmetic of the network.
    """

    def __init__(self, placement: Tensor | None, elements: int, clip: Box | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.elements = elements
        if placement is not None:
            self.register_buffer("placement", placement.to(dtype))
        if clip is not None:
            self.register_buffer("lower", clip.lower.flatten().to(dtype))
            self.register_buffer("upper", clip.upper.flatten().to(dtype))

    def forward(self, joint: Tensor) -> Tensor:
        """``[n, e + k] -> [n, e]``."""
        extra = joint[:, self.elements :]
        if "placement" in self._buffers:
            extra = nn.functional.linear(extra, self.get_buffer("placement"))
        moved = joint[:, : self.elements] + extra
        return (
            torch.clamp(moved, self.get_buffer("lower"), self.get_buffer("upper"))
            if "lower" in self._buffers
            else moved
        )


def unchanged_decision(
    network: nn.Module,
    inputs: Box,
    sensitive: Sequence[int],
    outputs: int,
    *,
    replacement: Box | None = None,
    margin: float = 1e-4,
    threshold: float = 0.0,
) -> tuple[Paired, Property]:
    """Individual fairness: changing only the sensitive coordinates never changes the decision.

    With two or more outputs the decision is the largest one, and unsafe is: class ``i`` by at least ``margin`` over all
    others at ``x``, another class by at least ``margin`` at ``x'``. With one output the decision is
    ``output >= threshold``, and unsafe is: one side by ``margin`` at ``x``, the other side at ``x'``.

    Args:
        network: ``[n, *shape]`` to outputs.
        inputs: where ``x`` lies.
        sensitive: flat places of the coordinates that may change; a one-hot group is all of its columns.
        outputs: of the network.
        replacement: ``[k]``, where their second values lie; where their first ones do, by default.
        margin: above 0, in units of outputs.
        threshold: of a single output.

    Raises:
        PropertyError: impossible places, replacement, margin, or number of outputs.
    """
    elements = inputs.lower.numel()
    places = _places(sensitive, elements)
    flat = [end.flatten()[list(places)] for end in (inputs.lower, inputs.upper)]
    second = Box(*flat) if replacement is None else replacement
    if second.shape != (len(places),):
        raise PropertyError("a replacement does not fit its coordinates", wanted=(len(places),), got=second.shape)
    _positive(margin, "margin")
    if outputs < 1 or not math.isfinite(threshold):
        raise PropertyError("an impossible decision", wanted=">= 1 outputs, finite threshold", got=(outputs, threshold))
    clauses = _flips(outputs, margin) if outputs > 1 else _crossings(threshold, margin)
    name = f"changing only coordinates {list(places)} never changes the decision"
    question = Property(_joint(inputs, second), UnsafeSet(tuple(clauses)), name)
    return _paired(network, inputs, Replaced(elements, places)), question


def monotone(
    network: nn.Module,
    inputs: Box,
    coordinate: int,
    step: float,
    output: int,
    outputs: int,
    *,
    falling: bool = False,
    margin: float = 1e-4,
) -> tuple[Paired, Property]:
    """Raising a coordinate by any ``d`` in ``[0, step]`` never lowers an output by ``margin`` or more.

    Args:
        network: ``[n, *shape]`` to outputs.
        inputs: where ``x`` lies; ``x + d`` may leave it.
        coordinate: flat place of what is raised.
        step: the largest raise, in input units.
        output: which output.
        outputs: how many there are.
        falling: ask instead that raising never raises the output.
        margin: above 0, in units of outputs.

    Raises:
        PropertyError: no such coordinate or output, an impossible step or margin.
    """
    elements = inputs.lower.numel()
    _places([coordinate], elements)
    _positive(step, "step")
    _positive(margin, "margin")
    _check_output(output, outputs)
    placement = torch.zeros(elements, 1)
    placement[coordinate] = 1.0
    row = _difference(output, outputs) * (-1.0 if falling else 1.0)
    unsafe = UnsafeSet((Halfspaces(row, torch.tensor([-margin], dtype=torch.float64)),))
    word = "raises" if falling else "lowers"
    extra = Box(torch.zeros(1), torch.tensor([step], dtype=torch.float64))
    question = Property(_joint(inputs, extra), unsafe, f"raising coordinate {coordinate} never {word} output {output}")
    return _paired(network, inputs, Shifted(placement, elements, None, dtype_of(network))), question


def locally_stable(
    network: nn.Module,
    inputs: Box,
    radius: float,
    delta: float,
    outputs: int,
    *,
    clip: Box | None = None,
) -> tuple[Paired, Property]:
    """``|f_j(x) - f_j(x')| < delta`` for every output, every ``x`` of the box and ``||x - x'||_inf <= radius``.

    A bound ``delta / radius`` on steepness, at that distance.

    Args:
        network: ``[n, *shape]`` to outputs.
        inputs: where ``x`` lies.
        radius: above 0, in input units.
        delta: above 0, in units of outputs; reaching it is unsafe.
        outputs: of the network.
        clip: the box that ``x'`` is clamped to; by default it may leave ``inputs``.

    Raises:
        PropertyError: an impossible radius or delta, a clip of another shape, no outputs.
    """
    _positive(radius, "radius")
    _positive(delta, "difference")
    _check_output(0, outputs)
    if clip is not None and clip.shape != inputs.shape:
        raise PropertyError("a clip has another shape than the inputs", wanted=inputs.shape, got=clip.shape)
    elements = inputs.lower.numel()
    offset = torch.tensor([-delta], dtype=torch.float64)
    clauses = [
        Halfspaces(sign * _difference(output, outputs), offset) for output in range(outputs) for sign in (1.0, -1.0)
    ]
    reach = torch.full((elements,), radius, dtype=torch.float64)
    question = Property(
        _joint(inputs, Box(-reach, reach)),
        UnsafeSet(tuple(clauses)),
        f"a change by at most {radius:g} changes no output by {delta:g}",
    )
    return _paired(network, inputs, Shifted(None, elements, clip, dtype_of(network))), question


def _flips(classes: int, margin: float) -> list[Halfspaces]:
    """Class ``i`` at the first input and ``j`` at the second, for all pairs; the last row is implied by two others.

    It is their sum, in which what both inputs share cancels: engines that refute one row at a time need it.
    """
    clauses = []
    for i in range(classes):
        for j in range(classes):
            if i == j:
                continue
            first = [reaches(i, other, classes) for other in range(classes) if other != i]
            second = [reaches(j, other, classes) for other in range(classes) if other != j]
            nothing = torch.zeros(classes)
            rows = [torch.cat([row, nothing]) for row in first] + [torch.cat([nothing, row]) for row in second]
            rows.append(torch.cat([reaches(i, j, classes), reaches(j, i, classes)]))
            offsets = [-margin] * (len(rows) - 1) + [-2 * margin]
            clauses.append(Halfspaces(torch.stack(rows).double(), torch.tensor(offsets, dtype=torch.float64)))
    return clauses


def _crossings(threshold: float, margin: float) -> list[Halfspaces]:
    """Above the threshold at one input, below it at the other, and the sum of both rows."""
    rows = torch.tensor([[-1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    offsets = torch.tensor([-threshold - margin, threshold - margin, -2 * margin], dtype=torch.float64)
    return [Halfspaces(rows, offsets), Halfspaces(rows.flip(1), offsets)]


def _difference(output: int, outputs: int) -> Tensor:
    """The row ``[1, 2 * outputs]`` of ``f_output(x') - f_output(x)``."""
    row = torch.zeros(1, 2 * outputs, dtype=torch.float64)
    row[0, output], row[0, outputs + output] = -1.0, 1.0
    return row


def _joint(inputs: Box, extra: Box) -> Box:
    return Box(
        torch.cat([inputs.lower.flatten().double(), extra.lower.double()]),
        torch.cat([inputs.upper.flatten().double(), extra.upper.double()]),
    )


def _paired(network: nn.Module, inputs: Box, second: nn.Module) -> Paired:
    pair = Paired(network, inputs.shape, second)
    pair.train(network.training)
    return pair


def _places(places: Sequence[int], elements: int) -> tuple[int, ...]:
    if not places or len(set(places)) != len(places) or not all(0 <= place < elements for place in places):
        raise PropertyError(
            "impossible coordinates", wanted=f"different ones from 0 to {elements - 1}, at least one", got=list(places)
        )
    return tuple(places)


def _positive(value: float, what: str) -> None:
    if not 0 < value < math.inf:
        raise PropertyError(f"an impossible {what} of a comparison", wanted="a finite number above 0", got=value)


def _check_output(output: int, outputs: int) -> None:
    if not 0 <= output < outputs:
        raise PropertyError("there is no such output", wanted=f"0 <= output < {outputs}", got=output)
