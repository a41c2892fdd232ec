"""Any function of a batch as a classifier: a black box without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from robust.errors import ModelShapeError
from robust.subjects.box import BoxLike, Numbers, make_box
from robust.subjects.digests import digest_of, source_of
from robust.subjects.heads import OutputKind, make_head
from robust.subjects.preprocessing import ChannelOrder, Preprocessing

_PROBES = 64


class CallableClassifier:
    """A classifier from a function of a batch, for example ``forest.predict_proba``.

    Args:
        function: ``[n, *input_shape]`` (numpy float32, or a torch tensor) to scores ``[n, classes]``, probabilities,
            or one binary score per sample. It should answer the same for the same input.
        input_shape, input_box, class_names, mean, std, scale, channel_order, output: as ``TorchClassifier``.
        arrays: what the function takes.
        name, source, device: identity; where answers go.

    Raises:
        ModelShapeError: the function fails, or its answer is not one row per sample.
    """

    format = "python object"
    differentiable = False
    parameters: int | None = None

    def __init__(
        self,
        function: Callable[..., Any],
        input_shape: Sequence[int],
        input_box: BoxLike = (0.0, 1.0),
        *,
        arrays: Literal["numpy", "torch"] = "numpy",
        class_names: Sequence[str] | None = None,
        mean: Numbers | None = None,
        std: Numbers | None = None,
        scale: Numbers | None = None,
        channel_order: ChannelOrder = "rgb",
        output: OutputKind = "auto",
        name: str = "function",
        source: str = "python object",
        device: torch.device | str = "cpu",
    ) -> None:
        self.name, self.source = name, source
        self.device = torch.device(device)
        self.input_shape = tuple(int(size) for size in input_shape)
        self.input_box = make_box(input_box, self.input_shape, self.device)
        self._function, self._arrays = function, arrays
        preprocessing = Preprocessing(self.input_shape, mean=mean, std=std, scale=scale, channel_order=channel_order)
        self._preprocessing = preprocessing.to(self.device).eval()
        probes = torch.rand((_PROBES, *self.input_shape), generator=torch.Generator().manual_seed(0)).to(self.device)
        probes = self.input_box.lower + probes * (self.input_box.upper - self.input_box.lower)
        answers = self._answer(probes)
        self._head, notes = make_head(answers, output, None, source)
        self._head = self._head.to(self.device).eval()
        classes = int(self._head(answers[:1]).shape[1])
        if class_names is not None and len(class_names) != classes:
            raise ModelShapeError(
                f"{source}: the class names do not fit the outputs", wanted=f"{classes} names", got=len(class_names)
            )
        self.class_names: tuple[str, ...] = tuple(map(str, class_names if class_names is not None else range(classes)))
        self.notes: tuple[str, ...] = (
            *notes,
            "a function without gradients: attacks that need them and proofs cannot be asked of it",
            "its digest is of its source text and its answers to 64 uniform inputs",
        )
        text = source_of(function)
        box = (self.input_box.lower, self.input_box.upper)
        self.digest = digest_of(text, answers, self._preprocessing, self._head, self.input_shape, *box)

    def __repr__(self) -> str:
        return f"CallableClassifier({self.name!r}, {list(self.input_shape)} -> {len(self.class_names)} classes)"

    def logits(self, x: Tensor) -> Tensor:
        """``[n, *input_shape]`` to ``[n, classes]``, without gradients."""
        if tuple(x.shape[1:]) != self.input_shape:
            raise ModelShapeError(
                f"{self.source}: samples are not of the model's shape", wanted=self.input_shape, got=list(x.shape)
            )
        with torch.no_grad():
            answer: Tensor = self._head(self._answer(x.to(self.device, torch.float32)))
            return answer

    def replay(self, x: Tensor) -> Tensor:
        """The same as ``logits``."""
        return self.logits(x)

    def module(self) -> nn.Module | None:
        """None: a black box."""
        return None

    def features(self, x: Tensor) -> Tensor | None:
        """None: a black box."""
        return None

    def _answer(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            ready = self._preprocessing(x).detach()
            try:
                raw = self._function(ready if self._arrays == "torch" else ready.cpu().numpy())
            except Exception as error:  # the user's code may raise anything
                raise ModelShapeError(
                    f"{self.source}: the function fails on a batch",
                    wanted=f"a function of [n, {', '.join(map(str, self.input_shape))}] ({self._arrays})",
                    got=f"{type(error).__name__}: {error}",
                ) from error
        answer = raw if isinstance(raw, Tensor) else torch.from_numpy(np.array(raw, dtype=np.float32))
        if answer.ndim == 0 or answer.shape[0] != x.shape[0]:
            raise ModelShapeError(
                f"{self.source}: the function does not answer with one row per sample",
                wanted=f"[{x.shape[0]}, classes]",
                got=list(answer.shape),
            )
        return answer.detach().to(self.device, torch.float32)
