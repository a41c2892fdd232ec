"""Bounds of domains: slopes as in alpha-CROWN, and a multiplier for every split.

beta-CROWN (Wang et al., Beta-CROWN: Efficient Bound Propagation with Per-neuron Split Constraints for Neural Network
Robustness Verification, 2021): a split ``x >= l`` of a neuron enters the backward pass as ``b (l - x)`` with ``b >=
0``, which is never positive inside the domain, so that every ``b`` gives a lower bound; by duality its derivative is
``l - x`` at the point where the relaxed network is minimal. ``x <= u`` enters as ``b (u - x)`` with ``b <= 0``: one
number per neuron, whose sign says which bound it leans on. Several constraints of one clause are mixed by weights that
sum to 1: where all of them hold, their mixture does, so that a positive minimum of the mixture excludes the clause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.branching.domains import LOWER, UPPER, Domains
from verifiers.branching.layout import Layout
from verifiers.functions import Coefficients, Functions
from verifiers.linear_bounds import LinearBounds, Toll
from verifiers.memory import Effort
from verifiers.region import Region
from verifiers.relaxations.maximum import MaximumRelaxation
from verifiers.roundoff import rows_of
from verifiers.slope_search import MEMORY, Choice, SlopeSearch

MIXING = 2.0
"""How far a step moves the weights of constraints, in the exponent, as a multiple of its rate."""


@dataclass(eq=False)
class Multiplier:
    """The multipliers of one node's splits, ``[n, k]`` for its ``places [k]``."""

    places: Tensor
    value: Tensor
    least: Tensor
    most: Tensor
    lower: Tensor
    upper: Tensor
    scale: Tensor | None = None
    momentum: Tensor | None = None
    kept: Tensor | None = None

    def through(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients ``[n, 1, elements]`` less the multipliers, and the constant ``[n, 1]``."""
        if self.scale is None:
            size = coefficients[:, 0, self.places].abs()
            self.scale = size + coefficients[:, 0].abs().mean(1, keepdim=True)
        constant = torch.where(self.value > 0, self.value * self.lower, 0.0)
        constant = torch.where(self.value < 0, self.value * self.upper, constant)
        changed = coefficients.index_add(2, self.places, -self.value[:, None])
        return changed, constant.sum(1, keepdim=True)

    @property
    def size(self) -> Tensor:
        """The magnitudes that the constant adds up: ``[n, 1]``."""
        ends = torch.where(self.value > 0, self.lower, torch.where(self.value < 0, self.upper, 0.0))
        return (self.value * ends).abs().sum(1, keepdim=True)

    def climb(self, values: Tensor, rate: float) -> None:
        """One step up the gradient; ``values [n, 1, elements]`` of the node."""
        x = values[:, 0, self.places]
        above = torch.where(self.value < 0, self.upper - x, (self.upper - x).clamp_max(0))
        gradient = torch.where(self.value > 0, self.lower - x, torch.where(x < self.lower, self.lower - x, above))
        self.momentum = gradient if self.momentum is None else MEMORY * self.momentum + (1 - MEMORY) * gradient
        size = rate if self.scale is None else rate * self.scale
        self.value = torch.minimum(torch.maximum(self.value + self.momentum.sign() * size, self.least), self.most)


@dataclass(eq=False)
class SplitSearch(SlopeSearch):
    """The search over one batch of domains, one function each.

    Attributes:
        node: what is asked about.
        whole: the input sets that the domains are parts of: one for all, or one for each.
        questions: the constraints of each domain's clause, ``[n, m, elements of the node]``.
        offsets: of them, ``[n, m]``.
        weights: what mixes them, ``[n, m]``.
        multipliers: by node.
        starts: nonlinear node -> places ``[k]``, and the parameters ``[n, k]`` to begin with there.
        origin: int64 ``[n]``, which of all input sets each domain is a part of.
        watch: nodes whose values at the minimal point are kept in ``values [n, elements]``.
    """

    node: int = field(kw_only=True)
    whole: Region = field(kw_only=True)
    questions: Tensor = field(kw_only=True)
    offsets: Tensor = field(kw_only=True)
    weights: Tensor = field(kw_only=True)
    multipliers: Mapping[int, Multiplier] = field(kw_only=True)
    starts: Mapping[int, tuple[Tensor, Tensor]] = field(kw_only=True)
    origin: Tensor = field(kw_only=True)
    outputs: Tensor | None = None
    values: dict[int, Tensor] = field(default_factory=dict)
    watch: frozenset[int] = frozenset()
    _mixed: tuple[Tensor, Functions] | None = None

    @classmethod
    def over(
        cls,
        layout: Layout,
        domains: Domains,
        samples: Tensor,
        questions: Tensor,
        offsets: Tensor,
        effort: Effort,
        *,
        single: bool,
    ) -> SplitSearch:
        """A search that goes on where the domains' own slopes and multipliers are.

        Args:
            layout: of the domains.
            domains: ``n`` of them.
            samples: int64 ``[n]``, which input set each is a part of.
            questions: float64 ``[n, m, elements]``.
            offsets: float64 ``[n, m]``.
            effort: limits.
            single: in float32; else float64.
        """
        dtype = torch.float32 if single else torch.float64
        whole, count = layout.root.region.to(dtype), len(domains)
        if len(whole) > 1:
            whole = whole.take(samples)
        region = Region(rows_of(whole.lower, samples), rows_of(whole.upper, samples)) if len(whole) == 1 else whole
        bounds = layout.bounds(domains.lower, domains.upper, samples, dtype)
        roundoff = None if single else layout.roundoff.take(samples)
        linear = LinearBounds(layout.network.to(dtype), region, bounds, layout.root.rules, roundoff=roundoff)
        multipliers = {}
        for index, columns in layout.columns.items():
            sides = domains.sides[:, columns]
            if not bool(sides.any()):
                continue
            limit = torch.full((), torch.inf, dtype=dtype, device=sides.device)
            least = torch.where((sides & UPPER) > 0, -limit, 0.0)
            most = torch.where((sides & LOWER) > 0, limit, 0.0)
            lower, upper = (end[:, layout.places[index]] for end in bounds[index].flat(count))
            value = torch.minimum(torch.maximum(domains.multipliers[:, columns].to(dtype), least), most)
            multipliers[index] = Multiplier(layout.places[index], value, least, most, lower, upper)
        starts = {index: (places, domains.slopes[:, columns]) for index, (places, columns) in layout.slopes.items()}
        return cls(
            linear,
            effort=effort,
            apart=not single,
            node=layout.node,
            whole=whole,
            questions=questions.to(dtype),
            offsets=offsets.to(dtype),
            weights=domains.weights.to(dtype),
            multipliers=multipliers,
            starts=starts,
            origin=samples,
        )

    def bound(self) -> Tensor:
        """One pass: bounds ``[n]``; minus infinity where they are no numbers. In float64 less what the pass rounds."""
        return _finite(self._descend(self.functions)[:, 0])

    def rounded(self) -> tuple[Tensor, Tensor]:
        """One pass in float64: bounds ``[n]`` less all that is charged, and less what is charged for real numbers."""
        self._descend(self.functions)
        runs, reals, _ = (part[:, 0] for part in self._last)
        return _finite(runs - self.mixing), _finite(reals - self.mixing)

    def climb(self, rate: float) -> None:
        """One step of all parameters from where the last pass was minimal; fills ``values`` and ``outputs``."""
        self._climb(self.functions, rate)
        if self.questions.shape[1] > 1 and self.outputs is not None and rate > 0:
            reached = torch.bmm(self.questions, self.outputs[:, :, None])[:, :, 0] - self.offsets
            size = reached.abs().amax(1, keepdim=True).clamp_min(1e-30)
            moved = self.weights * torch.exp(MIXING * rate * reached / size)
            self.weights = moved / moved.sum(1, keepdim=True)

    @property
    def mixing(self) -> Tensor:
        """What rounding may have taken from the mixture of the constraints itself, ``[n]``; nothing in float32."""
        if self.linear.roundoff is None:
            return torch.zeros_like(self.weights[:, 0])
        size = torch.bmm(self.questions.abs(), self.linear.largest(self.node)[:, :, None])[:, :, 0] + self.offsets.abs()
        return self.linear.roundoff.gamma(self.weights.shape[1] + 4) * (self.weights * size).sum(1)

    @property
    def functions(self) -> Functions:
        """The mixture of each domain's constraints."""
        if self._mixed is None or self._mixed[0] is not self.weights:
            self._mixed = (self.weights, self._mixture())
        return self._mixed[1]

    def _mixture(self) -> Functions:
        mixed = torch.bmm(self.weights[:, None], self.questions)
        constant = -(self.weights * self.offsets).sum(1, keepdim=True)
        return Functions({self.node: Coefficients(mixed)}, constant)

    @property
    def choices(self) -> Mapping[int, Choice | MaximumRelaxation]:
        """The lines in use, by node, after a pass."""
        return self._choices

    @property
    def points(self) -> Tensor:
        """Inputs ``[n, inputs]`` where the last pass is minimal."""
        return self._point()[:, 0]

    def _enter(self, node: Node, coefficients: Coefficients, toll: Toll) -> tuple[Coefficients, Tensor | None]:
        multiplier = self.multipliers.get(node.index)
        if multiplier is None:
            return coefficients, None
        values, constant = multiplier.through(coefficients.dense())
        changed = Coefficients(values)
        toll.sum(changed, node.index)
        if toll.gamma is not None:
            toll.owe(toll.gamma(len(multiplier.places) + 4) * multiplier.size)
        return changed, constant

    def _leave(self, node: Node, values: Tensor, rate: float) -> None:
        multiplier = self.multipliers.get(node.index)
        if multiplier is not None and rate > 0:
            multiplier.climb(values, rate)
        if node.index in self.watch:
            self.values[node.index] = values[:, 0]
        if node.index == self.node:
            self.outputs = values[:, 0]

    def _start(self, node: Node, coefficients: Tensor) -> Choice | MaximumRelaxation:
        choice = super()._start(node, coefficients)
        if not isinstance(choice, Choice):
            return choice
        places, warm = self.starts[node.index]
        parameter = choice.parameter.clone()
        warm = warm.to(parameter)[:, None]
        parameter[:, :, places] = torch.where(torch.isnan(warm), parameter[:, :, places], warm)
        choice.parameter = torch.clamp(parameter, choice.low, choice.high)
        return choice

    def _least(self, coefficients: Tensor, toll: Toll) -> Tensor:
        value, loss = self.whole.valued(self._by_set(coefficients), toll.gamma)
        toll.owe(None if loss is None else loss.reshape(-1, 1))
        return value.reshape(-1, 1)

    def _point(self) -> Tensor:
        return self.whole.minimiser(self._by_set(self._input)).reshape(len(self._input), 1, -1)

    def _by_set(self, coefficients: Tensor) -> Tensor:
        """Functions of the input ``[sets, functions of each, inputs]``."""
        return coefficients.reshape(1, len(coefficients), -1) if len(self.whole) == 1 else coefficients


def _finite(found: Tensor) -> Tensor:
    return torch.where(torch.isfinite(found), found, -torch.inf)
