"""Values of nodes as affine forms of the input and of noise symbols, forward: zonotopes.

DeepZ (Singh et al., Fast and Effective Robustness Certification, NeurIPS 2018): every element is ``center + <a, x> +
<g, e>`` with the input ``x`` in its set and symbols ``e`` in [-1, 1]. Affine nodes map forms exactly. A nonlinear node
follows its function along one slope, and what is left of it, a band, becomes a symbol of its own. Elements share
symbols, so what cancels is seen to cancel, which intervals cannot.

Two things are different here. The dependence on the input is one on ``x``, so that balls of all norms are minimised
exactly; of boxes it becomes symbols where the network is no longer affine. And there is a radius per element beside
the symbols, that depends on nothing else (the hybrid zonotopes of Mirman et al., Differentiable Abstract Interpretation
for Provably Robust Neural Networks, ICML 2018): what symbols there is no room for goes there, and without any symbol
the forms are interval bounds.

Rounding is charged to the radius, step by step: whatever numbers a form holds, each of them is off by at most a small
share of the magnitudes that it was added up from, so that all of them together are worth that share of the element's
*size*, ``|center| + <|inputs|, |x|> + |symbols| + radius`` (Higham 2002, section 3.1; ``verifiers.roundoff``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.bands import Band, line_band, maximum_band
from verifiers.functions import inner
from verifiers.linear_part import apply_absolute, apply_linear
from verifiers.network import Network
from verifiers.region import Region
from verifiers.relaxations import Interval, Relaxation
from verifiers.relaxations.maximum import MaximumRelaxation
from verifiers.roundoff import Roundoff

SLIGHT = 1e-4
"""Bands narrower than this share of the widest of their node are not worth a symbol."""


@dataclass(frozen=True, eq=False)
class Form:
    """``center + <inputs, x> + <symbols, e> +- radius``, for every element of a node.

    Attributes:
        center: ``[n, elements]``.
        radius: ``[n, elements]``, at least 0.
        inputs: ``[n or 1, i, elements]``, by each varying input; ``i`` is 0 where they are symbols, or too many.
        symbols: ``[n, s, elements]``, by each of the first ``s`` symbols of the pass.
    """

    center: Tensor
    radius: Tensor
    inputs: Tensor
    symbols: Tensor

    def size(self, reach: Tensor) -> Tensor:
        """What its parts may add up to: ``[n, elements]``; ``reach [n, i]``: the largest magnitudes of the inputs."""
        found: Tensor = self.center.abs() + self.radius + torch.linalg.vector_norm(self.symbols, ord=1, dim=1)
        if self.inputs.shape[1]:
            found = found + torch.bmm(reach[:, None], self.inputs.abs().expand(len(reach), -1, -1))[:, 0]
        return found

    @property
    def terms(self) -> int:
        """How many numbers an element is the sum of."""
        return 2 + self.inputs.shape[1] + self.symbols.shape[1]

    def wider(self, charge: Tensor | None) -> Form:
        """With a larger radius."""
        return self if charge is None else dataclasses.replace(self, radius=self.radius + charge)

    def grown(self, count: int) -> Form:
        """With rows of zeros for later symbols, up to ``count``."""
        missing = count - self.symbols.shape[1]
        if not missing:
            return self
        zeros = self.symbols.new_zeros(len(self.symbols), missing, self.symbols.shape[2])
        return dataclasses.replace(self, symbols=torch.cat([self.symbols, zeros], 1))

    def picked(self, places: Tensor) -> Form:
        """Of the elements at ``places``, int64 ``[k]``."""
        parts = (self.center[:, places], self.radius[:, places], self.inputs[:, :, places], self.symbols[:, :, places])
        return Form(*parts)

    def times(self, slope: Tensor) -> Form:
        """Each element times its factor ``[n, elements]``."""
        spread = slope[:, None]
        return Form(self.center * slope, self.radius * slope.abs(), self.inputs * spread, self.symbols * spread)

    def plus(self, other: Form) -> Form:
        """The sum of two forms with equally many symbols."""
        return Form(
            self.center + other.center,
            self.radius + other.radius,
            self.inputs + other.inputs,
            self.symbols + other.symbols,
        )

    def keeping(self, symbols: Tensor) -> Form:
        """Only some symbols of each sample, int64 ``[n, k]``, in that order; the others join the radius."""
        kept = self.symbols.gather(1, symbols[:, :, None].expand(-1, -1, self.symbols.shape[2]))
        dropped = torch.ones(self.symbols.shape[:2], dtype=self.radius.dtype, device=self.radius.device)
        dropped.scatter_(1, symbols, 0.0)
        lost = (self.symbols.abs() * dropped[:, :, None]).sum(1)
        return dataclasses.replace(self, radius=self.radius + lost, symbols=kept)


@dataclass(frozen=True, eq=False)
class Zonotope:
    """A form and the sets that its inputs come from.

    Attributes:
        region: ``n`` sets, of the inputs that the form depends on.
        form: of one node.
        roundoff: what its own sums may lose; None: that is not asked.
    """

    region: Region
    form: Form
    roundoff: Roundoff | None = None

    def bounds(self) -> Interval:
        """Of each element, ``[n, elements]``; infinite where the form overflowed."""
        form = self.form
        reach = torch.linalg.vector_norm(form.symbols, ord=1, dim=1) + form.radius
        lower, upper = form.center - reach, form.center + reach
        if form.inputs.shape[1]:
            coefficients = form.inputs.transpose(1, 2)
            lower = lower + self.region.minimum(coefficients)
            upper = upper - self.region.minimum(-coefficients)
        if self.roundoff is not None:
            lost = self.roundoff.of_form(form.size(_reach(self.region)), form.terms)
            lower, upper = lower - lost, upper + lost
            if form.inputs.shape[1]:
                lower = lower - _loss(self.region, coefficients, self.roundoff)
                upper = upper + _loss(self.region, -coefficients, self.roundoff)
        return lower.nan_to_num(-torch.inf, torch.inf, -torch.inf), upper.nan_to_num(torch.inf, torch.inf, -torch.inf)

    def minimum(self, coefficients: Tensor, samples: Tensor | None = None) -> Tensor:
        """Lower bounds of linear functions of the node.

        Args:
            coefficients: ``[n or 1, m, elements]``.
            samples: int64 ``[n]``, which sets they are asked of; all of them, in order, by default.

        Returns:
            ``[n, m]``; minus infinity where the form overflowed.
        """
        form, region = self.form, self.region
        if samples is not None:
            shared = len(form.inputs) == 1
            inputs = form.inputs if shared else form.inputs[samples]
            form = Form(form.center[samples], form.radius[samples], inputs, form.symbols[samples])
            region = region.take(samples)
        total = inner(coefficients, form.center) - inner(coefficients.abs(), form.radius)
        total = total - (coefficients @ form.symbols.transpose(1, 2)).abs().sum(2)
        rows = coefficients @ form.inputs.transpose(1, 2)
        if form.inputs.shape[1]:
            total = total + region.minimum(rows)
        if self.roundoff is not None:
            size = inner(coefficients.abs(), form.size(_reach(region)))
            total = total - self.roundoff.of_form(size, form.terms + coefficients.shape[2])
            if form.inputs.shape[1]:
                total = total - _loss(region, rows, self.roundoff)
        return total.nan_to_num(-torch.inf, torch.inf, -torch.inf)


@dataclass(eq=False)
class ForwardPass:
    """Forms of one node after the other, each kept until its last reader has one.

    Attributes:
        network: what is bounded.
        region: ``n`` input sets.
        most: inputs and symbols of a form at most.
        roundoff: charges what rounding is worth to the radii; None: forms are as computed.
    """

    network: Network
    region: Region
    most: int
    roundoff: Roundoff | None = None
    _forms: dict[int, Form] = field(init=False)
    _inputs: Region = field(init=False)
    _room: int = field(init=False)

    def __post_init__(self) -> None:
        """Inputs that do not vary are constants; of balls other than boxes all are taken to vary."""
        lower, upper = self.region.lower.flatten(1), self.region.upper.flatten(1)
        middle, half = _ends(self.region)
        varying = (lower < upper).any(0) | (self.region.center is not None)
        places = torch.nonzero(varying)[:, 0]
        rows = lower.new_zeros(1, 0, lower.shape[1])
        self._inputs = self.region
        if 0 < len(places) <= self.most:
            rows = lower.new_zeros(1, len(places), lower.shape[1])
            rows[0, torch.arange(len(places), device=places.device), places] = 1
            middle, half = middle.masked_fill(varying, 0.0), half.masked_fill(varying, 0.0)
            if self.region.center is None:
                self._inputs = Region(lower[:, places], upper[:, places])
        self._room = self.most - rows.shape[1]
        if self.roundoff is not None:
            half = half * (1 + 4 * torch.finfo(half.dtype).eps)
        self._forms = {0: Form(middle, half, rows, lower.new_zeros(len(lower), 0, lower.shape[1]))}

    def of(self, index: int) -> Zonotope:
        """The form of the node that was added last, or of the output."""
        return Zonotope(self._inputs, self._forms[index], self.roundoff)

    def add(
        self,
        node: Node,
        relaxed: Relaxation | MaximumRelaxation | None,
        operands: Sequence[Interval],
        found: Interval,
    ) -> None:
        """Make the form of a node.

        Args:
            node: the next one of the network.
            relaxed: its lines; None for affine nodes.
            operands: bounds ``[n, elements]`` of what it reads.
            found: interval bounds of its own.
        """
        if relaxed is not None and self.region.center is None:
            self._absorb()
        forms = [self._forms[index] for index in node.inputs]
        count = max(form.symbols.shape[1] for form in forms)
        forms = [form.grown(count) for form in forms]
        self._release(node)
        if relaxed is None:
            self._forms[node.index] = self._affine(node, forms)
        elif isinstance(relaxed, MaximumRelaxation):
            windows = relaxed.windows
            ends = (operands[0][0][:, windows].movedim(2, 0), operands[0][1][:, windows].movedim(2, 0))
            band = maximum_band(relaxed, ends, found)
            self._follow(node, [forms[0].picked(windows[:, k]) for k in range(windows.shape[1])], band)
        else:
            ends = (torch.stack([low for low, _ in operands]), torch.stack([high for _, high in operands]))
            self._follow(node, forms, line_band(relaxed.lower, relaxed.upper, ends, found))

    def _absorb(self) -> None:
        """From the first nonlinear node on, inputs from boxes are the first symbols, each times its half width."""
        middle, half = _ends(self._inputs)
        for index, form in self._forms.items():
            if form.inputs.shape[1]:
                center = form.center + inner(form.inputs.transpose(1, 2), middle)
                lost = self._lost(2 * form.size(middle.abs() + half), form.terms)
                absorbed = Form(center, form.radius, form.inputs[:, :0], form.inputs * half[:, :, None])
                self._forms[index] = absorbed.wider(lost)
        self._room = self.most

    def _release(self, node: Node) -> None:
        """Forget what no later node reads."""
        for source in set(node.inputs) - {self.network.graph.output}:
            if max(reader.index for reader in self.network.readers[source]) == node.index:
                del self._forms[source]

    def _affine(self, node: Node, forms: Sequence[Form]) -> Form:
        batch, graph = len(self.region), self.network.graph
        shapes = [graph.nodes[index] for index in node.inputs]
        centers = [form.center.reshape(source.batched(batch)) for form, source in zip(forms, shapes, strict=True)]
        center = node.apply(centers, batch).reshape(batch, -1)
        radius = apply_absolute(graph, node, [form.radius for form in forms])
        several = max(len(form.inputs) for form in forms)
        inputs = [form.inputs.expand(several, -1, -1) for form in forms]
        symbols = [form.symbols for form in forms]
        found = Form(center, radius, apply_linear(graph, node, inputs), apply_linear(graph, node, symbols))
        if self.roundoff is None:
            return found
        reach = _reach(self._inputs)
        return found.wider(self.roundoff.of_forms(node, [form.size(reach) for form in forms], batch))

    def _follow(self, node: Node, forms: Sequence[Form], band: Band) -> None:
        """Along the slopes of a band, with a symbol for each element whose band is wide."""
        total = forms[0].times(band.slopes[0])
        for form, slope in zip(forms[1:], band.slopes[1:], strict=True):
            total = total.plus(form.times(slope))
        finite = torch.where(torch.isfinite(band.half), band.half, 0.0)
        wide = finite > SLIGHT * finite.amax(1, keepdim=True)
        count = min(int(wide.sum(1).max()), self._room)
        values, places = torch.where(wide, finite, 0.0).topk(count, dim=1)
        radius = total.radius + band.half.scatter_add(1, places, -values)
        if self.roundoff is not None:
            reach = _reach(self._inputs)
            moved = zip(forms, band.slopes, strict=True)
            size = sum((slope.abs() * form.size(reach) for form, slope in moved), band.middle.abs())
            radius = radius + self.roundoff.of_form(size, 2 * len(forms) + 2)
            own = self.roundoff.own(node.index)
            radius = radius if own is None else radius + own
        fresh = torch.zeros(len(radius), count, radius.shape[1], dtype=radius.dtype, device=radius.device)
        fresh.scatter_(2, places[:, :, None], values[:, :, None])
        known = max(form.symbols.shape[1] for form in (total, *self._forms.values()))
        symbols = torch.cat([total.grown(known).symbols, fresh], 1)
        self._forms[node.index] = Form(total.center + band.middle, radius, total.inputs, symbols)
        self._make_room()

    def _make_room(self) -> None:
        """Where there are too many symbols, those that matter least to the forms that are left go, in all of them."""
        count = max(form.symbols.shape[1] for form in self._forms.values())
        if count <= self._room:
            return
        forms = {index: form.grown(count) for index, form in self._forms.items()}
        score = torch.stack([torch.linalg.vector_norm(form.symbols, ord=1, dim=2) for form in forms.values()]).sum(0)
        kept = score.topk(self._room, dim=1).indices
        forms = {index: form.keeping(kept) for index, form in forms.items()}
        self._forms = {index: form.wider(self._lost(form.radius, count)) for index, form in forms.items()}

    def _lost(self, size: Tensor, terms: int) -> Tensor | None:
        return None if self.roundoff is None else self.roundoff.of_form(size, terms)


def _reach(region: Region) -> Tensor:
    """The largest magnitude of each input: ``[n, inputs]``."""
    return torch.maximum(region.lower.abs(), region.upper.abs()).flatten(1)


def _loss(region: Region, coefficients: Tensor, roundoff: Roundoff) -> Tensor | float:
    """What minima over balls may have lost, beyond their inner products."""
    _, loss = region.valued(coefficients, roundoff.gamma)
    return 0.0 if loss is None else loss


def _ends(region: Region) -> Interval:
    """Middle and half width ``[n, elements]`` of the bounding boxes."""
    lower, upper = region.lower.flatten(1), region.upper.flatten(1)
    middle = lower + (upper - lower) / 2
    return middle, torch.maximum(upper - middle, middle - lower)
