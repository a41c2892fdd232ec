"""Record what a module does to a batch, one ATen operator at a time.

A dispatch mode sees every operator below autograd with real tensors, which is what ``make_fx`` shows too, without the
0.5 s that its tracer needs to start; and it sees at once when a value is turned into a Python number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from robust.errors import ControlFlowError, RobustError, UnsupportedOperatorError
from robust.graph.discrete import followed
from robust.graph.graph import Operand
from robust.graph.masks import Masks, bare_form
from robust.graph.operators import Kind, kind_of, supported
from robust.graph.rewrites import (
    BOTH_VARY,
    IDENTITIES,
    INPUT_DEPENDENT,
    PREDICATES,
    RENAMED,
    REWRITES,
    SHAPE_ONLY,
    VARYING,
    Replacement,
)
from robust.graph.rewrites.choices import COMPARISONS
from robust.graph.rewrites.hints import hint
from robust.graph.rewrites.masks import ASKED_BY, KEPT_BY
from robust.graph.rewrites.replacement import ORIGINALS, Original, broadcast
from robust.graph.rewrites.softmax import masked_softmax

aten = torch.ops.aten
_OVERLOADS = {"transpose": "int"}
"""In-place operators whose overload has another name than that of the operator that makes a new tensor."""
SECOND_OUTPUT = -1
"""Stands for the step of indices, comparisons and the like: known to depend on the input, and not followed."""


@dataclass(frozen=True)
class Step:
    """One recorded operator; ``Operand.position`` counts *steps* here, and 0 is the input.

    ``made``: some of its constants are not among the model's own numbers, but were computed on the way; ``originals``:
    argument -> what it was rounded from, if that is known of all of them.
    """

    op: str
    kind: Kind
    target: Any
    arguments: dict[str, Any]
    shape: tuple[int, ...]
    place: str
    made: bool = False
    originals: Mapping[str, Original] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """An operator that cannot be followed.

    Attributes:
        op: ATen name, or ONNX operator.
        place: where in the model.
        reason: one sentence.
        workaround: what to do about it.
    """

    op: str
    place: str
    reason: str
    workaround: str


@dataclass
class _Seen:
    tensor: Tensor
    step: int
    version: int | None


@dataclass
class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operators that depend on ``x``; computes all others at once, so that they become constants.

    ``own`` are the places in memory of the model's numbers (``memory_of``).
    With ``survey`` nothing is raised: what cannot be followed is noted in ``refusals`` and run as it is.

    Raises (from inside the module's forward):
        UnsupportedOperatorError: an operator without a rule.
        ControlFlowError: a value that depends on the input became a Python number or a choice.
    """

    x: Tensor
    survey: bool = False
    own: frozenset[int] = frozenset()
    refusals: list[Refusal] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    _seen: dict[int, _Seen] = field(default_factory=dict)
    _memory: set[int] = field(default_factory=set)
    _masks: Masks = field(default_factory=Masks)
    _originals: dict[int, Original] = field(default_factory=dict)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to exclude this method from compilation would import the compiler, 1.3 s."""
        return False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps.append(Step("input", Kind.INPUT, None, {}, tuple(self.x.shape), ""))
        self.remember(self.x, 0)

    @property
    def place(self) -> str:
        """The innermost module that is running."""
        return self.places[-1] if self.places else "the model itself"

    def step_of(self, tensor: Tensor) -> int | None:
        """The step that made this tensor, or None if it does not depend on the input.

        Raises:
            UnsupportedOperatorError: it has been overwritten through another view since.
        """
        seen = self._seen.get(id(tensor))
        if seen is None:
            if memory_of(tensor) in self._memory:
                raise UnsupportedOperatorError(
                    f"a tensor shares memory with one that depends on the input and was not made from it by an "
                    f"operator, at {self.place}",
                    hint="write the model without in-place assignment to slices of new tensors, and without `.data`",
                )
            return None
        if seen.version is None:
            seen.version = tensor._version
        if seen.version != tensor._version:
            raise UnsupportedOperatorError(
                f"a tensor is overwritten in place through a view, at {self.place}",
                hint="write the model without in-place assignment to slices",
            )
        return seen.step

    def _used(self, tensor: Tensor) -> int | None:
        step = self.step_of(tensor)
        if step == SECOND_OUTPUT:
            raise UnsupportedOperatorError(
                f"a comparison or an index that depends on the input is used in arithmetic, at {self.place}",
                hint="write the model without argmax, pooling indices and masks computed from activations",
            )
        return step

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch for every operator."""
        if not self.survey:
            return self._dispatch(func, args, kwargs or {})
        try:
            return self._dispatch(func, args, kwargs or {})
        except RobustError as error:
            self.note(func.overloadpacket.__name__, error)
            result = func(*args, **(kwargs or {}))
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self.remember(leaf, 0, written=True)
            return result

    def note(self, op: str, error: RobustError) -> None:
        """Keep what a survey found, once per operator and place."""
        refusal = Refusal(op, self.place, error.message, error.hint or hint(op))
        if refusal not in self.refusals:
            self.refusals.append(refusal)

    def _dispatch(self, func: Any, args: Any, keywords: dict[str, Any]) -> Any:
        packet = func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded in func.tags and not _is_idle_dropout(packet, args, keywords):
            raise ControlFlowError(
                f"the model draws random numbers ({packet}), at {self.place}",
                wanted="a model that gives the same answer to the same input",
                hint="put dropout and other noise into evaluation mode before the audit",
            )
        tensors = [leaf for leaf in tree_leaves((args, keywords)) if isinstance(leaf, Tensor)]
        known = {self.step_of(tensor) for tensor in tensors} - {None}
        if not known or packet in SHAPE_ONLY:
            return func(*args, **keywords)
        self._masks.require_softmax_next(packet, tensors, self.place)
        if packet in INPUT_DEPENDENT:
            raise ControlFlowError(
                f"a value that depends on the input decides what the model does next ({packet}), at {self.place}",
                wanted="a model that does the same operations for every input",
                hint="replace `if`, `.item()`, boolean indexing on activations by arithmetic such as clamp or where",
            )
        if known == {SECOND_OUTPUT} or packet in PREDICATES or (packet in COMPARISONS and SECOND_OUTPUT in known):
            result = func(*args, **keywords)
            for leaf in tree_leaves(result):
                self.remember(leaf, SECOND_OUTPUT)
            return result
        if packet.endswith("_") and not packet.endswith("__") and func._schema.is_mutable:
            return self._in_place(func, packet[:-1], args, keywords)
        if func._schema.is_mutable and packet != "rrelu_with_noise":
            raise UnsupportedOperatorError(
                f"operator {packet} writes into a tensor that it is handed, at {self.place}",
                got=str(func),
                hint="write the model without `out=` and without operators that change their arguments",
            )
        return self.operator(func, packet, args, keywords)

    def _in_place(self, func: Any, packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Tensor:
        destination: Tensor = args[0]
        if packet == "copy":
            result = self.operator(aten.expand.default, "expand", (args[1], list(destination.shape)), {})
        else:
            functional = getattr(getattr(aten, packet), _OVERLOADS.get(packet, func._overloadname))
            result = self.operator(functional, packet, args, keywords)
        if result.shape != destination.shape or packet in ("transpose", "t", "permute"):
            func(*args, **keywords)
        else:
            destination.copy_(result)
        self._masks.hand_on(result, destination)
        self.remember(destination, self._seen[id(result)].step, written=True)
        return destination

    def operator(self, func: Any, packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Record one that neither writes nor decides: under its own name, or as what it is rewritten into."""
        chosen = followed(self, func, packet, args, keywords)
        if chosen is not None:
            return chosen
        masked = bare_form(packet, args, keywords, self.is_constant)
        if masked is not None:
            func, args, keep = masked
            result = self.operator(func, packet, args, keywords)
            self._masks.put(result, keep)
            return result
        kept = self._masks.of(args[0]) if packet in KEPT_BY | ASKED_BY else None
        if kept is not None:
            return self._with_mask(func, packet, args, keywords, kept)
        return self._unmasked(func, packet, args, keywords)

    def is_constant(self, value: Any) -> bool:
        """Whether a value is a tensor that does not depend on the input."""
        return isinstance(value, Tensor) and self.step_of(value) is None

    def _with_mask(self, func: Any, packet: str, args: Any, keywords: dict[str, Any], keep: Tensor) -> Any:
        if packet in ASKED_BY:
            with _disable_current_modes():
                bare = args[0].detach()
            self.remember(bare, self._seen[id(args[0])].step)
            return self.rewritten(lambda axis, *_: masked_softmax(bare, axis, keep), packet, args[1:], keywords)
        result = self._unmasked(func, packet, args, keywords)
        self._masks.follow(packet, args[0], result)
        return result

    def _unmasked(self, func: Any, packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if packet in IDENTITIES or (packet == "_to_copy" and self._keeps_values(args[0], keywords)):
            result = args[0].detach() if packet == "_to_copy" else args[0].clone()
            self.remember(result, self._seen[id(args[0])].step)
            return (result, torch.empty(0)) if packet == "native_dropout" else result
        if packet in REWRITES:
            rewritten = self.rewritten(REWRITES[packet], packet, args, keywords)
            if rewritten is not NotImplemented:
                return rewritten
        if packet in RENAMED:
            func = getattr(aten, RENAMED[packet]).default
        return self._record(func, args, keywords)

    def rewritten(self, rewrite: Any, packet: str, args: Any, keywords: dict[str, Any]) -> Any:
        """What ``rewrite`` makes of arguments, recorded; NotImplemented where it declines.

        Raises:
            UnsupportedOperatorError: it does not take them.
        """
        token, other = VARYING.set(lambda tensor: self.step_of(tensor) is not None), ORIGINALS.set(self._keep_original)
        try:
            with self:
                rewritten = rewrite(*args, **keywords)
        except TypeError as error:
            raise self.refused(packet, f"a form that is not read: {error}") from error
        finally:
            VARYING.reset(token)
            ORIGINALS.reset(other)
        if isinstance(rewritten, Replacement):
            return self._record(rewritten.target, rewritten.arguments, {})
        return rewritten

    def refused(self, op: str, got: str) -> UnsupportedOperatorError:
        """The error that names an operator without a rule, and its place."""
        return UnsupportedOperatorError(
            f"operator {op} has no rule, at {self.place}",
            wanted=f"one of the {len(supported())} operators of robust/graph/operators.py, or rewritten into these",
            got=got,
            hint=hint(op),
        )

    def _is_product(self, args: Any) -> bool:
        return bool(args[0].shape == args[1].shape) and self.step_of(args[0]) != self.step_of(args[1])

    def _product(self, args: Any) -> Any:
        """``mul`` of two varying tensors: their shapes made one, a square told from a product."""
        a, b = args
        if self.step_of(a) == self.step_of(b):
            return self._record(aten.pow.Tensor_Scalar, (a, 2), {})
        shape = broadcast(a, b)
        with self:
            a, b = (x if x.shape == shape else aten.expand.default(x, list(shape)) for x in (a, b))
        return self._record(aten.mul.Tensor, (a, b), {})

    @staticmethod
    def _keeps_values(tensor: Tensor, keywords: dict[str, Any]) -> bool:
        dtype = keywords.get("dtype") or tensor.dtype
        return bool(dtype in (torch.float32, torch.float64))

    def _record(self, func: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        op = func.overloadpacket.__name__
        values = _named(func, args, keywords)
        arguments = {name: self._leaf(value) for name, value in values.items()}
        varying = frozenset(
            name
            for name, value in arguments.items()
            if any(isinstance(leaf, Operand) for leaf in tree_leaves(value, is_leaf=lambda x: isinstance(x, Operand)))
        )
        if op in BOTH_VARY and len(varying) > 1:
            return self.rewritten(BOTH_VARY[op], op, args, keywords)
        if op == "mul" and len(varying) > 1 and not self._is_product(args):
            return self._product(args)
        kind = kind_of(op, varying)
        if kind is None:
            token = VARYING.set(lambda tensor: self.step_of(tensor) is not None)
            try:
                with self:
                    parts = func.decompose(*args, **keywords)
            finally:
                VARYING.reset(token)
            if parts is not NotImplemented:
                return parts
            raise self.refused(op, f"{func} in {self.place} with {', '.join(sorted(varying))} dependent on the input")
        result = func(*args, **keywords)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        made = [leaf for leaf in tree_leaves(list(values.values())) if self._is_made(leaf)]
        origins = {name: found for name, value in values.items() if (found := self._original(value)) is not None}
        kept = origins if len(origins) == len(made) else {}
        self.steps.append(Step(op, kind, func, arguments, tuple(outputs[0].shape), self.place, bool(made), kept))
        self.remember(outputs[0], len(self.steps) - 1)
        for other in outputs[1:]:
            self.remember(other, SECOND_OUTPUT)
        return result

    def _is_made(self, value: Any) -> bool:
        if not isinstance(value, Tensor) or not value.is_floating_point() or self.step_of(value) is not None:
            return False
        kept = self._originals.get(memory_of(value))
        return memory_of(value) not in self.own and (
            kept is None or not torch.equal(kept.rounded.double(), kept.precise)
        )

    def _keep_original(self, original: Original) -> None:
        self._originals[memory_of(original.rounded)] = original

    def _original(self, value: Any) -> Original | None:
        """Where a constant argument that was made comes from, if that is known."""
        kept = self._originals.get(memory_of(value)) if self._is_made(value) else None
        return kept if kept is not None and kept.rounded.shape == value.shape else None

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            step = self._used(value)
            return value.detach().clone() if step is None else Operand(step)
        if isinstance(value, list | tuple):
            return [self._leaf(item) for item in value]
        return value

    def remember(self, tensor: Tensor, step: int, written: bool = False) -> None:
        """A tensor holds what a step makes; ``written``: it was there before and has been overwritten."""
        self._seen[id(tensor)] = _Seen(tensor, step, None if written else tensor._version)
        self._memory |= {memory_of(tensor)} - {0}


def _named(func: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Argument values by name, defaults filled in."""
    values = dict(keywords)
    positional = [argument for argument in func._schema.arguments if not argument.kwarg_only]
    for argument, value in zip(positional, args, strict=False):
        values[argument.name] = value
    return {argument.name: values.get(argument.name, argument.default_value) for argument in func._schema.arguments}


def memory_of(tensor: Tensor) -> int:
    """Where its numbers lie; 0 where that cannot be said, or where there are none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


def _is_idle_dropout(packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    if packet == "rrelu_with_noise":
        return not (args[4] if len(args) > 4 else keywords.get("training", False))
    return packet == "native_dropout" and not (args[2] if len(args) > 2 else keywords.get("train", True))
