"""Generators: ONNX files and torch modules that make samples from latent codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust.errors import ModelShapeError, UsageError
from robust.graph.onnx_file import read_onnx
from robust.graph.onnx_module import OnnxModule
from robust.subjects.digests import digest_of, parameter_count
from robust.subjects.torch_classifier import check_weights, own_copy
from robust.subjects.torch_files import call_factory, kind_of, load_weights

Prior = Literal["normal", "uniform"]
ConditionForm = Literal["labels", "one-hot"]


class TorchGenerator:
    """A generator from a torch module ``(latents)`` or ``(latents, condition)`` to samples ``[n, *output_shape]``.

    Args:
        module: copied, frozen, in float32.
        latent_shape: shape of one latent code.
        conditions: number of classes it can be asked for; 0 if unconditional.
        condition_form: ``labels`` int64 ``[n]``, or ``one-hot`` float32 ``[n, conditions]``.
        prior: ``normal`` (standard) or ``uniform`` on [-1, 1].
        name, source, format, notes, device: identity, and where to compute.

    Raises:
        ModelShapeError: the module does not take the codes, or does not make one sample per code.
        NonFiniteError: NaN or infinite weights.
    """

    def __init__(
        self,
        module: nn.Module,
        latent_shape: Sequence[int],
        *,
        conditions: int = 0,
        condition_form: ConditionForm = "labels",
        prior: Prior = "normal",
        name: str = "generator",
        source: str = "python object",
        format: str = "python object",
        device: torch.device | str = "cpu",
        notes: Sequence[str] = (),
    ) -> None:
        if prior not in ("normal", "uniform") or condition_form not in ("labels", "one-hot") or conditions < 0:
            raise UsageError(
                "a generator was declared wrongly",
                wanted="prior normal or uniform, condition_form labels or one-hot, conditions >= 0",
                got=f"{prior}, {condition_form}, {conditions}",
            )
        self.name, self.source, self.format, self.prior = name, source, format, prior
        self.device = torch.device(device)
        self.latent_shape = tuple(int(size) for size in latent_shape)
        self.conditions, self.condition_form = conditions, condition_form
        network, more = own_copy(module, name)
        check_weights(network, source if source != "python object" else name)
        self._network = network.to(self.device)
        self.parameters: int | None = parameter_count(network)
        self.output_shape: tuple[int, ...] = self._probe()
        self.notes: tuple[str, ...] = (*notes, *more, _prior_in_words(prior))
        self.digest = digest_of(self._content(), self.latent_shape, conditions, condition_form, prior)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {list(self.latent_shape)} -> {list(self.output_shape)})"

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """``[count, *latent_shape]`` from the prior, drawn on the CPU."""
        shape = (count, *self.latent_shape)
        if self.prior == "normal":
            return torch.randn(shape, generator=generator).to(self.device)
        return (torch.rand(shape, generator=generator) * 2 - 1).to(self.device)

    def decode(self, latents: Tensor, conditions: Tensor | None) -> Tensor:
        """Codes and classes to samples ``[n, *output_shape]``; gradients flow to the codes.

        Raises:
            ModelShapeError: codes of another shape, or conditions where there are none (or the other way round).
        """
        if tuple(latents.shape[1:]) != self.latent_shape:
            raise ModelShapeError(f"{self.source}: latent codes", wanted=self.latent_shape, got=list(latents.shape))
        if (conditions is None) != (self.conditions == 0):
            raise ModelShapeError(
                f"{self.source} is {'unconditional' if self.conditions == 0 else 'conditional'}",
                wanted="no conditions" if self.conditions == 0 else f"classes 0 to {self.conditions - 1}",
                got="none" if conditions is None else list(conditions.shape),
            )
        codes = latents.to(self.device, torch.float32)
        if conditions is None:
            made: Tensor = self._network(codes)
            return made
        asked = conditions.to(self.device, torch.int64)
        if len(asked) and (int(asked.min()) < 0 or int(asked.max()) >= self.conditions):
            raise ModelShapeError(
                f"{self.source} was asked for a class it does not have",
                wanted=f"0 to {self.conditions - 1}",
                got=f"{int(asked.min())} to {int(asked.max())}",
            )
        if self.condition_form == "one-hot":
            asked = F.one_hot(asked, self.conditions).to(torch.float32)
        made = self._network(codes, asked)
        return made

    def module(self) -> nn.Module | None:
        """The network, frozen, in evaluation mode."""
        return self._network

    def _content(self) -> object:
        return self._network

    def _probe(self) -> tuple[int, ...]:
        latents = self.draw_latents(2, torch.Generator().manual_seed(0))
        conditions = torch.zeros(2, dtype=torch.int64) if self.conditions else None
        try:
            with torch.no_grad():
                made = self.decode(latents, conditions)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelShapeError(
                f"{self.source}: the generator does not take such codes",
                wanted=f"codes [n, {', '.join(map(str, self.latent_shape))}]"
                + (f" and {self.condition_form} of {self.conditions} classes" if self.conditions else ""),
                got=f"{type(error).__name__}: {error}",
            ) from error
        if not isinstance(made, Tensor) or made.ndim < 2 or made.shape[0] != 2:
            raise ModelShapeError(
                f"{self.source}: the generator does not make one sample per code",
                wanted="[2, ...]",
                got=list(made.shape) if isinstance(made, Tensor) else type(made).__name__,
            )
        return tuple(made.shape[1:])


class OnnxGenerator(TorchGenerator):
    """A generator from an ONNX file: a latent input, and a condition input if there is a second.

    A whole-number second input ``[N]`` takes class labels (``conditions`` must then be said); a float one ``[N, K]``
    takes one-hot rows.

    Raises:
        ModelFileError, UnsupportedOperatorError, ModelShapeError, NonFiniteError, UsageError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        conditions: int | None = None,
        latent_shape: Sequence[int] | None = None,
        prior: Prior = "normal",
        name: str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        file = read_onnx(path)
        if not 1 <= len(file.inputs) <= 2:
            raise ModelShapeError(
                f"{path}: a generator takes codes and perhaps a condition",
                wanted="one or two inputs",
                got=", ".join(value.name for value in file.inputs),
            )
        self._bytes = file.proto.SerializeToString(deterministic=True)
        form, count, shape = _condition(file.inputs[1:], conditions, str(path))
        shapes = None
        if latent_shape is not None:
            shapes = [tuple(latent_shape), *([shape] if len(file.inputs) == 2 else [])]
        module = OnnxModule(file, input_shapes=shapes)
        stem = file.path.name.removesuffix(".gz").removesuffix(".onnx")
        super().__init__(
            module,
            module.input_shapes[0],
            conditions=count,
            condition_form=form,
            prior=prior,
            name=name or stem,
            source=str(path),
            format="onnx",
            device=device,
        )

    def _content(self) -> object:
        return self._bytes


