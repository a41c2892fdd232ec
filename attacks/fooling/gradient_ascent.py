"""Fooling inputs by gradient ascent with an L2 penalty (Nguyen, Yosinski and Clune 2015, section 3.6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.attack import NoGradientError, gives_gradients
from attacks.fooling.fooling import (
    Fooling,
    FoolingMethod,
    log_confidences,
    replayed_confidences,
    resolve_targets,
    to_box,
)
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

PICTURE_AXES = 4
"""Of a batch of pictures ``[n, channels, height, width]``."""
SCOUT_BATCH = 100
"""Random inputs per forward pass."""


class GradientAscent(FoolingMethod):
    """Climbs ``log p(class | x) - penalty * ||u - centre||^2 / d`` with Adam, all classes in one batch.

    ``u`` is the input in the unit cube (0 and 1 are the ends of the box), ``d`` its number of coordinates. Each class
    starts from noise around the centre; classes that are done leave the batch. The others get further starts, each
    from the best of some random inputs of the box (where all gradients around the centre are zero, that is the way
    out), and with a tenth of the penalty of the one before, because near certainty ``log p`` is flat and the penalty
    alone would decide.

    Args:
        steps: Adam steps of one start.
        restarts: starts of a class that is not done.
        rate: Adam's rate, in the unit cube (Kingma and Ba 2015).
        penalty: weight of the L2 term at the first start; 0 for none.
        target: confidence at which a class is done.
        centre: what the penalty pulls to and starts lie around, a place in the unit cube.
        spread: half width of the uniform noise at the first start.
        draws: random inputs that are looked at before each later start, for all classes together.
        total_variation: of pictures, weight of the mean absolute difference of neighbours (Mahendran and Vedaldi 2015,
            section 3): smoother images; 0 for none.
        jitter: of pictures, each step shows the model the image moved by at most so many pixels round the edges
            (Mordvintsev et al. 2015): what is found does not hang on single places. The image not moved is kept.
    """

    name = "gradient_ascent"
    needs_gradients = True

    def __init__(
        self,
        *,
        steps: int = 200,
        restarts: int = 3,
        rate: float = 0.1,
        penalty: float = 0.1,
        target: float = 0.9999,
        centre: float = 0.5,
        spread: float = 0.1,
        draws: int = 500,
        total_variation: float = 0.0,
        jitter: int = 0,
    ) -> None:
        if steps < 1 or restarts < 1 or draws < 1 or not rate > 0 or not penalty >= 0:
            raise UsageError(
                "gradient ascent needs steps, restarts, draws and a rate", wanted="at least 1, and a rate above 0"
            )
        if not (0 < target <= 1 and 0 <= centre <= 1 and 0 <= spread <= 1):
            raise UsageError("a share is no share", wanted="0 < target <= 1; 0 <= centre, spread <= 1")
        if not total_variation >= 0 or jitter < 0:
            raise UsageError("smoothness is no smoothness", wanted="at least 0", got=(total_variation, jitter))
        self.total_variation, self.jitter = total_variation, jitter
        self.steps, self.restarts, self.rate, self.penalty = steps, restarts, rate, penalty
        self.target, self.centre, self.spread, self.draws = target, centre, spread, draws

    def __call__(
        self, classifier: Classifier, generator: torch.Generator, targets: Sequence[int] | None = None
    ) -> Fooling:
        """One input for each of ``targets``.

        Raises:
            NoGradientError: the subject gives no gradients.
        """
        classes = resolve_targets(classifier, targets)
        middle = to_box(torch.full((1, *classifier.input_shape), 0.5, device=classifier.device), classifier.input_box)
        if not gives_gradients(classifier, middle):
            raise NoGradientError(
                f"gradient ascent needs gradients and {classifier.name} gives none",
                wanted="a differentiable subject",
                got="a black box",
                hint="ask for map_elites, which needs confidences only",
            )
        search = _Search(self, classifier, classes, generator)
        for start in range(self.restarts):
            rows = torch.nonzero(search.reached < 0)[:, 0]
            if not len(rows):
                break
            shape = (len(classes) if start == 0 else self.draws, *classifier.input_shape)
            noise = torch.rand(shape, generator=generator)
            if start == 0:
                unit = (self.centre + (2 * noise - 1) * self.spread).clamp(0, 1).to(classifier.device)
            else:
                unit = search.scout(noise.to(classifier.device))
            search.climb(unit[rows], rows, self.penalty * 0.1**start)
        inputs = to_box(search.best, classifier.input_box)
        confidences = replayed_confidences(classifier, inputs, classes)
        return Fooling(
            inputs,
            classes,
            confidences,
            search.reached,
            search.forward + len(classes),
            search.backward,
            tuple((used, float(low), float(middle)) for used, low, middle in search.history),
        )


class _Search:
    """The best input of each class so far, and the climb of those that are not done."""

    def __init__(
        self, method: GradientAscent, classifier: Classifier, classes: Tensor, generator: torch.Generator
    ) -> None:
        self.method, self.classifier, self.classes, self.generator = method, classifier, classes, generator
        self.best = torch.full((len(classes), *classifier.input_shape), method.centre, device=classifier.device)
        self.scores = torch.full((len(classes),), -torch.inf, dtype=torch.float64, device=classifier.device)
        self.reached = torch.full((len(classes),), -1, dtype=torch.int64, device=classifier.device)
        self.forward = self.backward = 0
        self.history: list[tuple[int, Tensor, Tensor]] = []

    def climb(self, unit: Tensor, rows: Tensor, penalty: float) -> None:
        """One start of the classes in ``rows`` from ``unit [m, *shape]``."""
        first, second = torch.zeros_like(unit), torch.zeros_like(unit)
        for step in range(1, self.method.steps + 2):
            scores, gradient = self._look(unit, rows, penalty, last=step > self.method.steps)
            self._keep(unit, rows, scores)
            alive = self.reached[rows] < 0
            if step > self.method.steps or not bool(alive.any()):
                break
            rows, unit, gradient = rows[alive], unit[alive], gradient[alive]
            first, second = 0.9 * first[alive] + 0.1 * gradient, 0.999 * second[alive] + 0.001 * gradient**2
            move = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            unit = (unit + self.method.rate * move).clamp(0, 1)

    def scout(self, unit: Tensor) -> Tensor:
        """The best of ``unit [m, *shape]`` for each class, ``[k, *shape]``."""
        self.forward += len(unit)
        with torch.no_grad():
            points = (to_box(part, self.classifier.input_box) for part in torch.split(unit, SCOUT_BATCH))
            scores = torch.cat([log_confidences(self.classifier.logits(part)) for part in points])
        return unit[scores[:, self.classes].argmax(0)]

    def _look(self, unit: Tensor, rows: Tensor, penalty: float, *, last: bool) -> tuple[Tensor, Tensor]:
        """Log-confidences ``[m]`` and the gradient to climb ``[m, *shape]``."""
        targets = self.classes[rows]
        self.forward += len(rows)
        if last:
            with torch.no_grad():
                logits = self.classifier.logits(to_box(unit, self.classifier.input_box))
            return log_confidences(logits).gather(1, targets[:, None])[:, 0], unit
        self.backward += len(rows)
        with torch.enable_grad():
            leaf = unit.detach().clone().requires_grad_()
            shown = self._moved(leaf)
            scores = log_confidences(self.classifier.logits(to_box(shown, self.classifier.input_box)))
            own = scores.gather(1, targets[:, None])[:, 0]
            pull = penalty * (leaf - self.method.centre).flatten(1).square().mean(1)
            if self.method.total_variation and leaf.ndim == PICTURE_AXES:
                pull = pull + self.method.total_variation * roughness(leaf)
            (gradient,) = torch.autograd.grad((own - pull).sum(), leaf)
        if shown is not leaf:  # what counts is the image that is not moved
            self.forward += len(rows)
            with torch.no_grad():
                own = log_confidences(self.classifier.logits(to_box(unit, self.classifier.input_box)))
                own = own.gather(1, targets[:, None])[:, 0]
        return own.detach(), torch.where(torch.isfinite(gradient), gradient, torch.zeros_like(gradient))

    def _moved(self, unit: Tensor) -> Tensor:
        """All images moved round the edges by the same few pixels."""
        most = self.method.jitter
        if not most or unit.ndim != PICTURE_AXES:
            return unit
        down, right = torch.randint(-most, most + 1, (2,), generator=self.generator).tolist()
        return torch.roll(unit, (down, right), (2, 3)) if down or right else unit

    def _keep(self, unit: Tensor, rows: Tensor, scores: Tensor) -> None:
        better = scores > self.scores[rows]
        hit = rows[better]
        self.best[hit], self.scores[hit] = unit[better], scores[better]
        done = (self.scores >= math.log(self.method.target)) & (self.reached < 0)
        self.reached = torch.where(done, self.forward, self.reached)
        confidences = self.scores.exp()
        self.history.append((self.forward, confidences.min(), confidences.quantile(0.5)))


def roughness(unit: Tensor) -> Tensor:
    """Total variation: the mean absolute difference of neighbouring pixels of ``[n, c, h, w]``, ``[n]``."""
    down, right = unit.diff(dim=2).abs(), unit.diff(dim=3).abs()
    return (down.flatten(1).sum(1) + right.flatten(1).sum(1)) / max(1, down[0].numel() + right[0].numel())
