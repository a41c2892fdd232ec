"""What fooling inputs tell beside their confidence: which detectors see them, where the model looks, how they came."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.fooling import Fooling
from attacks.fooling.fooling import log_confidences
from robust.audit.check import Context, Payload
from robust.audit.fooling_names import METHOD_NAMES
from robust.audit.pictures import as_heat, as_picture, is_picture
from robust.data.dataset import Dataset
from robust.errors import GraphError, NonFiniteError, NotExplainableError
from robust.explanation import Explainer, Method
from robust.ood import Detector, activations_of, measure
from robust.ood.panel import DETECTORS, WORDS, fit_panel, score_panel
from robust.record import Curve, CurvePlot, Evidence, Finding, Images, image_item
from robust.subjects.protocols import Classifier

MAPS: tuple[Method, ...] = ("grad_cam", "integrated_gradients")
MAP_NAMES = {"grad_cam": "Grad-CAM", "integrated_gradients": "integrated gradients"}
STRIP_CLASSES = 6
"""Classes of an evolution that are shown on its way."""
LEVELS = tuple(float(level) for level in np.round(np.linspace(0, 1, 51), 2))
"""Confidences at which shares are drawn."""
FIT = 2000
"""Samples that detectors are fitted to, at most."""


def real_side(context: Context) -> Payload:
    """Of the evaluation samples: ``real_confidences``, and what each detector scores them, ``real_scores``."""
    panel, real = _panel(context), context.samples()
    scores = log_confidences(context.classifier.replay(real))
    found: Payload = {"real_confidences": scores.amax(1).exp().cpu().numpy(), "fitted_on": ""}
    if panel is None:
        return found
    detectors, held_out, fitted_on = panel
    shown = activations_of(context.classifier, real[held_out])
    real_scores = {f"real_scores/{name}": values for name, values in score_panel(detectors, shown).items()}
    return found | real_scores | {"fitted_on": fitted_on}


def told_by(made: Fooling, context: Context, gallery: int) -> Payload:
    """``scores/DETECTOR``, ``maps/METHOD`` for the first of the classes, ``strip`` of an evolution."""
    panel = _panel(context)
    result: Payload = strip_of(made)
    if panel is not None:
        scores = score_panel(panel[0], activations_of(context.classifier, made.inputs))
        result |= {f"scores/{name}": values for name, values in scores.items()}
    if gallery and is_picture(tuple(context.classifier.input_shape)):
        result |= {f"maps/{name}": maps for name, maps in _maps(made, context, gallery).items()}
    return result


def strip_of(made: Fooling) -> Payload:
    """``strip [moments, few, *shape]`` of an evolution, ``strip_at``, the inputs shown by then; empty for others."""
    if not made.strip:
        return {"strip_at": [], "strip": np.zeros(0, np.float32)}
    pictures = np.stack([inputs[:STRIP_CLASSES].cpu().numpy() for _, inputs in made.strip])
    return {"strip_at": [used for used, _ in made.strip], "strip": pictures}


def _panel(context: Context) -> tuple[dict[str, Detector], NDArray[np.int64], str] | None:
    """Detectors fitted to the reference, or to one half of the evaluation samples; which samples are left to score."""
    known: Dataset = context.data if context.reference is None or not len(context.reference) else context.reference
    everything = np.arange(len(context.data))
    picked = known.stratified_indices(FIT, context.seed)
    held_out, fitted_on = everything, "the reference"
    if known is context.data:
        picked = known.stratified_indices(min(FIT, len(known) // 2), context.seed)
        held_out, fitted_on = np.setdiff1d(everything, picked), "half of the evaluation samples"
    if len(picked) < 2 or not len(held_out) or len(np.unique(known.labels[picked])) < 2:
        return None
    samples = torch.from_numpy(np.ascontiguousarray(known.samples[picked])).to(context.device)
    labels = torch.from_numpy(np.ascontiguousarray(known.labels[picked])).to(context.device)
    try:
        detectors = fit_panel(tuple(DETECTORS), activations_of(context.classifier, samples), labels)
    except NonFiniteError:
        return None
    return detectors, held_out, fitted_on


def _maps(made: Fooling, context: Context, gallery: int) -> dict[str, NDArray[np.float32]]:
    baseline = context.samples().mean(0)
    explainer = Explainer.of(context.classifier, baseline)
    found: dict[str, NDArray[np.float32]] = {}
    for method in MAPS:
        try:
            maps = explainer.maps(method, made.inputs[:gallery], made.targets[:gallery])
        except (NotExplainableError, GraphError):
            continue
        found[method] = maps.cpu().numpy()
    return found


def _under(payload: Payload, name: str) -> dict[str, NDArray[np.float64]]:
    """The arrays ``name/...`` of a payload, by what follows."""
    start = f"{name}/"
    return {key.removeprefix(start): np.asarray(value) for key, value in payload.items() if key.startswith(start)}


def detected(made: Mapping[str, Payload], noise: Payload) -> list[Finding]:
    """For each method and detector: does the detector tell the fooling inputs from real ones?"""
    findings = []
    for method, payload in made.items():
        for detector, scores in _under(payload, "scores").items():
            real = noise.get(f"real_scores/{detector}")
            if real is None or not len(scores):
                continue
            found = measure(np.asarray(real), np.asarray(scores), np.random.default_rng(0))
            findings.append(
                Finding(
                    check="fooling",
                    metric="fooling_detected",
                    parameters={"method": method, "detector": detector},
                    title=f"{WORDS[detector]}: AUROC of fooling inputs by {METHOD_NAMES[method]} against real samples",
                    value=found["auroc"].value,
                    interval=found["auroc"].interval,
                    n=len(scores) + len(real),
                    better="higher",
                    protocol={"detector": detector, "method": method, "fitted on": str(noise["fitted_on"])},
                )
            )
    return findings


def confidence_plot(made: Mapping[str, Payload], noise: Payload) -> CurvePlot:
    """What share of each kind of input is at least so sure."""

    def share(values: object) -> tuple[float, ...]:
        array = np.asarray(values, dtype=np.float64)
        return tuple(float((array >= level).mean()) for level in LEVELS)

    curves = [Curve(label="real samples", x=LEVELS, y=share(noise["real_confidences"]), role="reference")]
    curves += [
        Curve(label=METHOD_NAMES[m], x=LEVELS, y=share(p["confidences"]), role="attack") for m, p in made.items()
    ]
    curves.append(Curve(label="random inputs", x=LEVELS, y=share(noise["largest"]), role="control"))
    return CurvePlot(
        title="How sure the model is of what shows something, and of what shows nothing",
        x_label="confidence",
        y_label="share of inputs with at least that",
        curves=tuple(curves),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        caption="Where the curve of fooling inputs lies above that of real samples, confidence says nothing.",
    )


def strips(made: Mapping[str, Payload], classifier: Classifier) -> list[Evidence]:
    """Evolutions as rows of pictures, one for each of a few classes."""
    if not is_picture(tuple(classifier.input_shape)):
        return []
    result: list[Evidence] = []
    for method, payload in made.items():
        strip, at = np.asarray(payload["strip"]), payload["strip_at"]
        if not len(at):
            continue
        rows = []
        for place in range(strip.shape[1]):
            name = classifier.class_names[int(payload["targets"][place])]
            pictures = [as_picture(moment[place], classifier.input_box) for moment in strip]
            last = as_picture(np.asarray(payload["inputs"][place]), classifier.input_box)
            alts = [f"elite of class {name} after {used} inputs shown" for used in at]
            shown = [image_item(p, alt=alt) for p, alt in zip(pictures, alts, strict=True)]
            rows.append((*shown, image_item(last, alt=f"final image of class {name}", caption=name)))
        result.append(
            Images(
                title=f"How the images of {METHOD_NAMES[method]} came about",
                columns=(*(f"{used:,}" for used in at), "last"),
                rows=tuple(rows),
                caption="One row for each class; above, the inputs shown to the model by then.",
            )
        )
    return result


def map_galleries(made: Mapping[str, Payload], limit: int, classifier: Classifier) -> list[Evidence]:
    """Fooling images with where the model looks for the class that it sees in them."""
    result: list[Evidence] = []
    for method, payload in made.items():
        maps = _under(payload, "maps")
        if not maps:
            continue
        rows = []
        for place in range(min(limit, *(len(each) for each in maps.values()))):
            name = classifier.class_names[int(payload["targets"][place])]
            picture = as_picture(np.asarray(payload["inputs"][place]), classifier.input_box)
            row = [image_item(picture, alt=f"fooling image by {METHOD_NAMES[method]}, class {name}", caption=name)]
            row += [
                image_item(as_heat(np.asarray(each[place])), alt=f"{MAP_NAMES[kind]} for class {name}")
                for kind, each in maps.items()
            ]
            rows.append(tuple(row))
        result.append(
            Images(
                title=f"Where the model looks in the images of {METHOD_NAMES[method]}",
                columns=("image", *(MAP_NAMES[kind] for kind in maps)),
                rows=tuple(rows),
                caption="For the class that it is fooled into. Red speaks for it, blue against.",
            )
        )
    return result
