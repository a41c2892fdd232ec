"""Realism against activation: the Plug and Play sampler with priors from none to strong, and what a judge sees."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attacks.fooling import LinearDenoiser, PlugAndPlay
from attacks.fooling.nearest import nearest_distances
from robust.audit.check import Context, Payload
from robust.audit.pictures import as_picture, is_picture
from robust.generation.judge import fit_judge
from robust.properties import Box
from robust.record import Curve, CurvePlot, Evidence, Finding, Images, Table, image_item

REALISM = "plug_and_play"
PRIORS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the prior, beside a condition of weight 1."""
MOST_CHAINS = 10
"""Classes for which chains are run, one each."""
MOST_INPUTS = 1024
"""Coordinates of an input for which a denoiser is fitted, at most: its covariance has their square."""
FEWEST = 20
"""Reference samples that it takes."""
SIGMA = 0.2
"""Noise of the denoiser, as a share of the box."""
FIT = 2000
"""Samples that denoiser and judge are fitted to, at most."""
STEPS = 100


def _unit(samples: Tensor, box: Box) -> Tensor:
    """Samples as shares of the box; a coordinate without width is 0."""
    width = box.upper - box.lower
    return torch.where(width > 0, (samples - box.lower) / width.clamp_min(1e-30), 0.0)


def realism_possible(context: Context) -> bool:
    """Whether there is a reference of at least two classes, of inputs that are not too large."""
    known = context.reference
    if known is None or len(known) < FEWEST or len(np.unique(known.labels)) < 2:
        return False
    return int(np.prod(context.classifier.input_shape)) <= MOST_INPUTS


def realism_payload(context: Context, targets: list[int], generator: torch.Generator) -> Payload:
    """A chain for each class and prior: ``inputs [p, k, *shape]``, ``confidences``, ``nearest``, ``judged``."""
    classifier, known = context.classifier, context.reference
    assert known is not None
    picked = known.stratified_indices(FIT, context.seed)
    samples = torch.from_numpy(np.ascontiguousarray(known.samples[picked])).to(context.device)
    box, labels = classifier.input_box, known.labels[picked]
    unit = _unit(samples, box).flatten(1)
    denoiser = LinearDenoiser.fit(unit, SIGMA)
    judge = fit_judge(unit.cpu().numpy().astype(np.float64), labels, context.rng("fooling", REALISM))
    wanted = torch.tensor(targets, dtype=torch.int64, device=context.device)
    start = 0.5 + 0.1 * torch.randn(len(targets), *classifier.input_shape, generator=generator).to(context.device)
    made, sure, near, seen = [], [], [], []
    for prior in PRIORS:
        sampler = PlugAndPlay(eps1=prior, eps2=1.0, eps3=1e-3, steps=STEPS, normalise=True, rate=0.02)
        chain = sampler(
            classifier, start, wanted, generator, denoiser=denoiser,
            decode=lambda codes: box.lower + codes * (box.upper - box.lower),
        )  # fmt: skip
        made.append(chain.inputs.cpu().numpy())
        sure.append(chain.confidences.cpu().numpy())
        near.append(nearest_distances(chain.inputs, samples).cpu().numpy())
        flat = _unit(chain.inputs, box).flatten(1).cpu().numpy().astype(np.float64)
        seen.append(judge(flat) == np.array(targets))
    evaluation = _unit(context.samples(), box).flatten(1).cpu().numpy().astype(np.float64)
    return {
        "targets": np.array(targets, dtype=np.int64),
        "inputs": np.stack(made),
        "confidences": np.stack(sure),
        "nearest": np.stack(near),
        "judged": np.stack(seen),
        "judge": judge.name,
        "judge_accuracy": float((judge(evaluation) == context.data.labels).mean()),
    }


def realism_finding(payload: Payload, context: Context) -> Finding:
    """How much of what the model is sure of a judge sees as well, without a prior; the curve as evidence."""
    judged, sure = np.asarray(payload["judged"], dtype=bool), np.asarray(payload["confidences"])
    near = np.asarray(payload["nearest"])
    agreement, activation = judged.mean(1), np.median(sure, 1)
    curve = CurvePlot(
        title="Realism against activation",
        x_label="weight of the prior, beside a condition of weight 1",
        y_label="share, confidence",
        curves=(
            Curve(label="the judge sees the class", x=PRIORS, y=tuple(map(float, agreement)), role="main"),
            Curve(label="the model's confidence, median", x=PRIORS, y=tuple(map(float, activation)), role="attack"),
        ),
        y_range=(0.0, 1.0),
        caption="On the left a fooling attack: the model is sure, the judge sees nothing. With a prior the images go "
        "back to the data, and what they show is what the class means to the model.",
    )
    table = Table(
        title="Realism against activation",
        columns=("weight of the prior", "judge sees the class", "median confidence", "median distance to the data"),
        rows=tuple(
            (prior, float(f"{a:.3g}"), float(f"{c:.4g}"), float(f"{np.median(d):.4g}"))
            for prior, a, c, d in zip(PRIORS, agreement, activation, near, strict=True)
        ),
        caption=f"The judge ({payload['judge']}) is right on {payload['judge_accuracy']:.1%} of evaluation samples.",
    )
    evidence: tuple[Evidence, ...] = (curve, table, *_pictures(payload, context))
    return Finding(
        check="fooling",
        metric="judge_agreement",
        parameters={"method": REALISM, "prior": 0.0},
        title="Images that the model is made sure of without a prior, and in which an independent judge sees the class",
        value=float(agreement[0]),
        unit="share",
        n=judged.shape[1],
        better="neither",
        protocol={"steps": STEPS, "judge": str(payload["judge"]), "step": "normalised"},
        evidence=evidence,
    )


def _pictures(payload: Payload, context: Context) -> list[Evidence]:
    classifier = context.classifier
    if not is_picture(tuple(classifier.input_shape)):
        return []
    inputs, sure = np.asarray(payload["inputs"]), np.asarray(payload["confidences"])
    rows = []
    for place, target in enumerate(payload["targets"]):
        name = classifier.class_names[int(target)]
        rows.append(
            tuple(
                image_item(
                    as_picture(inputs[p, place], classifier.input_box),
                    alt=f"class {name} sampled with a prior of {prior:g}",
                    caption=f"{name} at {sure[p, place]:.2f}",
                )
                for p, prior in enumerate(PRIORS)
            )
        )
    return [
        Images(
            title="What each class means to the model",
            columns=tuple(f"prior {prior:g}" for prior in PRIORS),
            rows=tuple(rows),
            caption="The same sampler from no prior (a fooling attack) to a strong one (Plug and Play).",
        )
    ]
