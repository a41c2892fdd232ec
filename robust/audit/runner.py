"""Plan to record: every check's shards, stored as they finish; findings; the gate.

A check that fails with an error does not end the audit: the record says so and the audit is undecided (status 3).
Errors of the plan, the model or the data end it before any number is shown (status 2).
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import torch

import robust
from robust.audit.assemble import Assembly, Given, assemble
from robust.audit.catalogue import CHECKS
from robust.audit.check import Check, CheckSettings, Context, NotApplicableError, NotAssessedError, Results, Shard
from robust.audit.gate import apply_thresholds, gate
from robust.audit.plan_layers import ResolvedPlan
from robust.audit.store import ShardStore
from robust.errors import DisagreementError, RobustError
from robust.record import AuditRecord, CheckRecord, Finding, GateLevel

RECORD_NAME = "record.json"


@dataclass(frozen=True)
class Event:
    """Progress for whoever watches.

    Attributes:
        kind: ``check started``, ``shard done`` (``reused`` if it came from the store), ``check done``, ``loading``.
        check: name of the check; empty while loading.
        done: shards done of this check.
        total: shards of this check.
        text: a line for people.
        reused: the shard was in the store.
    """

    kind: Literal["loading", "check started", "shard done", "check done"]
    check: str
    done: int = 0
    total: int = 0
    text: str = ""
    reused: bool = False


Watcher = Callable[[Event], None]


def run_audit(
    resolved: ResolvedPlan, *, given: Given | None = None, command: str = "", watch: Watcher | None = None
) -> AuditRecord:
    """Run a plan to its record, and write ``record.json`` into the run directory.

    Args:
        resolved: from ``resolve_plan``.
        given: objects that take the place of the plan's sections.
        command: what reproduces it, for the report.
        watch: called with progress.

    Raises:
        SubjectError, DataError, PlanError: the audit could not start, or the model changed while it ran.
        RunInUseError: another audit works in the same directory.
        KeyboardInterrupt: on Ctrl-C; finished shards are kept.
    """
    watch = watch or (lambda event: None)
    plan = resolved.plan
    started, clock = datetime.now(UTC), time.perf_counter()
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    watch(Event("loading", "", text="loading the model and the data"))
    assembly = assemble(plan, given)
    with ShardStore(assembly.context.directory) as store:
        run = _Run(resolved, assembly, store, watch)
        checks = tuple(run.run_check(check) for check in CHECKS if plan.settings(check.name).enabled)
    _require_steady(assembly.context)
    skipped = [check for check in CHECKS if not plan.settings(check.name).enabled]
    record = AuditRecord(
        title=plan.title or f"Audit of {assembly.title}",
        tool_version=robust.__version__,
        seed=plan.seed,
        device=plan.device,
        plan=plan.model_dump(mode="json"),
        command=command,
        versions=assembly.versions,
        platform=assembly.platform,
        subjects=assembly.subjects,
        data=assembly.data,
        checks=checks,
        not_assessed=_not_assessed(checks, skipped),
        gate=gate(checks),
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
    )
    path = assembly.context.directory / RECORD_NAME
    temporary = path.with_suffix(".json.part")
    temporary.write_text(record.to_json(), encoding="utf-8")
    temporary.replace(path)
    return record


class _Run:
    """One run of the checks over one assembly."""

    def __init__(self, resolved: ResolvedPlan, assembly: Assembly, store: ShardStore, watch: Watcher) -> None:
        self.resolved = resolved
        self.assembly = assembly
        self.store = store
        self.watch = watch
        self.earlier: dict[str, Results] = {}

    def run_check(self, check: Check) -> CheckRecord:
        """All shards of one check, then its findings. Errors become the check's status."""
        settings = self.resolved.plan.settings(check.name)
        context = self.assembly.context
        named = self.resolved.asked_for(check.name)
        seconds = 0.0
        shards: list[Shard] = []
        status: Literal["completed", "not assessed", "not applicable", "failed"] = "completed"
        reason = ""
        findings: list[Finding] = []
        try:
            self._check_needs(check)
            shards = check.plan(settings, context)
            self.watch(Event("check started", check.name, 0, len(shards), check.title))
            results: list[tuple[Shard, dict[str, Any]]] = []
            for place, shard in enumerate(shards, start=1):
                payload, took, reused = self._shard(check, shard, settings, context)
                results.append((shard, payload))
                seconds += took
                self.watch(Event("shard done", check.name, place, len(shards), shard.name, reused))
            self.earlier[check.name] = results
            findings = check.conclude(results, settings, context, self.earlier)
            if not findings:
                raise RobustError(f"the check {check.name} ended without a single finding", wanted="at least one")
        except NotAssessedError as error:
            unasked = isinstance(error, NotApplicableError) and not named
            status, reason = ("not applicable" if unasked else "not assessed"), _one_line(error)
        except Exception as error:
            status, reason = "failed", f"{type(error).__name__}: {_one_line(error)}"
            self._keep_traceback(check)
        judged = apply_thresholds(check.name, findings, settings) if status == "completed" else []
        self.watch(Event("check done", check.name, len(shards), len(shards), reason or status))
        return CheckRecord(
            name=check.name,
            title=check.title,
            question=check.question,
            level=GateLevel(settings.gate),
            status=status,
            reason=reason,
            threat_model=check.threat_model,
            limitations=check.limitations,
            findings=tuple(judged),
            seconds=round(seconds, 3),
            shards=len(shards),
        )

    def _check_needs(self, check: Check) -> None:
        context = self.assembly.context
        missing = {
            "classifier": context.classifier is None,
            "generator": context.generator is None,
            "groups": not context.data.groups,
        }
        for need in check.needs:
            if missing[need]:
                raise NotApplicableError(NEEDS[need])

    def _shard(
        self, check: Check, shard: Shard, settings: CheckSettings, context: Context
    ) -> tuple[dict[str, Any], float, bool]:
        key = shard_key(check, shard, settings, self.assembly)
        stored = self.store.get(key)
        if stored is not None:
            return stored[0], stored[1], True
        clock = time.perf_counter()
        payload = check.run(shard, settings, context)
        seconds = time.perf_counter() - clock
        return self.store.put(key, check.name, shard.name, payload, seconds), seconds, False

    def _keep_traceback(self, check: Check) -> None:
        directory = self.assembly.context.directory / "errors"
        directory.mkdir(exist_ok=True)
        (directory / f"{check.name}.txt").write_text(traceback.format_exc(), encoding="utf-8")


