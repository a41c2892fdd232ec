"""``load_classifier``: one door for every form of a trained classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robust.errors import ModelFileError, UsageError
from robust.subjects.box import BoxLike, Numbers
from robust.subjects.callable_classifier import CallableClassifier
from robust.subjects.generators import load_generator
from robust.subjects.heads import OutputKind
from robust.subjects.onnx_classifier import OnnxClassifier
from robust.subjects.preprocessing import ChannelOrder, Layout
from robust.subjects.protocols import Classifier
from robust.subjects.torch_classifier import TorchClassifier
from robust.subjects.torch_files import call_factory, kind_of, load_program, load_weights

__all__ = ["load_classifier", "load_generator"]

Format = Literal["auto", "onnx", "torchscript", "exported program"]


def load_classifier(
    source: str | Path | nn.Module | Callable[..., Any] | Classifier | None = None,
    *,
    factory: str | None = None,
    weights: str | Path | None = None,
    format: Format = "auto",
    trust: bool = False,
    input_shape: Sequence[int] | None = None,
    input_box: BoxLike = (0.0, 1.0),
    mean: Numbers | None = None,
    std: Numbers | None = None,
    scale: Numbers | None = None,
    channel_order: ChannelOrder = "rgb",
    layout: Layout = "auto",
    output: OutputKind = "auto",
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Load a trained classifier.

    Args:
        source: an ONNX file; a factory ``package.module:function``; a file of weights (with ``factory``); ``.pt2``
            or TorchScript (with ``trust``); a torch module; a function of a batch; or a classifier as it is.
        factory: ``package.module:function`` that returns a torch module.
        weights: safetensors or state dict for what the factory returns.
        format: what the file is, if its ending does not say.
        trust: the user trusts the file; loading it may run code.
        input_shape: shape of one sample in input units; needed unless the ONNX file says it.
        input_box: lower and upper end: numbers, lists per channel or feature, or whole arrays.
        mean, std, scale, channel_order, layout: preprocessing, see ``Preprocessing``.
        output: ``auto``, ``logits``, ``probabilities`` or ``binary``.
        class_names: one per class.
        name: for people.
        device: where to compute.

    Raises:
        SubjectError: one of its kinds. UsageError: arguments that contradict each other.
        UnsupportedOperatorError, ControlFlowError: an ONNX node that cannot be read.
    """
    options = {"class_names": class_names, "mean": mean, "std": std, "scale": scale, "channel_order": channel_order}
    asked = _Asked(input_shape, input_box, name, {**options, "output": output, "device": device})
    if isinstance(source, str | Path) and ":" in str(source) and factory is None and not Path(source).exists():
        source, factory = None, str(source)
    if isinstance(source, str | Path):
        return _from_file(Path(source), format, factory, weights, trust, layout, asked)
    if source is None:
        return _from_factory(factory, weights, asked)
    _unused("a Python object", factory=factory, weights=weights)
    return _from_object(source, "python object", asked)


@dataclass(frozen=True)
class _Asked:
    """What is said of every form of a classifier; ``options`` go to its class as they are."""

    input_shape: Sequence[int] | None
    input_box: BoxLike
    name: str | None
    options: dict[str, Any]

    def shape(self, what: str) -> Sequence[int]:
        """The shape of one sample, where the model does not say it."""
        if self.input_shape is None:
            raise UsageError(
                f"{what}: the shape of one sample is not known",
                wanted="input_shape, for example 1,28,28",
                hint="only an ONNX file says it itself; give input_shape",
            )
        return self.input_shape


def _from_file(
    path: Path,
    format: Format,
    factory: str | None,
    weights: str | Path | None,
    trust: bool,
    layout: Layout,
    asked: _Asked,
) -> Classifier:
    kind = kind_of(path) if format == "auto" else format
    if kind == "onnx":
        _unused(f"the ONNX file {path}", factory=factory, weights=weights)
        return OnnxClassifier(
            path, asked.input_box, input_shape=asked.input_shape, layout=layout, name=asked.name, **asked.options
        )
    if kind not in ("safetensors", "weights"):
        return _from_program(path, kind, trust, asked)
    if factory is None:
        raise _needs_factory(path)
    _unused(f"the weights {path}", weights=weights)
    return _from_factory(factory, path, asked)


