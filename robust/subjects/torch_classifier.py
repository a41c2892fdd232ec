"""A torch module as a classifier."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robust.errors import ModelFileError, ModelShapeError, NonFiniteError
from robust.properties.input_sets import Box
from robust.subjects.box import BoxLike, Numbers, make_box
from robust.subjects.digests import digest_of, parameter_count
from robust.subjects.features import penultimate
from robust.subjects.heads import OutputKind, check_output, make_head
from robust.subjects.preprocessing import ChannelOrder, Preprocessing

_PROBES = 64
_CLOSING = {nn.Softmax: "Softmax", nn.LogSoftmax: "LogSoftmax", nn.Sigmoid: "Sigmoid"}


class TorchClassifier:
    """A classifier from a torch module. The module given is copied, never changed; the copy is frozen, in float32.

    Args:
        module: ``[n, ...]`` (after preprocessing) to scores ``[n, classes]``, or one binary score per sample.
        input_shape: shape of one sample in input units, channels first for pictures.
        input_box: two ends: numbers, lists per channel or feature, or arrays of the whole shape.
        class_names: one per class; by default ``0, 1, ...``.
        mean, std, scale: preprocessing ``(x * scale - mean) / std``, per channel or whole.
        channel_order: ``bgr`` if the network wants its channels reversed.
        output: what the module puts out; ``auto`` takes a closing softmax or sigmoid off where it can and looks
            at answers for uniform inputs otherwise.
        name, source, format, notes: identity, for the record.
        device: where to compute.

    Raises:
        ModelShapeError: the module does not take the input shape, or its output is not one row per sample.
        NonFiniteError: NaN or infinite weights.
        ModelFileError: the module cannot be copied.
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: Sequence[int],
        input_box: BoxLike = (0.0, 1.0),
        *,
        class_names: Sequence[str] | None = None,
        mean: Numbers | None = None,
        std: Numbers | None = None,
        scale: Numbers | None = None,
        channel_order: ChannelOrder = "rgb",
        output: OutputKind = "auto",
        name: str = "model",
        source: str = "python object",
        format: str = "python object",
        device: torch.device | str = "cpu",
        notes: Sequence[str] = (),
    ) -> None:
        check_output(output)
        self.name, self.source, self.format = name, source, format
        self.device = torch.device(device)
        self.input_shape = tuple(int(size) for size in input_shape)
        self.input_box: Box = make_box(input_box, self.input_shape, self.device)
        network, more = own_copy(module, name)
        check_weights(network, source if source != "python object" else name)
        preprocessing = Preprocessing(self.input_shape, mean=mean, std=std, scale=scale, channel_order=channel_order)
        self._assemble(preprocessing, network.to(self.device), output, class_names, None, (*notes, *more))

    def _assemble(
        self,
        preprocessing: nn.Module,
        network: nn.Module,
        output: OutputKind,
        class_names: Sequence[str] | None,
        stripped: str | None,
        notes: Sequence[str],
    ) -> None:
        """Put preprocessing, network and head together; find out what the outputs are on uniform probes."""
        self._preprocessing = preprocessing.to(self.device).eval()
        self._network = network
        probes = self._probes()
        if stripped is None and output != "logits":
            stripped = self._strip(probes)
        answers = self._try(probes)
        self._head, more = make_head(answers, output, stripped, self.source)
        self._head = self._head.to(self.device).eval()
        self._pipeline = nn.Sequential(self._preprocessing, self._network, self._head)
        self._pipeline.training = False  # each part already is; exported programs refuse eval()
        self._pipeline.requires_grad_(False)
        classes = int(self._head(answers[:1]).shape[1])
        if class_names is not None and len(class_names) != classes:
            raise ModelShapeError(
                f"{self.source}: the class names do not fit the outputs",
                wanted=f"{classes} names, one per logit",
                got=f"{len(class_names)}: {', '.join(map(str, class_names))}",
            )
        self.class_names: tuple[str, ...] = tuple(map(str, class_names if class_names is not None else range(classes)))
        self.notes: tuple[str, ...] = (*notes, *more)
        self.parameters: int | None = parameter_count(network)
        self.differentiable = True
        self.digest = self._digest()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {list(self.input_shape)} -> {len(self.class_names)} classes)"

    def logits(self, x: Tensor) -> Tensor:
        """``[n, *input_shape]`` to ``[n, classes]``; gradients flow to ``x``.

        Raises:
            ModelShapeError: samples of another shape.
        """
        self._check(x)
        answer: Tensor = self._pipeline(x.to(self.device, torch.float32))
        return answer

    def replay(self, x: Tensor) -> Tensor:
        """Logits without gradients: for a torch module its own arithmetic is torch's."""
        with torch.no_grad():
            return self.logits(x)

    def module(self) -> nn.Module | None:
        """Input units to logits, in evaluation mode, frozen."""
        return self._pipeline

    def features(self, x: Tensor) -> Tensor | None:
        """The input of the last affine layer ``[n, d]``, or None."""
        self._check(x)
        with torch.no_grad():
            ready = self._preprocessing(x.to(self.device, torch.float32))
        return penultimate(self._network, ready)

    def _digest(self) -> str:
        return digest_of(self._pipeline, self.input_shape, self.input_box.lower, self.input_box.upper)

    def _check(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != self.input_shape or x.ndim == 0:
            raise ModelShapeError(
                f"{self.source}: samples are not of the model's shape",
                wanted=f"[n, {', '.join(map(str, self.input_shape))}]",
                got=list(x.shape),
            )

    def _probes(self) -> Tensor:
        """Uniform inputs of the box."""
        drawn = torch.rand((_PROBES, *self.input_shape), generator=torch.Generator().manual_seed(0)).to(self.device)
        return self.input_box.lower + drawn * (self.input_box.upper - self.input_box.lower)

    def _try(self, probes: Tensor) -> Tensor:
        try:
            with torch.no_grad():
                answers = self._network(self._preprocessing(probes))
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelShapeError(
                f"{self.source}: the model does not take inputs of this shape",
                wanted=f"a model of [n, {', '.join(map(str, self.input_shape))}]",
                got=f"{type(error).__name__}: {error}",
                hint="say the right input_shape, or correct the factory",
            ) from error
        if not isinstance(answers, Tensor) or answers.ndim == 0 or answers.shape[0] != len(probes):
            raise ModelShapeError(
                f"{self.source}: the model does not answer with one row per sample",
                wanted=f"a tensor [{len(probes)}, classes]",
                got=list(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__,
            )
        return answers

    def _strip(self, probes: Tensor) -> str | None:
        """Replace a softmax or sigmoid module whose answer is the network's answer by nothing."""
        made: dict[str, list[Tensor]] = {}
        candidates = {name: child for name, child in self._network.named_modules() if type(child) in _CLOSING}
        handles = [
            child.register_forward_hook(lambda _m, _i, out, name=name: made.setdefault(name, []).append(out))
            for name, child in candidates.items()
        ]
        try:
            answers = self._try(probes)
        finally:
            for handle in handles:
                handle.remove()
        for name, outputs in made.items():
            if len(outputs) == 1 and outputs[0] is answers:
                kind = _CLOSING[type(candidates[name])]
                parent, _, child = name.rpartition(".")
                if name:
                    setattr(self._network.get_submodule(parent), child, nn.Identity())
                return kind if name else None
        return None


def check_weights(network: nn.Module, where: str) -> None:
    """Raise NonFiniteError that names the first parameter or buffer with NaN or infinity."""
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise NonFiniteError(
                f"{where}: {bad} of {tensor.numel()} weights in {name!r} are not finite",
                wanted="finite weights",
                got=f"{int(torch.isnan(tensor).sum())} NaN, {int(torch.isinf(tensor).sum())} infinite",
                hint="the training diverged or the file is damaged; load a sound checkpoint",
            )


def own_copy(module: nn.Module, name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """A frozen float32 copy in evaluation mode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own tree classes warn about themselves when copied
            own = _copy_script(module) if isinstance(module, torch.jit.ScriptModule) else copy.deepcopy(module)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ModelFileError(
            f"{name}: the module cannot be copied", got=error, hint="remove hooks and non-leaf tensors from it"
        ) from error
    try:
        own.eval()
    except NotImplementedError:
        own.training = False
    types = sorted(
        {str(p.dtype).removeprefix("torch.") for p in own.parameters() if p.is_floating_point()} - {"float32"}
    )
    notes = (f"the weights were {', '.join(sorted(types))} and are read in float32",) if types else ()
    for parameter in own.parameters():
        parameter.requires_grad_(False)
    return own.float(), notes


def _copy_script(module: nn.Module) -> nn.Module:
    """A script's own deep copy leaves parameters that are no leaves; written and read again they are."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)  # type: ignore[no-untyped-call, unused-ignore]
    buffer.seek(0)
    own: nn.Module = torch.jit.load(buffer, map_location="cpu")  # type: ignore[no-untyped-call]
    return own
