"""The worst of a family of changes: parameters are looked at, the best are climbed from, witnesses replayed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.active import EVERY
from attacks.attack import checked_samples, gives_gradients, replayed
from attacks.attempt import Tally
from attacks.changes.change import Change
from attacks.goals import Goal, as_goal
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

CORNERS = 5
"""Parameters up to which all corners of their box are looked at."""
FIRST_STEP, LAST_STEP = 0.25, 0.005
"""Steps of a climb, in widths of the ranges; between them geometrically."""
ROWS = 512
"""Pictures that go through the model together."""


@dataclass(frozen=True, eq=False)
class ChangeAttempt:
    """What was found, for ``n`` samples.

    Attributes:
        success: bool ``[n]``: the real model answers the changed picture as the goal wishes. Samples that reach the
            goal unchanged are successes at the neutral parameters.
        parameters: float32 ``[n, p]`` of the best change; the neutral ones where nothing is nearer to the goal.
        adversarials: float32 ``[n, *shape]``: the picture that they make, inside the input box.
        margins: float32 ``[n]``: how far the answer to it is from the goal.
        dead: bool ``[n]``: not broken by a search that only follows gradients, all of which were zero or not finite.
        forward: int64 ``[n]``: queries, replays included.
        backward: int64 ``[n]``: gradient evaluations.
    """

    success: Tensor
    parameters: Tensor
    adversarials: Tensor
    margins: Tensor
    dead: Tensor
    forward: Tensor
    backward: Tensor

    def __len__(self) -> int:
        return len(self.success)


class ChangeAttack:
    """Looks for parameters of a change that make the model err.

    First ``looks`` points spread evenly over the ranges (Sobol's, with their corners where these are few), as no slope
    is to be trusted in rotations (Engstrom et al. 2019); then climbs along the gradient of the margin from the
    ``climbs`` best of them. Where there is no gradient, or it is zero, a step is a shrinking normal one. It proves
    nothing of what it does not find: that is for `verifiers`, over ``robust.properties``' sets.

    Args:
        change: the family.
        looks: points that each sample is looked at.
        climbs: starts of climbs, at most ``looks``.
        steps: of each climb.
    """

    name = "change"

    def __init__(self, change: Change, *, looks: int = 64, climbs: int = 3, steps: int = 15) -> None:
        for what, value, least in (("looks", looks, 1), ("climbs", climbs, 0), ("steps", steps, 0)):
            if isinstance(value, bool) or int(value) != value or value < least:
                raise UsageError(f"impossible number of {what}", wanted=f"an integer >= {least}", got=value)
        self.change, self.looks, self.climbs, self.steps = change, looks, min(climbs, looks), steps

    def __call__(
        self, classifier: Classifier, x: Tensor, wanted: Tensor | Goal, generator: torch.Generator
    ) -> ChangeAttempt:
        """Look for the worst change of each sample.

        Args:
            classifier: the subject.
            x: samples float32 ``[n, *shape]`` inside its box.
            wanted: true classes int64 ``[n]`` (any other answer is a success), or a goal.
            generator: a CPU generator; the global ones are never touched.

        Raises:
            DataTypeError, DataShapeError, DataRangeError, LabelError: samples or labels do not fit.
        """
        x = checked_samples(classifier, x)
        goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
        shape = tuple(x.shape[1:])
        work = _Work(self.change, classifier, x, goal, self.change.box(shape).to(x.device), generator)
        work.begin()
        starts, margins = self._looked(work)
        left = torch.nonzero(~work.success)[:, 0]
        if len(left) and self.climbs and self.steps:
            best = margins[left].topk(self.climbs, dim=1, largest=False).indices
            rows = left.repeat_interleave(self.climbs)
            points = starts[left].gather(1, best[:, :, None].expand(-1, -1, starts.shape[2])).flatten(0, 1)
            slopes = self.change.smooth and gives_gradients(classifier, x[:1])
            self._climb(work, rows, points, slopes)
        return work.attempt()

    def _looked(self, work: _Work) -> tuple[Tensor, Tensor]:
        """All parameters looked at ``[n, looks, p]`` and their margins."""
        count, size = len(work.x), len(work.box)
        seed = int(torch.randint(2**31, (1,), generator=work.generator))
        corners = list(itertools.product((0.0, 1.0), repeat=size)) if size <= CORNERS else []
        spread = torch.tensor(corners[: self.looks // 2], dtype=torch.float32).reshape(-1, size)
        engine = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
        points = torch.cat([spread, engine.draw(self.looks - len(spread)).float()]).to(work.x.device)
        points = work.box[:, 0] + points * (work.box[:, 1] - work.box[:, 0])
        starts, margins = points.expand(count, -1, -1), torch.full((count, self.looks), torch.inf, device=work.x.device)
        each = max(1, ROWS // max(1, count))
        for start in range(0, self.looks, each):
            left = torch.nonzero(~work.success)[:, 0]
            if not len(left):
                break
            part = points[start : start + each]
            rows = left.repeat_interleave(len(part))
            found = work.see(rows, part.repeat(len(left), 1)).reshape(len(left), len(part))
            margins[left, start : start + each] = found
            best = found.min(1)
            promising = best.values <= 0
            work.judge(left[promising], part[best.indices[promising]])
        return starts, margins

    def _climb(self, work: _Work, rows: Tensor, points: Tensor, slopes: bool) -> None:
        """Signed steps down the margin; random ones from the best point where there is no slope, or it is zero."""
        width, every = work.box[:, 1] - work.box[:, 0], 1 if points.device.type == "cpu" else EVERY
        decay = (LAST_STEP / FIRST_STEP) ** (1 / max(1, self.steps - 1))
        best, least = points, torch.full((len(points),), torch.inf, device=points.device)
        for step in range(self.steps + 1):
            margins, gradient = work.climb(rows, points, slopes=slopes)
            better = margins < least
            best, least = torch.where(better[:, None], points, best), torch.where(better, margins, least)
            if step % every == 0 or step == self.steps:
                work.judge(rows[least <= 0], best[least <= 0])
                keep = ~work.success[rows]
                rows, points, best, least, gradient = (each[keep] for each in (rows, points, best, least, gradient))
                if not len(rows):
                    return
            noise = torch.randn(points.shape, generator=work.generator).to(points)
            flat = (gradient == 0).all(1, keepdim=True)
            move = FIRST_STEP * decay**step * width * torch.where(flat, noise, -gradient.sign())
            points = torch.where(flat, best, points) + move
            points = torch.minimum(torch.maximum(points, work.box[:, 0]), work.box[:, 1])
        work.judge(rows, best)

    def __repr__(self) -> str:
        return f"ChangeAttack({self.change.name}, looks={self.looks}, climbs={self.climbs}, steps={self.steps})"


class _Work:
    """The samples of a call, and the best that is known of each."""

    def __init__(
        self, change: Change, classifier: Classifier, x: Tensor, goal: Goal, box: Tensor, generator: torch.Generator
    ) -> None:
        self.change, self.classifier, self.x, self.goal = change, classifier, x, goal
        self.box, self.generator = box, generator
        self.ends = [end.to(x) for end in (classifier.input_box.lower, classifier.input_box.upper)]
        self.success = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.parameters = change.neutral(tuple(x.shape[1:])).to(x).repeat(len(x), 1)
        self.adversarials, self.margins = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
        self.tally = Tally.zeros(len(x), x.device)

    def pictures(self, rows: Tensor, parameters: Tensor) -> Tensor:
        """What parameters make of samples, in the input box."""
        changed = self.change.apply(self.x[rows], parameters)
        return torch.minimum(torch.maximum(changed, self.ends[0]), self.ends[1])

    def see(self, rows: Tensor, parameters: Tensor) -> Tensor:
        """Margins of samples ``rows [m]`` with ``parameters [m, p]``."""
        found = []
        for some, points in zip(torch.split(rows, ROWS), torch.split(parameters, ROWS), strict=True):
            with torch.no_grad():
                logits = self.classifier.logits(self.pictures(some, points)).float()
            found.append(self.goal.take(some).margin(logits))
        self.tally.add(rows, forward=1)
        return torch.cat(found)

    def climb(self, rows: Tensor, parameters: Tensor, *, slopes: bool) -> tuple[Tensor, Tensor]:
        """Margins and their gradients by the parameters; zeros without ``slopes``."""
        if not slopes:
            return self.see(rows, parameters), torch.zeros_like(parameters)
        margins, gradients = [], []
        for some, points in zip(torch.split(rows, ROWS), torch.split(parameters, ROWS), strict=True):
            with torch.enable_grad():
                leaf = points.detach().clone().requires_grad_()
                margin = self.goal.take(some).margin(self.classifier.logits(self.pictures(some, leaf)).float())
                finite = torch.where(torch.isfinite(margin), margin, 0.0)
                (gradient,) = torch.autograd.grad(finite.sum(), leaf, allow_unused=True)
            margins.append(margin.detach())
            gradients.append(torch.zeros_like(points) if gradient is None else gradient.nan_to_num(0.0, 0.0, 0.0))
        self.tally.add(rows, forward=1, backward=1)
        return torch.cat(margins), torch.cat(gradients)

    def begin(self) -> None:
        """Ask the real model about the samples as they are."""
        if not len(self.x):
            return
        logits = torch.cat([replayed(self.classifier, part) for part in torch.split(self.x, ROWS)])
        self.tally.add(torch.arange(len(self.x), device=self.x.device), forward=1)
        self.success, self.margins = self.goal.reached(logits), self.goal.margin(logits)

    def judge(self, rows: Tensor, parameters: Tensor) -> None:
        """Ask the real model about candidates; the best of each sample is kept. A sample may come several times."""
        if not len(rows):
            return
        points = self.pictures(rows, parameters)
        logits = torch.cat([replayed(self.classifier, part) for part in torch.split(points, ROWS)])
        self.tally.add(rows, forward=1)
        goal = self.goal.take(rows)
        broken, margins = goal.reached(logits), goal.margin(logits)
        order = torch.where(broken, -torch.inf, margins).argsort(stable=True)
        ranks = torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))
        first = torch.full_like(self.tally.forward, len(order)).scatter_reduce(0, rows, ranks, "amin")
        best = order[first[first < len(order)]]
        best = best[~self.success[rows[best]] & (broken[best] | (margins[best] < self.margins[rows[best]]))]
        kept = rows[best]
        self.success[kept], self.margins[kept] = broken[best], margins[best]
        self.parameters[kept], self.adversarials[kept] = parameters[best], points[best]

    def attempt(self) -> ChangeAttempt:
        """All of it."""
        return ChangeAttempt(
            self.success,
            self.parameters,
            self.adversarials,
            self.margins,
            torch.zeros_like(self.success),  # it looks and steps at random as well
            self.tally.forward,
            self.tally.backward,
        )
