"""The checks, in the order in which they run and are reported. Adding a check is adding a line."""

from __future__ import annotations

from robust.audit.check import Check
from robust.audit.checks.absence import AbsenceCheck
from robust.audit.checks.accuracy import AccuracyCheck
from robust.audit.checks.attacks import AttacksCheck
from robust.audit.checks.branching import BranchingCheck
from robust.audit.checks.certificates import Certificates
from robust.audit.checks.corruptions import CorruptionsCheck
from robust.audit.checks.explanations import ExplanationsCheck
from robust.audit.checks.fairness import FairnessCheck
from robust.audit.checks.fooling import FoolingCheck
from robust.audit.checks.generation import GenerationCheck
from robust.audit.checks.individual_fairness import IndividualFairnessCheck
from robust.audit.checks.manipulations import ManipulationsCheck
from robust.audit.checks.ood import OodCheck
from robust.audit.checks.proofs import ProofsCheck
from robust.audit.checks.smt import SmtCheck

CHECKS: tuple[Check, ...] = (
    AccuracyCheck(),
    AttacksCheck(),
    Certificates(),
    SmtCheck(),
    BranchingCheck(),
    ProofsCheck(),
    ManipulationsCheck(),
    CorruptionsCheck(),
    FoolingCheck(),
    AbsenceCheck(),
    ExplanationsCheck(),
    OodCheck(),
    FairnessCheck(),
    IndividualFairnessCheck(),
    GenerationCheck(),
)
