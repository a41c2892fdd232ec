"""``robust fool``: fooling inputs for a model without a data set, by several methods, to be gone on with later."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.fooling import Fooling, FoolingMethod, GradientAscent, MapElites, PatternElites
from attacks.fooling.evolution import Evolution, Progress
from attacks.fooling.fooling import log_confidences
from robust.errors import DataFileError, UsageError
from robust.subjects.protocols import Classifier

MAKERS: Mapping[str, type[FoolingMethod]] = {
    "gradient": GradientAscent,
    "direct": MapElites,
    "cppn": PatternElites,
}
"""Names on the command line."""
FORMAT = 1

Arrays = dict[str, NDArray[Any]]
Watch = Callable[[str, int, int, int], None]
"""Told a method, the inputs shown so far, and how many classes of how many are done."""


@dataclass(eq=False)
class FoolingRun:
    """A run and what came of it.

    Attributes:
        classifier: the subject.
        methods: names of ``MAKERS``.
        targets: classes.
        confidence: at which a class is done.
        evaluations: inputs that each evolution may show to the model.
        seconds: for all methods together; None: no limit.
        seed: all randomness comes from it.
        made: method -> its inputs.
        states: evolution -> where it is.
        kept: what an earlier run made by other methods.
    """

    classifier: Classifier
    methods: tuple[str, ...]
    targets: list[int]
    confidence: float = 0.9999
    evaluations: int = 40_000
    seconds: float | None = None
    seed: int = 0
    made: dict[str, Fooling] = field(default_factory=dict)
    states: dict[str, Progress] = field(default_factory=dict)
    kept: Arrays = field(default_factory=dict)

    def run(self, watch: Watch) -> None:
        """All methods, one after the other; each gets its share of what time is left."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        for place, name in enumerate(self.methods):
            until = None if end is None else time.monotonic() + (end - time.monotonic()) / (len(self.methods) - place)
            self.made[name] = self._make(name, until, watch)

    def _make(self, name: str, until: float | None, watch: Watch) -> Fooling:
        if name == "gradient":
            found = GradientAscent(target=self.confidence)(self.classifier, self._generator(name, 0), self.targets)
            watch(name, found.evaluations, int((found.reached >= 0).sum()), len(self.targets))
            return found
        kind = MAKERS[name]
        method = kind(target=self.confidence, evaluations=self.evaluations)  # type: ignore[call-arg]
        if not isinstance(method, Evolution):
            raise TypeError(name)
        state = self.states.setdefault(name, method.begin(self.classifier, self.targets))

        def stop(now: Progress) -> bool:
            watch(name, now.used, int((now.reached >= 0).sum()), len(self.targets))
            return until is not None and time.monotonic() > until

        return method.evolve(
            self.classifier, self._generator(name, state.used), self.targets, progress=state, stop=stop
        )

    def _generator(self, name: str, used: int) -> torch.Generator:
        digest = int.from_bytes(f"{name} {self.seed} {used}".encode(), "little") % (2**63 - 1)
        return torch.Generator().manual_seed(digest)

    def arrays(self) -> Arrays:
        """Everything that was made, and what a later run needs to go on."""
        result: Arrays = {
            **self.kept,
            "format": np.array(FORMAT),
            "model": np.array(self.classifier.digest),
            "targets": np.array(self.targets, dtype=np.int64),
            "class_names": np.array([self.classifier.class_names[target] for target in self.targets]),
        }
        for name, found in self.made.items():
            result[f"{name}/inputs"] = found.inputs.cpu().numpy()
            result[f"{name}/confidences"] = found.confidences.cpu().numpy()
            result[f"{name}/reached"] = found.reached.cpu().numpy()
        for name, state in self.states.items():
            result[f"{name}/reached"] = state.reached.cpu().numpy()
            result[f"{name}/genomes"] = state.archive.elites.cpu().numpy()
            result[f"{name}/scores"] = state.archive.scores.cpu().numpy()
            result[f"{name}/state"] = np.array([state.generation, state.used], dtype=np.int64)
            result[f"{name}/history"] = np.array(state.history, dtype=np.float64).reshape(-1, 3)
        return result

    def resume(self, path: Path) -> None:
        """Take up the evolutions of an earlier run.

        Raises:
            DataFileError: it is no file of such a run.
            UsageError: of another model, or other classes.
        """
        wanted = "fooling.npz of an earlier robust fool of the same model and classes"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                stored = {name: file[name] for name in file.files}
            written = int(stored["format"].item()), str(stored["model"].item())
            same = written == (FORMAT, self.classifier.digest)
            if not same or stored["targets"].tolist() != self.targets:
                raise UsageError(f"{path} is of another model, or of other classes", wanted=wanted)
            for name in self.methods:
                if f"{name}/genomes" in stored:
                    self.states[name] = self._state(name, stored)
            others = tuple(f"{name}/" for name in MAKERS if name not in self.methods)
            self.kept = {name: value for name, value in stored.items() if name.startswith(others)} if others else {}
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
            raise DataFileError(f"cannot go on from {path}", wanted=wanted, got=error) from error

    def _state(self, name: str, stored: Arrays) -> Progress:
        method = MAKERS[name]()
        if not isinstance(method, Evolution):
            raise ValueError(f"{name} is no evolution")
        state = method.begin(self.classifier, self.targets)
        genomes = torch.from_numpy(stored[f"{name}/genomes"]).to(state.archive.elites)
        scores = torch.from_numpy(stored[f"{name}/scores"]).to(state.archive.scores)
        reached = torch.from_numpy(stored[f"{name}/reached"]).to(state.reached)
        if genomes.shape != state.archive.elites.shape or scores.shape != reached.shape:
            raise ValueError(f"the genomes of {name} have other shapes")
        state.archive.elites, state.archive.scores, state.reached = genomes, scores, reached
        state.generation, state.used = (int(number) for number in stored[f"{name}/state"])
        state.history = [(int(used), float(low), float(mid)) for used, low, mid in stored[f"{name}/history"]]
        return state


def confidences_of(classifier: Classifier, found: Fooling) -> NDArray[np.float64]:
    """Confidence of another model in the same classes for the same inputs: whether they transfer."""
    scores = log_confidences(classifier.replay(found.inputs.to(classifier.device)))
    own = scores.gather(1, found.targets.to(scores.device)[:, None])[:, 0].exp()
    return own.cpu().numpy().astype(np.float64)
