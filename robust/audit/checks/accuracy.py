"""Is the answer right, and is the confidence true? Accuracy, calibration and confusions on the evaluation samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from robust.audit.check import Check, CheckSettings, Context, Passes, Payload, Results, Shard, blocks
from robust.calibration import (
    adaptive_calibration_error,
    balanced_accuracy,
    balanced_accuracy_interval,
    brier_scores,
    calibrated_reference,
    class_counts,
    confidences,
    confusion_matrix,
    expected_calibration_error,
    expected_calibration_error_interval,
    log_losses,
    reliability_curve,
    softmax,
)
from robust.calibration.evidence import (
    class_plot,
    class_table,
    confusion_table,
    reference_plot,
    reliability_plot,
    reliability_table,
)
from robust.record import Cost, Finding, Note, Outcome, Series
from robust.statistics import bootstrap_batched, wilson

CONTROL_LEVEL = 0.999


class AccuracySettings(CheckSettings):
    """Keys of ``[checks.accuracy]``."""

    bins: int = Field(default=15, ge=2, le=1000, description="equal-width bins of confidence for calibration")
    resamples: int = Field(default=1000, ge=100, description="bootstrap resamples")
    batch: int = Field(default=256, ge=1, description="samples per forward pass and shard")
    top_confusions: int = Field(default=20, ge=1, description="rows of the confusion list where classes are many")


@dataclass(frozen=True)
class _Answers:
    """What the model said to all samples."""

    logits: NDArray[np.floating]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    matrix: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.asarray(self.predictions == self.labels)


class AccuracyCheck(Check):
    """Accuracy, calibration and confusions, with shuffled labels as the control."""

    name = "accuracy"
    title = "Accuracy and calibration"
    question = "How often is the answer right, for which classes, and does the confidence say so truthfully?"
    limitations: ClassVar[tuple[str, ...]] = (
        "The numbers speak of samples drawn like the evaluation data; they say nothing of other places or years.",
        "Samples that the model was trained on make every number here too good; the audit cannot see that.",
    )
    Settings = AccuracySettings

    def plan(self, settings: AccuracySettings, context: Context) -> list[Shard]:
        """One shard per batch."""
        return [
            Shard(self.name, f"samples {part[0]}-{part[-1]}", {"batch": settings.batch}, part)
            for part in blocks(len(context.data), settings.batch)
        ]

    def run(self, shard: Shard, settings: AccuracySettings, context: Context) -> Payload:
        """Logits of the shard's samples, in the model's own arithmetic."""
        with torch.no_grad():
            logits = context.classifier.replay(context.samples(shard.indices))
        return {"logits": logits.detach().cpu().numpy()}

    def conclude(
        self, results: Results, settings: AccuracySettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Accuracy first, then classes, calibration and the controls."""
        logits = np.concatenate([payload["logits"] for _, payload in results])
        labels = context.data.labels
        predictions = logits.argmax(axis=1).astype(np.int64)
        matrix = confusion_matrix(labels, predictions, len(context.classifier.class_names))
        answers = _Answers(logits, softmax(logits), labels, predictions, matrix)
        return [
            self._accuracy(answers, settings, context),
            self._balanced(answers),
            *self._classes(answers, context),
            *self._calibration(answers, settings, context),
            *self._proper_scores(answers, settings, context),
            self._majority(answers),
            self._shuffled(answers, context),
        ]

    def estimate(self, settings: AccuracySettings, samples: int, classes: int) -> str:
        """Forward passes alone."""
        return f"{samples:,} forward passes"

    def passes(self, settings: AccuracySettings, samples: int, classes: int) -> Passes:
        """One forward pass a sample."""
        return Passes(forward=samples)

    def _accuracy(self, answers: _Answers, settings: AccuracySettings, context: Context) -> Finding:
        n, right = len(answers.labels), int(answers.right.sum())
        interval = wilson(right, n)
        bar = Series(label="the model", value=right / n, low=interval.low, high=interval.high)
        names = context.classifier.class_names
        return Finding(
            check=self.name,
            metric="accuracy",
            title=f"Right on {right:,} of {n:,} samples",
            value=right / n,
            unit="share",
            interval=interval,
            n=n,
            better="higher",
            protocol={"interval": "wilson", "arithmetic": "the model's own (replay)"},
            headline=True,
            evidence=(
                reference_plot(bar, _majority_rate(answers), 1 / len(names)),
                confusion_table(names, answers.matrix, settings.top_confusions),
            ),
            cost=Cost(forward_passes=n),
        )

    def _balanced(self, answers: _Answers) -> Finding:
        return Finding(
            check=self.name,
            metric="balanced_accuracy",
            title="Mean over classes of the share recognised",
            value=balanced_accuracy(answers.matrix),
            unit="share",
            interval=balanced_accuracy_interval(answers.matrix),
            n=len(answers.labels),
            better="higher",
            protocol={
                "interval": "MOVER: wilson limits of each recall in quadrature",
                "classes": int((answers.matrix.sum(axis=1) > 0).sum()),
            },
        )

    def _classes(self, answers: _Answers, context: Context) -> list[Finding]:
        names, counts = context.classifier.class_names, class_counts(answers.matrix)
        overall = float(answers.right.mean())
        findings = []
        for name, count in zip(names, counts, strict=True):
            common = {
                "check": self.name,
                "metric": "class_accuracy",
                "parameters": {"class": name},
                "unit": "share",
                "better": "higher",
                "protocol": {"interval": "wilson"},
            }
            if not count.actual:
                reason = f"the evaluation data hold no sample of class {name}, so nothing is known of it"
                findings.append(
                    Finding(
                        title=f"Class {name} recognised", n=0, outcome=Outcome.NOT_ASSESSED, reason=reason, **common
                    )
                )
                continue
            findings.append(
                Finding(
                    title=f"Class {name} recognised on {count.right:,} of {count.actual:,}",
                    value=count.recall,
                    interval=wilson(count.right, count.actual),
                    n=count.actual,
                    **common,
                )
            )
        evidence = (class_plot(names, counts, overall), class_table(names, counts))
        return [findings[0].model_copy(update={"evidence": evidence}), *findings[1:]]

    def _calibration(self, answers: _Answers, settings: AccuracySettings, context: Context) -> list[Finding]:
        confidence, right = confidences(answers.probabilities), answers.right
        curve = reliability_curve(confidence, right, settings.bins)
        value = expected_calibration_error(confidence, right, settings.bins)
        ideal = calibrated_reference(
            confidence, context.rng(self.name, "calibrated"), settings.bins, settings.resamples
        )
        usual, extreme = float(ideal.mean()), float(np.quantile(ideal, 0.95))
        reading = (
            f"A perfectly calibrated model with these confidences and {len(right):,} samples would show {usual:.4f} on "
            f"average and more than {extreme:.4f} in 5 % of draws; the error measured here is "
            + ("within what chance explains." if value <= extreme else "larger than chance explains.")
        )
        surplus = float(confidence.mean() - right.mean())
        interval = expected_calibration_error_interval(
            confidence, right, context.rng(self.name, "ece"), settings.bins, settings.resamples
        )
        common = {"check": self.name, "n": len(right), "better": "lower", "unit": "share"}
        return [
            Finding(
                metric="expected_calibration_error",
                title=f"Mean distance of confidence from accuracy ({'over' if surplus > 0 else 'under'}confident by "
                f"{abs(surplus):.4f} on average)",
                value=value,
                interval=interval.model_copy(update={"low": min(interval.low, value)}),
                protocol={
                    "bins": settings.bins,
                    "binning": "equal width",
                    "interval": "percentile bootstrap above, a calibrated model's noise off below; cautious at small n",
                },
                headline=True,
                evidence=(reliability_plot(curve), reliability_table(curve), Note(text=reading)),
                **common,
            ),
            Finding(
                metric="calibrated_reference_error",
                title="The same error of a perfectly calibrated model with these confidences",
                value=usual,
                protocol={"bins": settings.bins, "draws": settings.resamples, "method": "consistency resampling"},
                **common,
            ),
            Finding(
                metric="adaptive_calibration_error",
                title="The same over bins of equally many samples",
                value=adaptive_calibration_error(confidence, right, settings.bins),
                protocol={"bins": settings.bins, "binning": "equal count", "interval": "none"},
                **common,
            ),
        ]

    def _proper_scores(self, answers: _Answers, settings: AccuracySettings, context: Context) -> list[Finding]:
        classes = answers.probabilities.shape[1]
        scores = (
            ("brier_score", "", brier_scores(answers.probabilities, answers.labels), 1 - 1 / classes),
            ("negative_log_likelihood", "nats", log_losses(answers.logits, answers.labels), float(np.log(classes))),
        )
        titles = {
            "brier_score": "Mean squared distance of the probabilities from the truth",
            "negative_log_likelihood": "Mean surprise at the truth",
        }
        findings = []
        for metric, unit, values, uniform in scores:

            def mean(indices: NDArray[np.int64], values: NDArray[np.float64] = values) -> NDArray[np.float64]:
                return np.asarray(values[indices].mean(axis=1), dtype=np.float64)

            findings.append(
                Finding(
                    check=self.name,
                    metric=metric,
                    title=f"{titles[metric]} (uniform probabilities: {uniform:.4f})",
                    value=float(values.mean()),
                    unit=unit,
                    interval=bootstrap_batched(mean, len(values), context.rng(self.name, metric), settings.resamples),
                    n=len(values),
                    better="lower",
                    protocol={"interval": "percentile bootstrap over samples", "classes": classes},
                )
            )
        return findings

    def _majority(self, answers: _Answers) -> Finding:
        return Finding(
            check=self.name,
            metric="majority_class_rate",
            title="Accuracy of always answering the most frequent class",
            value=_majority_rate(answers),
            unit="share",
            n=len(answers.labels),
            protocol={"chance": 1 / answers.matrix.shape[0]},
        )

    def _shuffled(self, answers: _Answers, context: Context) -> Finding:
        n = len(answers.labels)
        shuffled = context.rng(self.name, "shuffled labels").permutation(answers.labels)
        agree = int((shuffled == answers.predictions).sum())
        expected = float(answers.matrix.sum(axis=0) @ answers.matrix.sum(axis=1)) / n**2
        interval = wilson(agree, n, CONTROL_LEVEL)
        holds = interval.low <= expected <= interval.high
        return Finding(
            check=self.name,
            metric="shuffled_label_accuracy",
            title="Accuracy against shuffled labels, which must be at chance",
            value=agree / n,
            unit="share",
            interval=interval,
            n=n,
            protocol={"interval": "wilson", "level": CONTROL_LEVEL, "expected": expected},
            outcome=Outcome.PASS if holds else Outcome.FAIL,
            reason=(
                f"the agreement expected by chance, {expected:.4f}, is "
                + (
                    "inside the interval"
                    if holds
                    else "outside the interval: answers and labels are not compared fairly"
                )
            ),
            control=True,
        )


def _majority_rate(answers: _Answers) -> float:
    return float(answers.matrix.sum(axis=1).max() / len(answers.labels))
