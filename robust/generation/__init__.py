"""Measures of generators. Each is a pure function in its own file; ``assess`` runs all of them on a set of samples."""

from robust.generation.assess import Assessment, CopyAssessment, assess, copy_test
from robust.generation.balance import Balance, balance
from robust.generation.copies import Copies, authentic, count_copies
from robust.generation.data_copying import copying_scores, copying_statistic
from robust.generation.diversity import ClassDiversity, class_diversity, mean_pairwise_distance
from robust.generation.frechet import frechet_distance, frechet_interval, frechet_of_gaussians
from robust.generation.judge import Judge, fit_judge
from robust.generation.manifold import ManifoldScores, manifold_scores
from robust.generation.real_side import RealSide, real_side
from robust.generation.sampling import draw, fit_into_box

__all__ = [
    "Assessment",
    "Balance",
    "ClassDiversity",
    "Copies",
    "CopyAssessment",
    "Judge",
    "ManifoldScores",
    "RealSide",
    "assess",
    "authentic",
    "balance",
    "class_diversity",
    "copy_test",
    "copying_scores",
    "copying_statistic",
    "count_copies",
    "draw",
    "fit_into_box",
    "fit_judge",
    "frechet_distance",
    "frechet_interval",
    "frechet_of_gaussians",
    "manifold_scores",
    "mean_pairwise_distance",
    "real_side",
]
