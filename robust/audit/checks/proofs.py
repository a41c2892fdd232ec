"""The check ``proofs``: some of what is proved, as files that anybody can check, and what the checker makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    Payload,
    Results,
    Shard,
)
from robust.audit.checks.sandwich import Answers
from robust.audit.decided import Sources
from robust.audit.proving import INVALID, NOTHING, OPEN, VALID, BallProver
from robust.audit.radii import epsilon_grids
from robust.audit.run_directory import keep_file
from robust.graph.onnx_file import OnnxFile
from robust.record import Finding, Outcome, ProofFile, Proofs, Verdict
from robust.statistics import wilson
from verifiers.proof_file import file_digest

FOLDER = "proofs"
WORDS = {
    VALID: "robust check: valid",
    OPEN: "robust check: beyond it; the search is trusted",
    INVALID: "robust check: INVALID",
}


class ProofsSettings(CheckSettings):
    """Keys of ``[checks.proofs]``."""

    epsilon: float | None = Field(
        default=None,
        gt=0,
        description="radius of the L-inf balls, in input units; default the attacks' middle one",
    )
    samples: int = Field(default=8, ge=1, description="balls to prove, those first that other checks have proved")
    seconds: float = Field(default=10.0, gt=0, le=86_400, description="wall clock of the search for one proof, at most")


class ProofsCheck(Check):
    """Proof files beside the record, each established again by ``robust.checker``."""

    name: ClassVar[str] = "proofs"
    title: ClassVar[str] = "Proofs that can be checked"
    question: ClassVar[str] = (
        "Can what is proved be established again by a program that shares no code with what proved it?"
    )
    threat_model: ClassVar[str] = (
        "A fault of this suite: in its search, its bounds, its reading of the model, or in the libraries it stands on."
    )
    limitations: ClassVar[tuple[str, ...]] = (
        "The checker speaks of the stored weights as a function of real numbers. That float32 runs do not matter is "
        "shown by the search alone, which bounds their rounding in the same pass.",
        "Only some balls are proved anew and written down, those first that other checks have proved: the shares say "
        "nothing about other balls. Proofs of the other checks are as good as this suite is.",
        "What is beyond the checker is named; it is not refuted by that. What Z3 proves elsewhere rests on Z3.",
        "The search may stop at its time limit, so another machine may write fewer proofs.",
    )
    Settings: ClassVar[type[CheckSettings]] = ProofsSettings

    def __init__(self) -> None:
        self._provers: dict[str, BallProver] = {}

    def plan(self, settings: ProofsSettings, context: Context) -> list[Shard]:
        """A shard for each ball.

        Raises:
            NotApplicableError: not an ONNX file that reads the samples as they are and answers with scores per class.
        """
        self._file(context)
        right = np.flatnonzero(np.asarray(context.predictions == context.data.labels))
        return self._shards(right.tolist(), settings, context)

    def follow(self, settings: ProofsSettings, context: Context, earlier: Mapping[str, Results]) -> list[Shard]:
        """Those first that certificates or branch and bound have proved."""
        self._file(context)
        right = np.asarray(context.predictions == context.data.labels)
        answers = Answers.collect(earlier.get("certificates", ()), earlier.get("attacks", ()), len(context.data))
        attacks, certificates = earlier.get("attacks", ()), earlier.get("certificates", ())
        sources = Sources(right, answers, attacks, certificates, (), earlier.get("branching", ()))
        standing = sources.standing("linf", self._epsilon(settings, context))
        order = np.argsort(~standing.proved, kind="stable")
        return self._shards([int(i) for i in order if right[i] and not standing.broken[i]], settings, context)

    def run(self, shard: Shard, settings: ProofsSettings, context: Context) -> Payload:
        """``query`` (text), ``proof`` (bytes), ``verdict``, ``real``, ``deployed``, ``stage``, ``reason``, ``checked``,
        ``said``, ``search_seconds``, ``check_seconds``."""
        (index,) = shard.indices
        prover = self._prover(context)
        label = int(context.data.labels[index])
        found = prover.prove(context.samples([index])[0], label, shard.parameters["epsilon"], settings.seconds)
        return {
            "query": found.query,
            "proof": np.frombuffer(found.proof, dtype=np.uint8),
            "verdict": found.verdict.value,
            "real": found.meanings.real.value,
            "deployed": found.meanings.deployed.value,
            "stage": found.stage,
            "reason": found.reason,
            "checked": found.checked,
            "said": found.said,
            "search_seconds": found.seconds[0],
            "check_seconds": found.seconds[1],
        }

    def conclude(
        self, results: Results, settings: ProofsSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """How many proofs the checker establishes, and that it refutes none."""
        file = self._file(context)
        proved = [(shard, payload) for shard, payload in results if payload["checked"] != NOTHING]
        valid = sum(payload["checked"] == VALID for _, payload in proved)
        wrong = [shard.name for shard, payload in proved if payload["checked"] == INVALID]
        kept = tuple(self._keep(shard, payload, context) for shard, payload in proved)
        protocol = {"epsilon": self._epsilon(settings, context), "norm": "linf", "seconds": settings.seconds}
        evidence = Proofs(
            title=f"Proofs kept beside this report, L-inf {protocol['epsilon']:g}",
            model=file.path.name,
            model_sha256=file_digest(file.path),
            files=kept,
            caption=f"One by hand: robust check {FOLDER}/SAMPLE.npz {file.path.name} {FOLDER}/SAMPLE.vnnlib. All of "
            f"them against today's model: robust check {FOLDER} {file.path.name}",
        )
        share = Finding(
            check=self.name,
            metric="checked_share",
            title="Proofs that the independent checker establishes again",
            value=valid / len(proved) if proved else None,
            unit="share",
            interval=wilson(valid, len(proved)) if proved else None,
            n=len(proved),
            better="higher",
            protocol=protocol,
            outcome=Outcome.MEASURED if proved else Outcome.NOT_ASSESSED,
            reason="" if proved else self._why_none(results),
            headline=True,
            evidence=(evidence,) if kept else (),
        )
        refuted = Finding(
            check=self.name,
            metric="refuted_proofs",
            title="Proofs that the independent checker refutes",
            value=float(len(wrong)),
            n=len(proved),
            better="lower",
            protocol=protocol,
            outcome=Outcome.FAIL if wrong else Outcome.PASS if proved else Outcome.INCONCLUSIVE,
            reason=f"refuted: {', '.join(wrong)}" if wrong else "none" if proved else "there was no proof to check",
            control=True,
        )
        return [share, *self._meanings(results, protocol), refuted]

    def estimate(self, settings: ProofsSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        return f"at most {min(samples, settings.samples):,} proofs, {settings.seconds:g} s of search each"

    def _meanings(self, results: Results, protocol: dict[str, Any]) -> list[Finding]:
        """Of the balls that were asked about: what is proved over the real numbers, and in every float32 run."""
        words: tuple[tuple[Literal["real", "deployed"], str], ...] = (
            ("real", "over the real numbers"),
            ("deployed", "in every float32 run"),
        )
        findings = []
        for meaning, where in words if results else ():
            count = sum(payload[meaning] == Verdict.VERIFIED.value for _, payload in results)
            findings.append(
                Finding(
                    check=self.name,
                    metric="proved_share",
                    parameters={"meaning": meaning},
                    title=f"Balls proved {where}",
                    value=count / len(results),
                    unit="share",
                    interval=wilson(count, len(results)),
                    n=len(results),
                    better="higher",
                    protocol=protocol,
                )
            )
        return findings

    @staticmethod
    def _why_none(results: Results) -> str:
        reasons = sorted({str(payload["reason"]) for _, payload in results})
        return f"no ball was proved: {reasons[0]}" if reasons else "no sample is answered rightly and unbroken"

    def _keep(self, shard: Shard, payload: Payload, context: Context) -> ProofFile:
        index, name = shard.indices[0], f"{shard.indices[0]:05d}"
        proof, query = np.asarray(payload["proof"], dtype=np.uint8).tobytes(), str(payload["query"]).encode()
        keep_file(context.directory / FOLDER / f"{name}.npz", proof)
        keep_file(context.directory / FOLDER / f"{name}.vnnlib", query)
        names = context.data.identifiers or tuple(map(str, range(len(context.data))))
        label = context.classifier.class_names[int(context.data.labels[index])]
        said = f" ({payload['said']})" if payload["said"] else ""
        return ProofFile(
            statement=f"sample {names[index]}, class {label}, keeps its answer within {shard.parameters['epsilon']:g}",
            engine=str(payload["stage"]),
            real=_verified(payload["real"]),
            deployed=_verified(payload["deployed"]),
            checked_by=WORDS[str(payload["checked"])] + said,
            path=f"{FOLDER}/{name}.npz",
            sha256=hashlib.sha256(proof).hexdigest(),
            query=f"{FOLDER}/{name}.vnnlib",
            query_sha256=hashlib.sha256(query).hexdigest(),
            size=len(proof),
        )

    def _shards(self, samples: list[int], settings: ProofsSettings, context: Context) -> list[Shard]:
        epsilon = self._epsilon(settings, context)
        return [
            Shard(self.name, f"sample {index}", {"epsilon": epsilon, "seconds": settings.seconds}, (index,))
            for index in samples[: settings.samples]
        ]

    @staticmethod
    def _epsilon(settings: ProofsSettings, context: Context) -> float:
        if settings.epsilon is not None:
            return settings.epsilon
        radii = epsilon_grids(None, (), context.classifier)["linf"]
        return float(radii[len(radii) // 2])

    @staticmethod
    def _file(context: Context) -> OnnxFile:
        file = getattr(context.classifier, "plain_file", None)
        if not isinstance(file, OnnxFile):
            raise NotApplicableError(
                "proofs that can be checked are of ONNX files that read the samples as they are",
                wanted="an ONNX classifier without preprocessing of its own, one output with a score per class",
                got=f"{context.classifier.format} model {context.classifier.name}",
                hint="export the model, with its preprocessing inside, as ONNX",
            )
        return file

    def _prover(self, context: Context) -> BallProver:
        key = context.classifier.digest
        if key not in self._provers:
            classes = len(context.classifier.class_names)
            self._provers[key] = BallProver(self._file(context), context.classifier.input_box, classes)
        return self._provers[key]


def _verified(word: object) -> Literal["verified", "unknown"]:
    return "verified" if word == Verdict.VERIFIED.value else "unknown"
