"""An ONNX file as a classifier: read into torch for gradients, replayed by onnxruntime for claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust.errors import ModelFileError, ModelShapeError
from robust.graph.onnx_file import OnnxFile, ValueInfo, read_onnx
from robust.graph.onnx_module import OnnxModule
from robust.subjects.box import BoxLike, Numbers, make_box
from robust.subjects.digests import digest_of
from robust.subjects.heads import OutputKind, TwoClasses, check_output
from robust.subjects.preprocessing import ChannelOrder, Layout, Preprocessing
from robust.subjects.runtime import OnnxSession
from robust.subjects.torch_classifier import TorchClassifier

_CLOSING = ("Softmax", "LogSoftmax", "Sigmoid")
_TYPES: dict[str, type[np.floating[Any]]] = {"float32": np.float32, "float64": np.float64, "float16": np.float16}


class OnnxClassifier(TorchClassifier):
    """A classifier from an ONNX file.

    Args:
        path: the file.
        input_shape: shape of one sample in input units; by default the file's. Channels-last pictures are audited
            channels first.
        layout: ``nhwc`` if the file wants channels last; ``auto`` looks at its input shape.
        others: as ``TorchClassifier``.

    Raises:
        ModelFileError, NonFiniteError, UnsupportedOperatorError, ModelShapeError.
    """

    def __init__(
        self,
        path: str | Path,
        input_box: BoxLike = (0.0, 1.0),
        *,
        input_shape: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
        mean: Numbers | None = None,
        std: Numbers | None = None,
        scale: Numbers | None = None,
        channel_order: ChannelOrder = "rgb",
        layout: Layout = "auto",
        output: OutputKind = "auto",
        name: str | None = None,
        source: str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        check_output(output)
        self._file = file = read_onnx(path)
        self.name, self.source, self.format = name or _stem(file.path), source or str(path), "onnx"
        self.device = torch.device(device)
        info = _only_input(file)
        self.input_shape, target, layout, notes = _shapes(file, info, input_shape, layout)
        self.input_box = make_box(input_box, self.input_shape, self.device)
        value, stripped, more = _output(file, output)
        network = OnnxModule(file, input_shapes=[target], output=value).to(self.device)
        if network.sample_by_sample:
            more += ("the file does not answer each sample of a batch by itself: every sample is asked alone",)
        if info.dtype != "float32":
            more += (f"the file computes in {info.dtype}; gradients and proofs read it in float32",)
        batch = 1 if network.sample_by_sample else network.declared_batch
        self._session = OnnxSession(file, value, batch, _TYPES[info.dtype], batched=network.batched)
        self._content = file.proto.SerializeToString(deterministic=True)
        self.agreement_tolerance = 2e-2 if info.dtype == "float16" else 1e-3
        preprocessing = Preprocessing(
            self.input_shape,
            mean=mean,
            std=std,
            scale=scale,
            channel_order=channel_order,
            layout=layout,
            target=target if layout == "nchw" else None,
        )
        self._assemble(preprocessing, network, output, class_names, stripped, (*notes, *more))

    @property
    def plain_file(self) -> OnnxFile | None:
        """The file, where a question about it is one about this subject: its inputs are the samples as they are, in the
        same order, and the largest of its outputs is the answer. None otherwise."""
        ready = self._preprocessing
        changed = any(part is not None for part in (ready.scale, ready.mean, ready.std))
        if changed or ready.reverse or ready.channels_last or self._file.inputs[0].dtype != "float32":
            return None
        binary = any(isinstance(part, TwoClasses) for part in self._head.modules())
        return self._file if len(self._file.outputs) == 1 and not binary else None

    def replay(self, x: Tensor) -> Tensor:
        """Logits by onnxruntime on the CPU, batch by batch as the file allows."""
        self._check(x)
        if not len(x):
            return super().replay(x)
        with torch.no_grad():
            ready = self._preprocessing(x.to(self.device, torch.float32)).cpu().numpy()
            raw = torch.from_numpy(self._session.run(ready)).to(self.device)
            answer: Tensor = self._head(raw)
            return answer

    def features(self, x: Tensor) -> Tensor | None:
        """The input of the last affine layer ``[n, d]``, or None."""
        if not getattr(self._network, "sample_by_sample", False):
            return super().features(x)
        rows = [super(OnnxClassifier, self).features(one) for one in torch.split(x, 1)]
        known = [row for row in rows if row is not None]
        return torch.cat(known) if known and len(known) == len(rows) else None

    def _digest(self) -> str:
        parts = (self._preprocessing, self._head, self.input_shape, self.input_box.lower, self.input_box.upper)
        return digest_of(self._content, *parts)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".onnx")


def _only_input(file: OnnxFile) -> ValueInfo:
    if len(file.inputs) != 1:
        raise ModelShapeError(
            f"{file.path} has {len(file.inputs)} inputs",
            wanted="one input [n, ...]",
            got=", ".join(value.name for value in file.inputs),
        )
    info = file.inputs[0]
    if info.dtype not in _TYPES:
        raise ModelShapeError(
            f"{file.path}: the input {info.name!r} has a type that is not audited",
            wanted=", ".join(_TYPES),
            got=info.dtype,
            hint="export the model with a float32 input; whole-number inputs have no gradients and no balls",
        )
    return info


def _shapes(
    file: OnnxFile, info: ValueInfo, given: Sequence[int] | None, layout: Layout
) -> tuple[tuple[int, ...], tuple[int, ...], Layout, tuple[str, ...]]:
    """Shape in input units, shape for the file, layout, notes."""
    own = info.shape
    single = own is not None and len(own) == 1 and own[0] not in (None, 1)
    body = None if own is None else own if single else own[1:]
    if body is None or None in body:
        if given is None:
            raise ModelShapeError(
                f"{file.path} leaves the shape of its input {info.name!r} open",
                wanted="the shape of one sample",
                got="unknown" if own is None else [size or "?" for size in own],
                hint="say it with input_shape",
            )
        shape = tuple(given)
        _check_given(file, body, shape)
        return shape, shape, "nchw", ()
    target = tuple(int(size or 0) for size in body)
    last = len(target) == 3 and target[2] in (1, 3) and target[0] not in (1, 3)
    if layout == "nhwc" or (layout == "auto" and last and (given is None or tuple(given) != target)):
        if len(target) != 3:
            raise ModelShapeError(f"{file.path}: no picture to move the channels of", wanted="[h, w, c]", got=target)
        moved = (target[2], target[0], target[1])
        if given is not None and tuple(given) != moved:
            _check_given(file, moved, tuple(given))
        return moved, target, "nhwc", ("the file wants channels last; it is audited channels first",)
    shape = target if given is None else tuple(given)
    if _thin(shape) != _thin(target):
        _check_given(file, target, shape)
    note = (f"inputs {list(shape)} are handed to the file as {list(target)}",) if shape != target else ()
    return shape, target, "nchw", note


def _check_given(file: OnnxFile, own: Sequence[int | None] | None, given: tuple[int, ...]) -> None:
    if own is not None and (len(own) != len(given) or any(a not in (None, b) for a, b in zip(own, given, strict=True))):
        raise ModelShapeError(
            f"{file.path}: the input is not of the shape that was asked for",
            wanted=f"one sample {['?' if size is None else size for size in own]}, as the file says",
            got=f"one sample {list(given)}",
        )


def _thin(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _output(file: OnnxFile, output: OutputKind) -> tuple[str, str | None, tuple[str, ...]]:
    """The value that holds the scores, the activation taken off its end, notes."""
    floats = [value for value in file.outputs if value.dtype in (*_TYPES, "bfloat16")]
    if not floats:
        raise ModelFileError(
            f"{file.path} has no output of floats",
            wanted="scores per class",
            got=", ".join(f"{value.name} {value.dtype}" for value in file.outputs),
        )
    name = floats[0].name
    notes: tuple[str, ...] = ()
    if len(file.outputs) > 1:
        notes = (f"of {len(file.outputs)} outputs, {name!r} was read as the scores",)
    if output == "logits":
        return name, None, notes
    makers: dict[str, Any] = {made: node for node in file.nodes for made in node.outputs}
    node = makers.get(name)
    while node is not None and node.op == "Identity":
        node = makers.get(node.inputs[0])
    if node is not None and node.op in _CLOSING and node.inputs[0] in makers:
        return node.inputs[0], node.op, notes
    return name, None, notes
