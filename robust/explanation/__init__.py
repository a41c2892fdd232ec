"""Explanations of single answers, and measures of whether they can be believed.

Pure functions of a network, a batch and a class. The maps stand on captum, which is imported when the first map is
made: it imports matplotlib, and nobody else should wait for that.
"""

from robust.explanation.explainer import METHODS, Explainer, Method
from robust.explanation.grad_cam import grad_cam, guided_grad_cam
from robust.explanation.insertion_deletion import Curves, insertion_deletion
from robust.explanation.integrated_gradients import integrated_gradients
from robust.explanation.occlusion import occlusion
from robust.explanation.pointing import mass_inside, pointing_hits
from robust.explanation.randomisation import shuffled_weights, unrelated_correlation
from robust.explanation.rank_correlation import rank_correlation
from robust.explanation.stability import attacked, noisy

__all__ = [
    "METHODS",
    "Curves",
    "Explainer",
    "Method",
    "attacked",
    "grad_cam",
    "guided_grad_cam",
    "insertion_deletion",
    "integrated_gradients",
    "mass_inside",
    "noisy",
    "occlusion",
    "pointing_hits",
    "rank_correlation",
    "shuffled_weights",
    "unrelated_correlation",
]
