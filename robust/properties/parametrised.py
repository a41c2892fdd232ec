"""Input sets that are the image of a box of parameters under a module, and how an engine gets to see them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties.affine_image import AffineImage
from robust.properties.input_sets import Box
from robust.properties.property import Property

End = float | Tensor
"""One number, or one per input number ``[*shape]``."""


@dataclass(frozen=True, eq=False)
class Parametrised:
    """``{clip(module(z)) : z in box}``: brightness and contrast of an image, latent codes of a generator, ...

    Engines verify the composition of network and module over the box of parameters: see ``composed``. As an input set
    by itself it knows only the box that ``clip`` gives, and no membership.

    Attributes:
        module: differentiable, parameters ``[n, *box.shape]`` to inputs ``[n, *shape]``.
        box: of the parameters.
        clip: lower and upper end that inputs are clamped to afterwards, or None.

    Raises:
        PropertyError: an inverted or NaN clip; a module that cannot run on parameters of the box's shape, or whose
            output is not one input per parameter.
    """

    module: nn.Module
    box: Box
    clip: tuple[End, End] | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and not bool((torch.as_tensor(self.clip[0]) <= torch.as_tensor(self.clip[1])).all()):
            raise PropertyError("a clip is inverted or NaN", wanted="lower <= upper", got=self.clip)
        shape = tuple(self.inputs(self.box.lower[None]).shape)
        if len(shape) < 2 or shape[0] != 1:
            raise PropertyError(
                "a module does not give one input per parameter", wanted="[n, *shape] for n parameters", got=shape
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.inputs(self.box.lower[None]).shape[1:])

    def inputs(self, z: Tensor) -> Tensor:
        """The inputs ``[n, *shape]`` of parameters ``[n, *box.shape]``, in the module's arithmetic, without gradients.

        Raises:
            PropertyError: the module cannot run on them.
        """
        try:
            with torch.no_grad():
                result: Tensor = Composition(self.module, self.clip)(z.to(dtype_of(self.module)))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise PropertyError(
                "a module cannot turn parameters into inputs",
                wanted=f"parameters of shape [n, {', '.join(map(str, self.box.shape))}]",
                got=f"{type(error).__name__}: {error}",
            ) from error
        return result

    def bounding_box(self) -> Box:
        """The box of ``clip``.

        Raises:
            PropertyError: there is no clip: only an engine can bound the module.
        """
        if self.clip is None:
            raise _unknown("bounding box")
        like = torch.zeros(self.shape, dtype=torch.float64)
        return Box(*(torch.as_tensor(end).to(like).expand(self.shape).clone() for end in self.clip))

    def minimum(self, coefficients: Tensor) -> Tensor:
        """That of the bounding box, ``[m, *shape] -> [m]``: a lower bound, far from tight."""
        return self.bounding_box().minimum(coefficients)

    def contains(self, x: Tensor) -> Tensor:
        """Always refused: which parameters would give ``x`` is as hard as the question itself."""
        raise _unknown("membership test")


class Composition(nn.Module):
    """``z -> network(clip(change(z)))``; without a network it stops at the input.

    Args:
        change: parameters to inputs.
        clip: ends that inputs are clamped to, or None.
        network: inputs to outputs, or None.
    """

    def __init__(self, change: nn.Module, clip: tuple[End, End] | None, network: nn.Module | None = None) -> None:
        super().__init__()
        self.change = change
        self.network = nn.Identity() if network is None else network
        self.bounds: tuple[float, float] | None = None
        if clip is not None and any(isinstance(end, Tensor) and end.numel() > 1 for end in clip):
            parameter = next(chain(change.parameters(), change.buffers()), torch.zeros(()))
            for name, end in zip(("lower", "upper"), clip, strict=True):
                self.register_buffer(name, torch.as_tensor(end).to(parameter).clone())
        elif clip is not None:
            self.bounds = (float(clip[0]), float(clip[1]))

    def forward(self, z: Tensor) -> Tensor:
        """``[n, *box.shape]`` to outputs."""
        x: Tensor = self.change(z)
        if self.bounds is not None:
            x = x.clamp(*self.bounds)
        elif "lower" in self._buffers:
            x = torch.clamp(x, self.get_buffer("lower"), self.get_buffer("upper"))
        result: Tensor = self.network(x)
        return result


def composed(question: Property, module: nn.Module) -> tuple[nn.Module, Box]:
    """What an engine verifies in place of a property whose inputs are an image of parameters.

    The property holds for ``module`` exactly when ``Property(box, question.unsafe)`` holds for the returned module.
    A witness is then a point of parameters; ``question.inputs.inputs(z)`` (``.module()(z)`` of an ``AffineImage``) is
    the input to replay. Where dtypes differ, numbers of the change are rounded to the network's.

    Args:
        question: its ``inputs`` are ``Parametrised``, an ``AffineImage``, or a ``Box`` (returned as it is).
        module: the network, ``[n, *shape]`` to outputs.

    Returns:
        A module from parameters to outputs, to be traced, and the box of parameters.

    Raises:
        PropertyError: another kind of input set.
    """
    inputs = question.inputs
    if isinstance(inputs, Box):
        return module, inputs
    if isinstance(inputs, AffineImage):
        inputs = Parametrised(inputs.module(), inputs.box)
    if not isinstance(inputs, Parametrised):
        raise PropertyError(
            "this input set has no parameters to compose a network with",
            wanted="Parametrised or AffineImage",
            got=type(inputs).__name__,
            hint="balls go to an engine as they are; of a union, compose the pieces",
        )
    change, dtype = inputs.module, dtype_of(module)
    if dtype_of(change) != dtype:
        change = copy.deepcopy(change).to(dtype)
    whole = Composition(change, inputs.clip, module)
    whole.train(module.training)
    return whole, inputs.box


def dtype_of(module: nn.Module) -> torch.dtype:
    """The arithmetic of a module: of its first parameter or buffer of real numbers; float32 where it has none."""
    numbers = (part.dtype for part in chain(module.parameters(), module.buffers()) if part.is_floating_point())
    return next(numbers, torch.float32)


def _unknown(what: str) -> PropertyError:
    return PropertyError(
        f"an image of parameters under a module has no {what} of its own",
        wanted="a clip to give a box, or an engine that sees the module",
        hint="verify composed(property, module) over the box of parameters",
    )
