"""A patch at a free position: one rectangle of a picture, whatever it holds.

(Localised perturbations: Brown et al., Adversarial Patch, 2017; Karmon et al., LaVAN, 2018. Its certificate-side
counterpart is ``robust.properties.patch``.) The place is chosen by the gradient, the content climbs from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from attacks.active import Active, wide
from attacks.attack import Attack, Problem, checked_samples
from attacks.attempt import Attempt
from attacks.changes.change import require_picture
from attacks.goals import Goal
from robust.errors import DataShapeError, UsageError
from robust.subjects.protocols import Classifier

FIRST_STEP, LAST_STEP = 0.25, 0.01
"""Steps in widths of the box, between them geometrically."""
MOMENTUM = 0.9


@dataclass(frozen=True, eq=False)
class PatchAttempt:
    """What was found.

    Attributes:
        attempt: success, witnesses, best efforts and passes of each sample; its norm is ``l0``, its distances count
            the numbers that differ.
        corners: int64 ``[n, 2]``: row and column of the upper left corner of the smallest rectangle of the patch's size
            that holds all that differs in the best effort; 0, 0 where nothing does.
    """

    attempt: Attempt
    corners: Tensor


class PatchAttack:
    """The worst patch of each sample.

    Args:
        height: of the patch, in pixels.
        width: of the patch, in pixels.
        places: where it is tried: of the first restart those of the largest gradients, later ones by chance.
        steps: signed gradient steps, with momentum, at every place.
        restarts: rounds; each on the survivors alone.
    """

    name = "patch"

    def __init__(self, *, height: int, width: int, places: int = 6, steps: int = 40, restarts: int = 2) -> None:
        numbers = {"height": height, "width": width, "places": places, "steps": steps, "restarts": restarts}
        for what, value in numbers.items():
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise UsageError(f"a patch attack has an impossible {what}", wanted="an integer >= 1", got=value)
        self.height, self.width, self.places, self.steps, self.restarts = height, width, places, steps, restarts

    def __call__(
        self, classifier: Classifier, x: Tensor, wanted: Tensor | Goal, generator: torch.Generator
    ) -> PatchAttempt:
        """Look for a patch that reaches the goal.

        Args:
            classifier: the subject, of pictures ``[H, W]`` or ``[C, H, W]``.
            x: samples float32 ``[n, *shape]`` inside its box.
            wanted: true classes int64 ``[n]`` (any other answer is a success), or a goal.
            generator: a CPU generator; the global ones are never touched.

        Raises:
            DataShapeError: no pictures, or a patch that is larger than they are.
            NoGradientError: the subject gives no gradients.
        """
        x = checked_samples(classifier, x)
        channels, _, _ = self.require_fit(x.shape[1:])
        changed = float(channels * self.height * self.width)
        attempt = _Patches(self)(classifier, x, wanted, changed, generator)
        return PatchAttempt(attempt, self._corners(attempt.best.to(x) - x))

    def require_fit(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Channels, height and width of pictures ``[*shape]``.

        Raises:
            DataShapeError: no pictures, or smaller than the patch.
        """
        channels, height, width = require_picture(shape, "a patch")
        if height < self.height or width < self.width:
            raise DataShapeError(
                "a patch is larger than the pictures",
                wanted=f"at least {self.height} x {self.width} pixels",
                got=list(shape),
            )
        return channels, height, width

    def _corners(self, moved: Tensor) -> Tensor:
        pixels = (moved.reshape(len(moved), -1, *moved.shape[-2:]) != 0).any(1)
        corners = []
        for axis, size in ((2, self.height), (1, self.width)):
            lines = pixels.any(axis)
            last = lines.shape[1] - size
            corners.append(torch.where(lines.any(1), lines.int().argmax(1).clamp_max(last), 0))
        return torch.stack(corners, 1)

    def __repr__(self) -> str:
        names = ("height", "width", "places", "steps", "restarts")
        return f"PatchAttack({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


