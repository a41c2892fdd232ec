"""What no operator shows: values handed to numpy or Python, and functions taken over before they fall into parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from robust.errors import ControlFlowError
from robust.graph.recorder import Recorder
from robust.graph.rewrites import VARYING
from robust.graph.rewrites.functions import FUNCTIONS


class Escapes(TorchFunctionMode):
    """Refuses to hand values that depend on the input to numpy or Python, which no operator would show."""

    NAMES = frozenset({"numpy", "tolist", "__array__", "__dlpack__", "__reduce_ex__", "__cuda_array_interface__"})

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch for every function of tensors."""
        name = getattr(func, "__name__", "")
        if func in FUNCTIONS:
            return self._taken_over(func, args, kwargs or {})
        if name in self.NAMES and args and isinstance(args[0], Tensor) and self.recorder.step_of(args[0]) is not None:
            error = ControlFlowError(
                f"a value that depends on the input leaves torch ({name}), at {self.recorder.place}",
                wanted="a model of torch operators alone",
                hint="do the detour over numpy or Python numbers in torch; what happens there cannot be followed",
            )
            if not self.recorder.survey:
                raise error
            self.recorder.note(name, error)
        return func(*args, **(kwargs or {}))

    def _taken_over(self, func: Any, args: Any, keywords: dict[str, Any]) -> Any:
        token = VARYING.set(lambda tensor: self.recorder.step_of(tensor) is not None)
        try:
            result = FUNCTIONS[func](*args, **keywords)
        finally:
            VARYING.reset(token)
        return func(*args, **keywords) if result is NotImplemented else result


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Everything that runs inside is recorded, or refused."""
    with ExitStack() as stack:
        stack.enter_context(Escapes(recorder))
        stack.enter_context(recorder)
        yield
