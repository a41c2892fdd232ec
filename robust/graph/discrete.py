"""Truth values and whole numbers that depend on the input, followed as floats.

Operators on them are recorded on floats that stand for them (``rewrites.choices``); the model's own tensors go on
beside these, and are compared with them whenever one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from robust.graph.rewrites.choices import CHOICES, COMPARISONS, KEEPS_TRUTH, LOGIC_OF_TRUTHS, WHOLE, truncated

if TYPE_CHECKING:
    from robust.graph.recorder import Recorder

_CONDITION = {"where": 0, "masked_fill": 1}
"""Operator that chooses -> the place of its condition."""


def followed(recorder: Recorder, func: Any, packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What an operator makes where truth values or whole numbers come in or out; None where none do.

    Raises:
        UnsupportedOperatorError: floats cannot stand for what it makes.
    """
    truths = all(isinstance(value, Tensor) and value.dtype == torch.bool for value in args[:2])
    packet = LOGIC_OF_TRUTHS.get(packet, packet) if truths else packet
    if packet in CHOICES and _chooses(recorder, packet, args):
        return _choice(recorder, func, packet, args, keywords)
    discrete = any(_is_discrete(recorder, leaf) for leaf in tree_leaves((args, keywords)))
    if packet == "_to_copy" and (discrete or not keywords.get("dtype", args[0].dtype).is_floating_point):
        return _cast(recorder, func, args, keywords)
    if discrete and packet not in KEEPS_TRUTH:
        return _of_numbers(recorder, func, packet, args, keywords)
    return None


def _is_discrete(recorder: Recorder, value: Any) -> bool:
    return isinstance(value, Tensor) and not value.dtype.is_floating_point and recorder.step_of(value) is not None


def _number(recorder: Recorder, value: Any) -> Any:
    """Floats that stand for truth values or whole numbers; anything else as it is."""
    if not isinstance(value, Tensor) or value.dtype.is_floating_point:
        return value
    step = recorder.step_of(value)
    with _disable_current_modes():
        numbers = value.to(recorder.x.dtype)
    if step is not None:
        recorder.remember(numbers, step)
    return numbers


def _chooses(recorder: Recorder, packet: str, args: tuple[Any, ...]) -> bool:
    if packet in _CONDITION:
        return not recorder.is_constant(args[_CONDITION[packet]])
    tensors = [value for value in args if isinstance(value, Tensor)]
    return not packet.startswith("bitwise") or all(value.dtype == torch.bool for value in tensors)


def _choice(recorder: Recorder, func: Any, packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A comparison, logic, or a choice by values."""
    truths = (_CONDITION[packet],) if packet in _CONDITION else () if packet in COMPARISONS else (0, 1)
    numbers = []
    for place, value in enumerate(args):
        number = _number(recorder, value)
        if not isinstance(number, Tensor):
            with _disable_current_modes():
                number = torch.tensor(number, dtype=recorder.x.dtype, device=recorder.x.device)
        if place in truths and value.dtype != torch.bool:
            number = _truth(recorder, packet, number)
        numbers.append(number)
    made = recorder.rewritten(CHOICES[packet], packet, tuple(numbers), {})
    return _stands_for(recorder, made, func, args, keywords)


def _truth(recorder: Recorder, packet: str, number: Tensor) -> Any:
    return recorder.rewritten(CHOICES["ne"], packet, (number, torch.zeros_like(number)), {})


def _cast(recorder: Recorder, func: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    wanted = keywords.get("dtype", args[0].dtype)
    number = _number(recorder, args[0])
    if wanted == torch.bool and args[0].dtype != torch.bool:
        number = _truth(recorder, "_to_copy", number)
    elif wanted in WHOLE and args[0].dtype.is_floating_point:
        number = recorder.rewritten(truncated, "_to_copy", (number,), {})
    elif not (wanted in WHOLE or wanted in (torch.bool, torch.float32, torch.float64)):
        raise recorder.refused("_to_copy", f"a cast of {args[0].dtype} to {wanted}")
    return _stands_for(recorder, number, func, args, keywords)


def _of_numbers(recorder: Recorder, func: Any, packet: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Arithmetic on truth values or whole numbers: the same of floats."""

    def number(value: Any) -> Any:
        return _number(recorder, value)

    options = {name: value for name, value in keywords.items() if name != "dtype"}
    made = recorder.operator(func, packet, tree_map(number, args), tree_map(number, options))
    if not isinstance(made, Tensor):
        raise recorder.refused(packet, f"{func} of {_words(args)}")
    return _stands_for(recorder, made, func, args, keywords)


def _words(args: Any) -> str:
    return ", ".join(str(leaf.dtype) for leaf in tree_leaves(args) if isinstance(leaf, Tensor))


def _stands_for(recorder: Recorder, made: Tensor, func: Any, args: Any, keywords: dict[str, Any]) -> Any:
    """What the model itself computes, with recorded floats standing for it.

    Raises:
        UnsupportedOperatorError: the floats are not the same numbers.
    """
    with _disable_current_modes():
        result = func(*args, **keywords)
        same = bool(torch.equal(made.expand(result.shape).to(result.dtype), result))
        if same and result.dtype.is_floating_point and result.shape == made.shape:
            result = made
    if not same:
        raise recorder.refused(func.overloadpacket.__name__, f"{func} of {_words(args)}")
    step = recorder.step_of(made)
    if result is not made and step is not None:
        recorder.remember(result, step)
    return result
