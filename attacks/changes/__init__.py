"""Changes of a whole picture that a few numbers steer, and the attack that looks for the worst of them."""

from attacks.changes.attack import ChangeAttack, ChangeAttempt
from attacks.changes.change import Chain, Change
from attacks.changes.colours import Colour, Light
from attacks.changes.frequency import Jpeg, Waves
from attacks.changes.geometry import Elastic, Moving
from attacks.changes.sharpness import Blur

__all__ = [
    "Blur",
    "Chain",
    "Change",
    "ChangeAttack",
    "ChangeAttempt",
    "Colour",
    "Elastic",
    "Jpeg",
    "Light",
    "Moving",
    "Waves",
]