class _Patches(Attack):
    """The rounds of a patch attack: candidates differ from their samples in one rectangle."""

    name = "patch"
    norm = "l0"

    def __init__(self, of: PatchAttack) -> None:
        self.of, self.rounds = of, of.restarts

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """The best patch of one round."""
        of, count = self.of, len(problem.x)
        first = Active(problem)
        _, gradient, _ = first.climb(problem.x, "log-odds")
        box = [end.to(problem.x) for end in (problem.classifier.input_box.lower, problem.classifier.input_box.upper)]
        corners = self._promising(problem.x, gradient, box) if round_ == 0 else self._drawn(problem)
        each = corners.shape[1]
        rows = torch.arange(count, device=problem.x.device).repeat_interleave(each)
        mask = self._mask(corners.flatten(0, 1), problem.x)
        active = Active(problem, rows=rows)
        point = torch.where(gradient[rows] > 0, box[1], box[0]) if round_ == 0 else self._noise(problem, each, box)
        point = torch.where(mask, point, active.x)
        momentum, decay = torch.zeros_like(point), (LAST_STEP / FIRST_STEP) ** (1 / max(1, of.steps - 1))
        for step in range(of.steps):
            _, gradient, _ = active.climb(point, "log-odds")
            keep = active.leave(step)
            if keep is not None:
                point, momentum, mask, gradient = point[keep], momentum[keep], mask[keep], gradient[keep]
                if not len(active):
                    break
            size = wide(gradient.abs().flatten(1).mean(1).clamp_min(1e-30), gradient)
            momentum = MOMENTUM * momentum + gradient / size
            moved = point + FIRST_STEP * decay**step * (box[1] - box[0]) * momentum.sign()
            point = torch.where(mask, torch.minimum(torch.maximum(moved, box[0]), box[1]), point)
        if len(active):
            active.answer(point)
        return active.outcome()

    def _promising(self, x: Tensor, gradient: Tensor, box: list[Tensor]) -> Tensor:
        """Corners ``[m, places, 2]`` of rectangles in which the gradient promises most, none over another's middle."""
        of = self.of
        gain = (gradient * torch.where(gradient > 0, box[1] - x, box[0] - x)).reshape(len(x), -1, *x.shape[-2:]).sum(1)
        windows = F.avg_pool2d(gain[:, None], (of.height, of.width), stride=1)[:, 0]
        rows, columns = windows.shape[1:]
        found, flat = [], windows.flatten(1).clone()
        down = torch.arange(rows, device=x.device).repeat_interleave(columns)
        right = torch.arange(columns, device=x.device).repeat(rows)
        for _ in range(min(of.places, rows * columns)):
            best = flat.argmax(1)
            found.append(torch.stack([down[best], right[best]], 1))
            near = (down - down[best][:, None]).abs() <= of.height // 2
            near &= (right - right[best][:, None]).abs() <= of.width // 2
            flat = torch.where(near, flat - 1e20, flat)
        return torch.stack(found, 1)

    def _drawn(self, problem: Problem) -> Tensor:
        of, shape = self.of, problem.x.shape[-2:]
        ends = torch.tensor([shape[0] - of.height + 1, shape[1] - of.width + 1])
        share = torch.rand(problem.total, of.places, 2, generator=problem.generator)[problem.rows.cpu()]
        return (share * ends).long().clamp_max(ends - 1).to(problem.x.device)

    def _noise(self, problem: Problem, each: int, box: list[Tensor]) -> Tensor:
        shape = tuple(problem.x.shape[1:])
        share = torch.rand(problem.total, each, *shape, generator=problem.generator)[problem.rows.cpu()]
        return box[0] + share.flatten(0, 1).to(problem.x) * (box[1] - box[0])

    def _mask(self, corners: Tensor, x: Tensor) -> Tensor:
        """Bool ``[r, ..., H, W]``."""
        rows, columns = (torch.arange(size, device=x.device) for size in x.shape[-2:])
        down, right = corners[:, :1], corners[:, 1:]
        tall = (rows >= down) & (rows < down + self.of.height)
        broad = (columns >= right) & (columns < right + self.of.width)
        mask = tall[:, :, None] & broad[:, None]
        return mask.reshape(len(mask), *[1] * (x.ndim - 3), *mask.shape[1:])
