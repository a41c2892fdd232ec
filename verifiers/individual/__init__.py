"""People compared with their counterparts over a whole domain: bounds, splitting, neurons, Z3."""

from verifiers.individual.finish import FinishBudget, Finisher
from verifiers.individual.questions import PairQuestion, never_falls, same_decision
from verifiers.individual.search import survey
from verifiers.individual.survey import Budget, Pair, Part, Survey

__all__ = [
    "Budget",
    "FinishBudget",
    "Finisher",
    "Pair",
    "PairQuestion",
    "Part",
    "Survey",
    "never_falls",
    "same_decision",
    "survey",
]
