"""A record with every kind of evidence and every outcome, as a real audit of digits would write it."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from robust.record import (
    AuditRecord,
    Band,
    BarPlot,
    CheckRecord,
    Cost,
    Curve,
    CurvePlot,
    DataRecord,
    DecidedBar,
    Decisions,
    Finding,
    GateLevel,
    GateResult,
    ImageItem,
    Images,
    Interval,
    Note,
    Outcome,
    Series,
    SubjectRecord,
    Table,
    Threshold,
    Totals,
    Witness,
    image_item,
)

EPSILONS = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3)
PGD = (0.9725, 0.94, 0.8775, 0.6525, 0.36, 0.1475, 0.01)
FGSM = (0.9725, 0.9425, 0.8925, 0.73, 0.52, 0.335, 0.12)
CROWN = (0.9725, 0.91, 0.7425, 0.25, 0.03, 0.0, 0.0)
IBP = (0.9725, 0.7, 0.2, 0.0, 0.0, 0.0, 0.0)
NOISE = (0.9725, 0.9725, 0.97, 0.9625, 0.955, 0.94, 0.8975)


def wilson(share: float, n: int) -> Interval:
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half), method="wilson")


def share(check: str, metric: str, title: str, value: float, n: int = 400, **more: object) -> Finding:
    fields: dict[str, object] = {
        "check": check, "metric": metric, "title": title, "value": value, "unit": "share", "better": "higher",
        "interval": wilson(value, n), "n": n, "cost": Cost(seconds=0.4), **more,
    }  # fmt: skip
    return Finding.model_validate(fields)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def digit(label: int, rng: np.random.Generator, noise: float = 0.0) -> np.ndarray:
    """An 8 by 8 picture with strokes that differ by label."""
    image = np.zeros((8, 8))
    for bit, cells in enumerate([np.s_[1, 2:6], np.s_[1:7, 2], np.s_[1:7, 5], np.s_[6, 2:6]]):
        if (label + 5) >> bit & 1:
            image[cells] = 0.9
    return np.clip(image + rng.normal(0, 0.04 + noise, (8, 8)), 0, 1)


def pictures(rows: int) -> tuple[tuple[ImageItem, ...], ...]:
    rng = np.random.default_rng(0)
    result = []
    for label in range(rows):
        original = digit(label, rng)
        adversarial = np.clip(original + 0.1 * np.sign(rng.normal(size=(8, 8))), 0, 1)
        delta = 0.5 + (adversarial - original) * 4
        other = (label + 3) % 10
        result.append((
            image_item(original, alt=f"handwritten {label}", caption=f"{label}, 99.1 % sure"),
            image_item(delta, alt="the perturbation, amplified four times", caption="L-inf 0.1, times 4"),
            image_item(adversarial, alt=f"the same {label}, perturbed", caption=f"called {other}, 87.3 % sure"),
        ))  # fmt: skip
    return tuple(result)


def curve(label: str, ys: tuple[float, ...], role: str) -> Curve:
    ends = [wilson(y, 400) for y in ys]
    band = Band(low=tuple(min(e.low, y) for e, y in zip(ends, ys, strict=True)),
                high=tuple(max(e.high, y) for e, y in zip(ends, ys, strict=True)))  # fmt: skip
    return Curve.model_validate({"label": label, "x": EPSILONS, "y": ys, "band": band, "role": role})


def accuracy_check() -> CheckRecord:
    perfect = Curve(label="perfect calibration", x=(0.0, 1.0), y=(0.0, 1.0), role="reference")
    xs = (0.15, 0.35, 0.55, 0.75, 0.95)
    ys = (0.2, 0.41, 0.5, 0.7, 0.97)
    reliability = Curve(label="digits-cnn", x=xs, y=ys, band=Band(low=(0.05, 0.3, 0.42, 0.64, 0.95),
                                                                 high=(0.4, 0.52, 0.6, 0.77, 0.98)))  # fmt: skip
    plot = CurvePlot(title="Reliability", x_label="stated confidence", y_label="accuracy at that confidence",
                     curves=(reliability, perfect), x_range=(0, 1), y_range=(0, 1),
                     caption="On the dotted line, a stated confidence of 80 % is right 80 % of the time.")  # fmt: skip
    recalls = [0.99, 0.96, 0.98, 0.95, 1.0, 0.97, 0.99, 0.96, 0.91, 0.94]
    bars = BarPlot(title="Accuracy per class", y_label="share answered rightly", y_range=(0, 1),
                   series=tuple(Series(label=f"digit {i}", value=r, low=wilson(r, 40).low, high=wilson(r, 40).high)
                                for i, r in enumerate(recalls)))  # fmt: skip
    return CheckRecord(
        name="accuracy", title="Accuracy and calibration", level=GateLevel.ERROR, status="completed",
        question="How often is the answer right, and does the model know when it is not?", seconds=1.2, shards=7,
        limitations=("Samples come from one source; another pen or scanner may give other numbers.",),
        findings=(
            share("accuracy", "accuracy", "Accuracy on clean samples", 0.9725, headline=True, evidence=(bars,),
                  threshold=Threshold(minimum=0.9, level=GateLevel.ERROR), outcome=Outcome.PASS,
                  reason="The whole interval is at least 90.0 %.", protocol={"data": "digits", "split": "held out"}),
            Finding(check="accuracy", metric="ece", title="Expected calibration error", value=0.0213, better="lower",
                    interval=Interval(low=0.012, high=0.034, method="bootstrap (1000)"), n=400, evidence=(plot,),
                    protocol={"bins": 15, "binning": "equal width"}),
            *(share("accuracy", "class_accuracy", f"Accuracy on digit {i}", r, 40, parameters={"class": f"digit {i}"})
              for i, r in enumerate(recalls)),
        ),
    )  # fmt: skip


def attack_check() -> CheckRecord:
    plot = CurvePlot(
        title="Accuracy under attack, L-inf", x_label="epsilon (input units)", y_label="share of samples",
        curves=(curve("PGD, 40 steps, 5 restarts", PGD, "attack"), curve("FGSM", FGSM, "main"),
                curve("uniform noise", NOISE, "control")), x_range=(0.0, 0.3), y_range=(0.0, 1.0),
        caption="Every curve is an upper limit of the true robustness; the control must lie above the attacks.",
    )  # fmt: skip
    judged = Threshold(minimum=0.6, level=GateLevel.ERROR)
    return CheckRecord(
        name="attacks", title="Gradient attacks", level=GateLevel.ERROR, status="completed", seconds=38.1, shards=98,
        question="How many answers survive the strongest small change that a gradient attack finds?",
        threat_model="The adversary knows the network and its weights, and may change every pixel by at most epsilon.",
        limitations=("A stronger or an adaptive attack may find more; these numbers are upper limits.",
                     "L-inf and L2 balls are not all the changes that occur in the world."),
        findings=(
            share("attacks", "accuracy_under_attack", "Accuracy under PGD, L-inf, epsilon 0.1", 0.6525,
                  parameters={"norm": "linf", "epsilon": 0.1, "attack": "pgd"}, threshold=judged, headline=True,
                  outcome=Outcome.INCONCLUSIVE, reason="The interval [60.5, 69.7] starts just above the threshold in "
                  "one seed and below in another; with the two joined it contains 60.0 %.", evidence=(plot,)),
            share("attacks", "accuracy_under_attack", "Accuracy under PGD, L-inf, epsilon 0.2", 0.1475,
                  parameters={"norm": "linf", "epsilon": 0.2, "attack": "pgd"}, threshold=judged, headline=True,
                  outcome=Outcome.FAIL, reason="The whole interval lies below 60.0 %.",
                  cost=Cost(seconds=12.5, forward_passes=80000, backward_passes=80000),
                  evidence=(Images(title="Broken with the smallest epsilon", rows=pictures(8),
                                   columns=("original", "perturbation", "adversarial"),
                                   caption="The least that was needed to change the answer."),
                            Witness(title="Adversarial inputs", path="witnesses/attacks-linf.npz", count=341,
                                    sha256=digest("w"), caption="float32, input units, replayed with onnxruntime."))),
            share("attacks", "accuracy_under_attack", "Accuracy under PGD, L2, epsilon 1.0", 0.585,
                  parameters={"norm": "l2", "epsilon": 1.0, "attack": "pgd"}, outcome=Outcome.FAIL,
                  threshold=Threshold(minimum=0.7, level=GateLevel.WARN), reason="The whole interval is below 70.0 %."),
            share("attacks", "accuracy_under_noise", "Accuracy under uniform noise, epsilon 0.1", 0.9625, control=True,
                  parameters={"norm": "linf", "epsilon": 0.1}, outcome=Outcome.PASS,
                  reason="Random noise breaks fewer samples than the attack, as it must."),
        ),
    )  # fmt: skip


def certificate_check() -> CheckRecord:
    plot = CurvePlot(
        title="What is known, L-inf", x_label="epsilon (input units)", y_label="share of samples",
        curves=(curve("CROWN", CROWN, "certificate"), curve("interval bounds", IBP, "certificate"),
                curve("PGD", PGD, "attack")), x_range=(0.0, 0.3), y_range=(0.0, 1.0),
        caption="Whiskers are 95 % Wilson intervals.",
    )  # fmt: skip
    return CheckRecord(
        name="certificates", title="Certified accuracy", level=GateLevel.ERROR, status="completed", seconds=9.7,
        question="How many answers are proved to survive every change of a given size?", shards=28,
        threat_model="Any change of every pixel by at most epsilon, however it is found.",
        limitations=("Bounds hold in float32 arithmetic rounded to nearest, without a margin for rounding.",),
        findings=(
            share("certificates", "certified_accuracy", "Certified accuracy, L-inf, epsilon 0.05", 0.7425,
                  parameters={"norm": "linf", "epsilon": 0.05, "method": "crown"}, headline=True, evidence=(plot,),
                  threshold=Threshold(minimum=0.5, level=GateLevel.ERROR), outcome=Outcome.PASS,
                  reason="The whole interval is at least 50.0 %.", protocol={"arithmetic": "float32"}),
        ),
    )  # fmt: skip


def decisions() -> Decisions:
    """Sixty samples at two radii, every engine among them."""
    proofs, breaks = ("interval", "crown-ibp", "crown", "alpha-crown", "branch and bound", "smt"), ("attack", "smt")
    bars = []
    for label, share in (("0.05", 5), ("0.1", 3)):
        engines = [proofs[i % 6] if i % 6 < share else breaks[i % 2] if i % 4 else "" for i in range(60)]
        verdicts = ["proved" if i % 6 < share else "broken" if i % 4 else "undecided" for i in range(60)]
        engines[1], verdicts[1] = "misclassified", "broken"
        seconds = tuple(0.0 if i == 1 else 0.002 * 1.13**i for i in range(60))
        bars.append(DecidedBar(label=label, verdicts=tuple(verdicts), engines=tuple(engines), seconds=seconds))
    return Decisions(title="What decided each sample within L-inf balls", bar_label="epsilon (input units)",
                     samples=tuple(f"digits/{i:04d}" for i in range(60)), bars=tuple(bars),
                     caption="Proofs from the left, what is broken from the right.")  # fmt: skip


def smt_check() -> CheckRecord:
    rows = tuple(
        (f"digits/{i:04d}", i % 10, answer, seconds, reason)
        for i, answer, seconds, reason in [
            (3, "verified", 4.1, "no input of the ball reaches another class, in exact rational arithmetic"),
            (17, "falsified", 2.2, "a witness was found and replayed with onnxruntime"),
            (42, "unknown", 30.0, "the time limit of 30 s was reached"), (77, "verified", 8.0, ""),
        ]
    )  # fmt: skip
    return CheckRecord(
        name="smt", title="Exact verification of a few samples", level=GateLevel.ERROR, status="completed",
        question="For a few samples: is there any input in the ball that changes the answer?", seconds=44.3, shards=4,
        findings=(
            Finding(check="smt", metric="decided", title="Samples decided by Z3 at epsilon 0.05", value=3, n=4,
                    outcome=Outcome.INCONCLUSIVE, reason="1 of 4 samples stayed unknown: time limit.",
                    evidence=(Table(title="Verdict per sample", columns=("sample", "label", "verdict", "s", "reason"),
                                    rows=rows),
                              decisions(), Note(text="Exact rational arithmetic; the network computes in float32."))),
        ),
    )  # fmt: skip


def fooling_check() -> CheckRecord:
    rng = np.random.default_rng(3)
    items = tuple(
        image_item(rng.random((8, 8)), alt=f"noise that the model calls {i}", caption=f"{i}: {99.9 - i / 3:.1f} %")
        for i in range(10)
    )
    return CheckRecord(
        name="fooling", title="Fooling images", level=GateLevel.WARN, status="completed", seconds=6.5, shards=2,
        question="Can the model be made sure of a class by a picture that shows nothing?",
        findings=(
            share("fooling", "fooled_classes", "Classes fooled at 99 % confidence", 1.0, 10, better="lower",
                  evidence=(Images(title="One elite per class, MAP-Elites", rows=(items,)),
                            Note(text="Confidence alone must not be used to reject foreign inputs.",
                                 level="warning"))),
        ),
    )  # fmt: skip


def ood_check() -> CheckRecord:
    scores = {"maximum softmax": 0.931, "energy": 0.957, "Mahalanobis": 0.988}
    bars = BarPlot(title="AUROC on far data", y_label="AUROC", y_range=(0.0, 1.0), series=(
        *(Series(label=k, value=v, low=v - 0.02, high=min(1, v + 0.015)) for k, v in scores.items()),
        Series(label="random score (control)", value=0.502, low=0.47, high=0.53, role="control")))  # fmt: skip
    return CheckRecord(
        name="ood", title="Out-of-distribution detection", level=GateLevel.ERROR, status="completed", seconds=3.0,
        question="Does a score tell inputs of another kind from those the model was made for?", shards=12,
        findings=(
            Finding(check="ood", metric="auroc", title="AUROC, Mahalanobis, noise", value=0.988, n=800, headline=True,
                    parameters={"detector": "mahalanobis", "far": "noise"}, better="higher", evidence=(bars,),
                    interval=Interval(low=0.979, high=0.994, method="bootstrap (1000)")),
            Finding(check="ood", metric="auroc", title="AUROC of a random score", value=0.61, n=800, control=True,
                    parameters={"detector": "random", "far": "noise"}, outcome=Outcome.FAIL,
                    interval=Interval(low=0.57, high=0.65, method="bootstrap (1000)"),
                    reason="A random score must not tell the sets apart: the interval leaves out 0.5."),
            Finding(check="ood", metric="fpr95", title="FPR at 95 % TPR, near set", outcome=Outcome.NOT_ASSESSED,
                    parameters={"detector": "energy", "far": "near"}, reason="No near set was given."),
            Finding(check="ood", metric="auroc", title="AUROC, energy, noise", value=0.957, n=800, better="higher",
                    parameters={"detector": "energy", "far": "noise"}, outcome=Outcome.PASS,
                    interval=Interval(low=0.94, high=0.97, method="bootstrap (1000)"),
                    threshold=Threshold(minimum=0.9, level=GateLevel.ERROR), reason="The interval is above 0.9."),
        ),
    )  # fmt: skip


def sample_record() -> AuditRecord:
    checks = (
        accuracy_check(), attack_check(), certificate_check(), smt_check(), fooling_check(), ood_check(),
        CheckRecord(name="fairness", title="Fairness between groups", level=GateLevel.ERROR, status="not assessed",
                    question="Are some groups served worse, or attacked more easily?",
                    reason="The data have no group column; name one in the plan under data.groups."),
        CheckRecord(name="generator", title="Generator", level=GateLevel.ERROR, status="failed", seconds=0.3,
                    question="Does the generator make what it is asked for, without copying?",
                    reason="NonFiniteError: the decoder's weights hold 12 NaN."),
    )  # fmt: skip
    gate = GateResult(
        verdict="failed", exit_status=1,
        sentence="The audit failed: 1 finding missed its threshold and 1 control failed; 5 questions stayed open.",
        totals=Totals(passed=4, failed=2, warned=1, inconclusive=2, not_assessed=1, measured=13),
        failures=("attacks/accuracy_under_attack?attack=pgd&epsilon=0.2&norm=linf",
                  "ood/auroc?detector=random&far=noise"),
        warnings=("attacks/accuracy_under_attack?attack=pgd&epsilon=1.0&norm=l2",),
        undecided=("attacks/accuracy_under_attack?attack=pgd&epsilon=0.1&norm=linf", "smt/decided",
                   "ood/fpr95?detector=energy&far=near", "fairness", "generator"),
    )  # fmt: skip
    return AuditRecord(
        title="Digits classifier, release candidate 3", tool_version="0.1.0", seed=7, device="cpu",
        plan={"seed": 7, "model": {"path": "digits.onnx", "input_box": [0, 1]},
              "checks": {"attacks": {"epsilons": list(EPSILONS), "gate": "error"}, "smt": {"seconds": 30}}},
        command="robust audit examples/digits/robust.toml --seed 7 --samples 400",
        versions={"robust-audit": "0.1.0", "torch": "2.13.0", "numpy": "2.4.0", "onnxruntime": "1.23.0"},
        platform="Linux x86_64, Python 3.11, 2 cores",
        subjects=(SubjectRecord(name="digits-cnn", source="examples/digits/digits.onnx", format="onnx",
                                sha256=digest("m"), parameters=9098, input_shape=(1, 8, 8), input_box="[0, 1]",
                                class_names=tuple(f"digit {i}" for i in range(10)),
                                notes=("Labels were matched to outputs by their order.",)),),
        data=(DataRecord(name="scikit-learn digits", source="builtin:digits", sha256=digest("d"), samples=797,
                         used=400, sample_shape=(1, 8, 8), class_counts={f"digit {i}": 40 for i in range(10)}),
              DataRecord(name="uniform noise", role="out-of-distribution", source="builtin:noise", sha256=digest("n"),
                         samples=400, used=400, sample_shape=(1, 8, 8))),
        checks=checks, gate=gate, started="2026-01-02T10:00:00+00:00", finished="2026-01-02T10:01:44+00:00",
        seconds=104.0,
        not_asked=("Rotations, blur, weather and other changes of the real world.",
                      "Attacks on the training data, and theft of the model.",
                      "Any input outside the box [0, 1]."),
    )  # fmt: skip
