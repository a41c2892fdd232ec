"""What is audited: protocols, and the ways a trained model comes in."""

from robust.subjects.protocols import Classifier, Generator, Subject

__all__ = ["Classifier", "Generator", "Subject"]
