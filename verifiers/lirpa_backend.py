"""auto_LiRPA behind the protocol of a verifier, where it is importable: a second opinion of other code.

    Xu et al., Automatic perturbation analysis for scalable certified robustness and beyond, NeurIPS 2020.

It is given chains of linear layers, convolutions and ReLU, rebuilt from the traced graph, in float64. Its bound counts
only when it exceeds what rounding may be worth (as in ``verifiers.certify``) and no tried input of the set contradicts
it; whatever it stops at is UNKNOWN.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InstallationError
from robust.graph import Graph, Node
from verifiers.certify import Confirmed
from verifiers.memory import Effort
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region
from verifiers.rounding import MARGIN, execution_noise
from verifiers.verifier import BoundVerifier

NAMES = {"interval": "IBP", "crown-ibp": "CROWN-IBP", "crown": "CROWN"}
"""Our names of the methods that are asked for, and theirs."""
TRIED = 32
"""Random inputs of each set at which a bound must hold."""


class LirpaVerifier(BoundVerifier):
    """Bounds of auto_LiRPA: VERIFIED or UNKNOWN, never FALSIFIED.

    A set that is not a box is enclosed in one.

    Args:
        method: ``interval``, ``crown-ibp`` or ``crown``.

    Raises:
        InstallationError: auto_LiRPA cannot be imported.
        ValueError: another method.
    """

    def __init__(self, *, method: str = "crown") -> None:
        if method not in NAMES:
            raise ValueError(f"unknown method {method!r}: wanted one of {', '.join(NAMES)}")
        super().__init__(method=method)
        self._library = _library()

    def __repr__(self) -> str:
        return f"LirpaVerifier(method={self.method!r})"

    @property
    def name(self) -> str:
        """For example ``auto_LiRPA 0.7.1 CROWN``."""
        return f"auto_LiRPA {getattr(self._library, '__version__', 'of unknown version')} {NAMES[self.method]}"

    def _lower(self, network: Network, region: Region, matrices: Tensor, offsets: Tensor) -> Confirmed:
        double = network.to(torch.float64)
        region, matrices, offsets = region.to(torch.float64), matrices.double(), offsets.double()
        bounds = self._bounds(double.graph, region, matrices)
        linear = propagate(double, region, METHODS["interval"], Effort())
        rounding = execution_noise(linear, double.graph.output, matrices)
        outputs, magnitude = _tried(double.graph, region)
        noise = rounding + MARGIN * (matrices.abs() @ magnitude[:, :, None])[:, :, 0] + MARGIN * offsets.abs()
        seen = (matrices @ outputs).amin(2)
        bounds = torch.where(bounds <= seen + noise, bounds, -torch.inf)  # contradicted: worth nothing
        found = torch.nan_to_num(bounds - offsets - noise, nan=-torch.inf, posinf=-torch.inf)
        return Confirmed(found, torch.full_like(found, -torch.inf), found)

    def _bounds(self, graph: Graph, region: Region, matrices: Tensor) -> Tensor:
        """Float64 lower bounds ``[n, m]``; minus infinity where the library does not get there."""
        module = as_sequential(graph)
        nothing = torch.full(matrices.shape[:2], -torch.inf, dtype=torch.float64)
        if module is None:
            return nothing
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                bounded = self._library.BoundedModule(module, region.lower[:1].clone(), device="cpu")
                ball = self._library.PerturbationLpNorm(norm=float("inf"), x_L=region.lower, x_U=region.upper)
                point = self._library.BoundedTensor((region.lower + region.upper) / 2, ball)
                found = bounded.compute_bounds(x=(point,), C=matrices, method=NAMES[self.method])[0]
        except Exception:  # its own errors are of every kind, and a verifier does not raise at what is hard
            return nothing
        return found.detach().double() if found.shape == nothing.shape else nothing


def as_sequential(graph: Graph) -> nn.Sequential | None:
    """A chain of linear layers, plain convolutions and ReLU as ``nn.Sequential``, in the graph's arithmetic.

    Returns:
        None where the network is anything else.
    """
    layers: list[nn.Module] = []
    for place, node in enumerate(graph.nodes):
        layer = _layer(node) if node.inputs == ((place - 1,) if place else ()) else None
        if layer is None:
            return None
        layers.append(layer)
    return nn.Sequential(*layers[1:]).eval().requires_grad_(False)


def _layer(node: Node) -> nn.Module | None:
    if node.op == "input":
        return nn.Identity()
    if node.op == "relu":
        return nn.ReLU()
    if node.op == "reshape" and len(node.rest) == 1 and node.factor == 1:
        return nn.Flatten()
    weight, bias = node.arguments.get("weight"), node.arguments.get("bias")
    if not isinstance(weight, Tensor) or not (bias is None or isinstance(bias, Tensor)):
        return None
    if node.op == "linear" and len(node.rest) == 1:
        bias = weight.new_zeros(len(weight)) if bias is None else bias  # without one, version 0.3 stops at intervals
        return _filled(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias)
    if node.op == "convolution" and weight.dim() == 4 and not node.arguments["transposed"]:
        groups, kernel = int(node.arguments["groups"]), (weight.shape[2], weight.shape[3])
        stride, padding, dilation = (tuple(node.arguments[key]) for key in ("stride", "padding", "dilation"))
        ends = (weight.shape[1] * groups, weight.shape[0])
        layer = nn.Conv2d(*ends, kernel, stride, padding, dilation, groups, bias is not None)
        return _filled(layer, weight, bias)
    return None


def _filled(layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Module:
    layer.weight = nn.Parameter(weight.detach().clone())
    layer.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return layer


def _tried(graph: Graph, region: Region) -> tuple[Tensor, Tensor]:
    """Outputs ``[n, outputs, tried]`` at inputs of each set, and the largest magnitude ``[n, outputs]`` of them."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(len(region), TRIED, *region.lower.shape[1:], generator=generator, dtype=torch.float64)
    points = region.lower[:, None] + shares * (region.upper - region.lower)[:, None]
    with torch.no_grad():
        outputs = graph.forward(points.flatten(0, 1)).reshape(len(region), TRIED, -1)
    return outputs.mT, outputs.abs().amax(1)


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("auto_LiRPA")
    except (ImportError, AttributeError) as error:  # an old release stops at names that numpy or torch dropped
        raise InstallationError(
            "auto_LiRPA cannot be imported",
            wanted="auto_LiRPA 0.6 or later",
            got=f"{type(error).__name__}: {error}",
            hint="install it from its repository; no release of these versions is on the package index",
        ) from error