NEEDS = {
    "classifier": "the plan names no classifier",
    "generator": "the plan names no generator; name one in the section [generator]",
    "groups": "the data has no group column; name the sensitive columns with data.groups",
}
STEADY_ROWS = 256
JUDGING_KEYS = {"enabled", "gate", "thresholds"}


def shard_key(check: Check, shard: Shard, settings: CheckSettings, assembly: Assembly) -> str:
    """SHA-256 over everything the shard's result depends on."""
    ingredients = {
        "check": [check.name, check.version],
        "tool": [robust.__version__, torch.__version__],
        "shard": [shard.name, dict(shard.parameters), list(shard.indices)],
        "settings": settings.model_dump(mode="json", exclude=JUDGING_KEYS),
        "digests": assembly.digests,
        "seed": assembly.context.seed,
        "device": assembly.context.device.type,
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def _require_steady(context: Context) -> None:
    """The model still answers as it did before the first check; else no number of the audit speaks of one model.

    Raises:
        DisagreementError: predictions changed, by more than a tie or two that another order of sums decides.
    """
    alone = context.classifier is None  # an audit of a generator
    if alone:
        return
    answers = [context.classifier.replay(part).argmax(1).cpu() for part in torch.split(context.samples(), STEADY_ROWS)]
    changed = int((torch.cat(answers).numpy() != context.predictions).sum())
    if changed > len(context.predictions) // 1000:
        raise DisagreementError(
            f"{context.classifier.source} answers otherwise at the end of the audit than at its start",
            wanted="one answer per input, whatever came before",
            got=f"another class for {changed} of {len(context.predictions)} samples",
            hint="the model keeps a state between calls; no number of this audit can be trusted",
        )


def _not_assessed(checks: tuple[CheckRecord, ...], skipped: list[Check]) -> tuple[str, ...]:
    sentences = [f"{check.title}: {check.reason}." for check in checks if check.status != "completed"]
    sentences += [f"{check.title}: switched off in the plan." for check in skipped]
    for check in checks:
        sentences += [
            f"{check.title}: {finding.title}: {finding.reason}."
            for finding in check.findings
            if finding.outcome == "not assessed"
        ]
    return tuple(sentence.replace("..", ".") for sentence in sentences)


def _one_line(error: BaseException) -> str:
    if isinstance(error, RobustError):
        parts = [error.message]
        parts += [f"{label}: {text}" for label, text in (("wanted", error.wanted), ("got", error.got)) if text]
        parts += [error.hint] if error.hint else []
        return "; ".join(" ".join(part.split()) for part in parts)
    return " ".join(str(error).split())[:500]
