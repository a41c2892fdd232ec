"""An ONNX file as a torch module: differentiable, free of the batch size, traceable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import GraphError, ModelShapeError, RobustError
from robust.graph.onnx_file import OnnxFile, ValueInfo, read_onnx
from robust.graph.onnx_plan import Argument, Constant, Host, Step, Stored, Varying, make_plan, run_nodes

_BATCHES = (2, 3, 5)
_PROBES = 3
_TOLERANCE = 1e-4


class OnnxModule(nn.Module):
    """An ONNX graph in torch. Weights are frozen parameters; the whole network has one float type.

    ``forward`` takes one tensor ``[n, ...]`` per input of the graph (batch first) and gives ``[n, ...]``.
    A file with a fixed batch, or one that only works for a batch of one, serves any batch here.

    Args:
        file: what ``read_onnx`` gave, or a path.
        input_shapes: shape of one sample per input, where the file leaves axes free.
        output: name of the value to compute; by default the file's first output.
        batched: whether the first axis of the inputs is the batch; by default read off their shapes. If not, one sample
            is all of the file's input.

    Attributes:
        input_shapes: shape of one sample per input.
        input_types: element type in the file per input, for example ``float32``.
        declared_batch: the batch written into the file, or None.
        sample_by_sample: the graph cannot be read with its batch free and is mapped over the samples (``vmap``).

    Raises:
        UnsupportedOperatorError, ControlFlowError: a node that cannot be read, by name.
        ModelShapeError: free axes that nobody filled in.
        GraphError: answers that depend on the other samples of the batch.
    """

    steps: tuple[Step, ...]

    def __init__(
        self,
        file: OnnxFile | str | Path,
        *,
        input_shapes: Sequence[Sequence[int]] | None = None,
        output: str | None = None,
        batched: bool | None = None,
    ) -> None:
        super().__init__()
        file = file if isinstance(file, OnnxFile) else read_onnx(file)
        self.path = str(file.path)
        self.input_names = tuple(value.name for value in file.inputs)
        self.input_types = tuple(value.dtype for value in file.inputs)
        self.output_name = output or file.outputs[0].name
        self.batched = all(_is_batched(value) for value in file.inputs) if batched is None else batched
        self.declared_batch = _declared_batch(file) if self.batched else None
        self.input_shapes = _shapes(file, input_shapes, self.batched)
        self.sample_by_sample = False
        self._make(file)
        self.eval().requires_grad_(False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """``[n, ...]`` per input to ``[n, ...]``."""
        if len(inputs) != len(self.input_names):
            raise ModelShapeError(
                f"{self.path} takes {len(self.input_names)} inputs", wanted=self.input_names, got=len(inputs)
            )
        if not self.sample_by_sample:
            return self._run(inputs, inputs[0].shape[0])
        if self.batched:
            return torch.vmap(lambda *one: self._run([x.unsqueeze(0) for x in one], 1).squeeze(0))(*inputs)
        return torch.vmap(lambda *one: self._run(one, 1))(*inputs)

    def _run(self, inputs: Sequence[Tensor], batch: int) -> Tensor:
        values = dict(zip(self.input_names, inputs, strict=True))
        for step in self.steps:
            made = step.function(step.node, *(self._resolve(argument, values, batch) for argument in step.arguments))
            for name, value in zip(step.node.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                values[name] = value
            for name in step.release:
                del values[name]
        return values[self.output_name]

    def _resolve(self, argument: Argument, values: dict[str, Tensor], batch: int) -> Any:
        if isinstance(argument, Varying):
            return values[argument.name]
        if isinstance(argument, Stored):
            stored = getattr(self, argument.attribute)
            return stored.expand(batch, *stored.shape[1:]) if argument.rows else stored
        return argument.at(batch) if isinstance(argument, Host) else None

    def _make(self, file: OnnxFile) -> None:
        """Plan with the batch free; where that fails, plan for one sample and map over them."""
        failure: RobustError | None = None
        if self.batched:
            try:
                self._bind(
                    make_plan(file, self.input_names, self._example, self.output_name, _BATCHES, self.declared_batch)
                )
                self._check_rows(file)
                return
            except GraphError as error:
                failure = error
        if self.declared_batch not in (None, 1):
            raise failure or GraphError(f"{self.path} cannot be read")
        self.sample_by_sample = True
        try:
            self._bind(make_plan(file, self.input_names, self._example, self.output_name, (1,), None))
            self._check_rows(file)
        except GraphError as error:
            raise (failure or error) from error

    def _bind(self, steps: tuple[Step, ...]) -> None:
        """Register constants as frozen parameters (floats) and buffers, each tensor once."""
        for name in [*self._parameters, *self._buffers]:
            delattr(self, name)
        known: dict[int, str] = {}
        bound = []
        for step in steps:
            arguments: list[Argument] = []
            for name, argument in zip(step.node.inputs, step.arguments, strict=True):
                if isinstance(argument, Constant):
                    key = id(argument.value)
                    if key not in known:
                        known[key] = self._register(name, argument.value)
                    argument = Stored(known[key], argument.rows)
                arguments.append(argument)
            bound.append(replace(step, arguments=tuple(arguments)))
        self.steps = tuple(bound)

    def _register(self, name: str, value: Tensor) -> str:
        taken = {*self._parameters, *self._buffers}
        plain = "constant_" + "".join(letter if letter.isalnum() else "_" for letter in name)
        while plain in taken:
            plain += "_"
        if value.is_floating_point():
            self.register_parameter(plain, nn.Parameter(value.contiguous(), requires_grad=False))
        else:
            self.register_buffer(plain, value.contiguous())
        return plain

    def _check_rows(self, file: OnnxFile) -> None:
        """A batch answers like its samples one by one, as the file says them."""
        samples = self._example(_PROBES)
        copies = (self.declared_batch or 1) if self.batched else 0
        with torch.no_grad():
            try:
                together = self(*samples)
            except (RuntimeError, ValueError, IndexError) as error:
                raise GraphError(f"{self.path} cannot be read for a batch", got=error) from error
            for row in range(_PROBES):
                one = [x[row : row + 1].expand(copies, *x.shape[1:]) if copies else x[row] for x in samples]
                alone = run_nodes(file, self.input_names, one, self.output_name)
                alone = alone[0] if copies and alone.ndim and alone.shape[0] == copies else alone
                if together.shape[0] != _PROBES or not _same(together[row], alone):
                    raise GraphError(
                        f"{self.path}: the answer for a sample depends on the batch around it",
                        wanted=f"one row {tuple(alone.shape)} per sample, whatever the batch",
                        got=f"{tuple(together.shape)} for {_PROBES} samples",
                        hint="export the model with a free batch axis and in evaluation mode",
                    )

    def _example(self, batch: int) -> list[Tensor]:
        """Inputs of the right shapes: uniform numbers, and zeros for whole-number inputs."""
        generator = torch.Generator().manual_seed(0)
        samples = []
        for shape, dtype in zip(self.input_shapes, self.input_types, strict=True):
            size = (batch, *shape) if self.batched or batch > 1 else shape
            integer = not dtype.startswith(("float", "bfloat"))
            drawn = torch.rand(size, generator=generator)
            samples.append(torch.zeros(size, dtype=torch.int64) if integer else drawn)
        return samples


def _same(batch_row: Tensor, alone: Tensor) -> bool:
    if batch_row.shape != alone.shape:
        return False
    scale = float(alone.double().abs().nan_to_num().max()) if alone.numel() else 0.0
    return torch.allclose(batch_row.double(), alone.double(), _TOLERANCE, _TOLERANCE * max(scale, 1e-3), equal_nan=True)


def _is_batched(value: ValueInfo) -> bool:
    """A single axis of known length is one sample without a batch axis."""
    return not (value.shape is not None and len(value.shape) == 1 and value.shape[0] not in (None, 1)) or (
        not value.dtype.startswith("float")
    )


def _declared_batch(file: OnnxFile) -> int | None:
    sizes = {value.shape[0] for value in file.inputs if value.shape}
    fixed = {size for size in sizes if size is not None}
    return fixed.pop() if len(fixed) == 1 and None not in sizes else None


def _shapes(file: OnnxFile, given: Sequence[Sequence[int]] | None, batched: bool) -> tuple[tuple[int, ...], ...]:
    if not file.inputs:
        raise ModelShapeError(f"{file.path} has no input", wanted="a model with an input")
    if given is not None and len(given) != len(file.inputs):
        raise ModelShapeError(
            f"{file.path} has {len(file.inputs)} inputs",
            wanted=f"one shape for each of {', '.join(value.name for value in file.inputs)}",
            got=f"{len(given)} shapes",
        )
    shapes = []
    for place, value in enumerate(file.inputs):
        own = None if value.shape is None else value.shape[1:] if batched else value.shape
        wanted = None if given is None else tuple(int(size) for size in given[place])
        if own is None and wanted is None:
            raise _unknown_shape(file, value)
        if own is None:
            shapes.append(wanted or ())
            continue
        if wanted is None:
            wanted = tuple(size or 0 for size in own)
        if len(wanted) != len(own) or any(b not in (None, a) for a, b in zip(wanted, own, strict=True)):
            raise ModelShapeError(
                f"{file.path}: the input {value.name!r} is not of the shape that was asked for",
                wanted=f"one sample {_shown(own)}, as the file says",
                got=f"one sample {_shown(wanted)}",
            )
        if 0 in wanted:
            raise _unknown_shape(file, value)
        shapes.append(wanted)
    return tuple(shapes)


def _unknown_shape(file: OnnxFile, value: ValueInfo) -> ModelShapeError:
    return ModelShapeError(
        f"{file.path} leaves the shape of its input {value.name!r} open",
        wanted="the shape of one sample",
        got="unknown" if value.shape is None else _shown(value.shape),
        hint="say it with input_shape",
    )


def _shown(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