def load_generator(
    source: str | Path | nn.Module | Callable[..., Any],
    *,
    factory: str | None = None,
    weights: str | Path | None = None,
    latent_shape: Sequence[int] | None = None,
    conditions: int | None = None,
    condition_form: ConditionForm = "labels",
    prior: Prior = "normal",
    name: str | None = None,
    device: torch.device | str = "cpu",
) -> TorchGenerator:
    """Load a trained generator: an ONNX file, a factory (with weights), a file of weights with ``factory``, a module.

    Args:
        source: where it is.
        factory, weights: as ``load_classifier``.
        latent_shape: shape of one code; an ONNX file says it itself.
        conditions: number of classes; an ONNX file with a one-hot input says it itself. 0 or None: unconditional.
        condition_form: how a torch module takes its condition.
        prior: ``normal`` or ``uniform`` on [-1, 1].
        name, device: for people; where to compute.

    Raises:
        SubjectError: one of its kinds. UsageError: something is missing.
    """
    if isinstance(source, str | Path) and _is_file(source) and kind_of(Path(source)) == "onnx":
        return OnnxGenerator(
            source, conditions=conditions, latent_shape=latent_shape, prior=prior, name=name, device=device
        )
    module, label, kind, notes = _module_of(source, factory, weights)
    if latent_shape is None:
        raise UsageError(f"{label}: the shape of a latent code is not known", wanted="latent_shape, for example 16")
    return TorchGenerator(
        module,
        latent_shape,
        conditions=conditions or 0,
        condition_form=condition_form,
        prior=prior,
        name=name or label.rpartition(":")[2],
        source=label,
        format=kind,
        device=device,
        notes=notes,
    )


def _is_file(source: str | Path) -> bool:
    """A word with a colon is a factory, unless there is such a file."""
    return ":" not in str(source) or Path(source).exists()


def _module_of(
    source: str | Path | nn.Module | Callable[..., Any], factory: str | None, weights: str | Path | None
) -> tuple[nn.Module, str, str, Sequence[str]]:
    """A torch module with its weights, where it came from, its format, and notes."""
    module: Any = source
    label, kind, notes = "python object", "python object", tuple[str, ...]()
    if isinstance(source, str | Path):
        if not _is_file(source):
            factory = str(source)
        elif factory is None:
            raise UsageError(
                f"{source} holds weights without a network",
                wanted="also a factory, package.module:function, that builds the network",
                hint="name the factory, or export the generator to ONNX",
            )
        else:
            weights = source
        module, label, kind = call_factory(factory), factory, "torch factory"
        notes = load_weights(module, Path(weights)) if weights is not None and isinstance(module, nn.Module) else ()
    if not isinstance(module, nn.Module):
        raise UsageError("a generator must be a torch module or an ONNX file", wanted="nn.Module", got=type(module))
    return module, label, kind, notes


def _condition(inputs: Sequence[Any], conditions: int | None, where: str) -> tuple[ConditionForm, int, tuple[int, ...]]:
    """Form, number of classes and shape of the condition input, if there is one."""
    if not inputs:
        if conditions:
            raise UsageError(f"{where} takes no condition", wanted="0 conditions", got=conditions)
        return "labels", 0, ()
    info = inputs[0]
    if not info.dtype.startswith("float"):
        if not conditions:
            raise UsageError(
                f"{where} takes class labels, and the file does not say how many classes there are",
                wanted="conditions, for example 10",
            )
        shape = tuple(int(size or 1) for size in (info.shape or (None,))[1:])
        if shape:
            raise ModelShapeError(f"{where}: the condition {info.name!r}", wanted="labels [N]", got=info.shape)
        return "labels", conditions, ()
    width = info.shape[1] if info.shape and len(info.shape) == 2 else None
    if width is None and not conditions:
        raise ModelShapeError(f"{where}: the condition {info.name!r}", wanted="one-hot [N, K]", got=info.shape)
    if width and conditions and width != conditions:
        raise ModelShapeError(f"{where}: the condition {info.name!r}", wanted=f"{width} classes", got=conditions)
    return "one-hot", int(width or conditions or 0), (int(width or conditions or 0),)


def _prior_in_words(prior: str) -> str:
    return "latent codes are standard normal" if prior == "normal" else "latent codes are uniform on [-1, 1]"