def _from_program(path: Path, kind: str, trust: bool, asked: _Asked) -> Classifier:
    shape = asked.shape(str(path))
    program = _any_batch(load_program(path, kind, trust=trust), shape)
    return TorchClassifier(
        program, shape, asked.input_box, name=asked.name or path.stem, source=str(path), format=kind, **asked.options
    )


def _from_factory(factory: str | None, weights: str | Path | None, asked: _Asked) -> Classifier:
    if factory is None:
        raise UsageError("no model was named", wanted="a model file, a factory package.module:function, or a module")
    made = call_factory(factory)
    if weights is None and not isinstance(made, nn.Module):
        return _from_object(made, factory, asked)
    module, notes = _with_weights(made, factory, weights)
    return TorchClassifier(
        module,
        asked.shape(factory),
        asked.input_box,
        name=asked.name or factory.rpartition(":")[2],
        source=factory if weights is None else f"{factory} + {weights}",
        format="torch factory",
        notes=notes,
        **asked.options,
    )


def _from_object(thing: Any, source: str, asked: _Asked) -> Classifier:
    if isinstance(thing, nn.Module):
        label = asked.name or type(thing).__name__
        return TorchClassifier(thing, asked.shape(source), asked.input_box, name=label, source=source, **asked.options)
    if isinstance(thing, Classifier):
        return thing
    if callable(thing):
        label = asked.name or str(getattr(thing, "__name__", "function"))
        return CallableClassifier(
            thing, asked.shape(source), asked.input_box, name=label, source=source, **asked.options
        )
    raise UsageError(
        "this cannot be audited as a classifier", wanted="a file, factory, module or function", got=type(thing)
    )


def _with_weights(made: Any, factory: str, weights: str | Path | None) -> tuple[nn.Module, tuple[str, ...]]:
    if not isinstance(made, nn.Module):
        raise ModelFileError(f"the factory {factory} returns no torch module", wanted="torch.nn.Module", got=type(made))
    if weights is None:
        return made, ("no file of weights was named: the factory's own weights are audited",)
    return made, load_weights(made, Path(weights))


def _needs_factory(path: Path) -> UsageError:
    return UsageError(
        f"{path} holds weights without a network",
        wanted="also a factory, package.module:function, that builds the network",
        got="weights alone",
        hint="name the factory (factory=...), or export the whole model to ONNX",
    )


def _unused(what: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"{what} has no use for {option}", got=value, hint="leave it out")


class _FixedBatch(nn.Module):
    """A program that was exported for batches of one size, applied to a batch in pieces, the last one filled up."""

    def __init__(self, program: nn.Module, size: int) -> None:
        super().__init__()
        self.program = program
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``[n, ...]`` to ``[n, ...]``."""
        filling = -len(x) % self.size
        filled = torch.cat([x, x[:1].expand(filling, *x.shape[1:])]) if filling else x
        return torch.cat([self.program(part) for part in torch.split(filled, self.size)])[: len(x)]


def _any_batch(program: nn.Module, shape: Sequence[int]) -> nn.Module:
    """The program for batches of any size; as it is if it fails for all, so that the classifier says what is wrong."""
    if _runs(program, 2, shape) and _runs(program, 3, shape):
        return program
    fixed = next((size for size in _EXPORTED_FOR if _runs(program, size, shape)), None)
    return program if fixed is None else _FixedBatch(program, fixed)


_EXPORTED_FOR = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)


def _runs(program: nn.Module, batch: int, shape: Sequence[int]) -> bool:
    try:
        with torch.no_grad():
            program(torch.zeros(batch, *shape))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True
