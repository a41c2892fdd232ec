"""Plan to record: every check's shards, stored as they finish; findings; the gate.

A check that fails with an error does not end the audit: the record says so and the audit is undecided (status 3).
Errors of the plan, the model or the data end it before any number is shown (status 2).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import torch

import robust
from robust.audit.assemble import Assembly, Given, assemble
from robust.audit.catalogue import CHECKS
from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    NotAssessedError,
    Payload,
    Results,
    Shard,
    unmet_need,
)
from robust.audit.gate import apply_thresholds, gate
from robust.audit.plan_layers import ResolvedPlan
from robust.audit.run_directory import keep_file
from robust.audit.store import ShardStore
from robust.errors import DisagreementError, RecordError, RobustError
from robust.record import AuditRecord, CheckRecord, Finding, GateLevel

RECORD_NAME = "record.json"


@dataclass(frozen=True)
class Event:
    """Progress for whoever watches.

    Attributes:
        kind: ``check started``, ``shard done``, ``check done``, ``loading``.
        check: name of the check; empty while loading.
        done: shards done of this check.
        total: shards of this check.
        text: a line for people.
        reused: how many of the shards done so far were in the store.
    """

    kind: Literal["loading", "check started", "shard done", "check done"]
    check: str
    done: int = 0
    total: int = 0
    text: str = ""
    reused: int = 0


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
        StoreError: the run directory cannot be written (any more); what was finished is kept.
        KeyboardInterrupt: on Ctrl-C; finished shards are kept.
    """
    watch = watch or (lambda event: None)
    plan = resolved.plan
    started, clock = datetime.now(UTC), time.perf_counter()
    with _threads(plan.threads):
        watch(Event("loading", "", text="loading the model and the data"))
        assembly = assemble(plan, given)
        with ShardStore(assembly.context.directory) as store:
            run = _Run(resolved, assembly, store, watch)
            checks = tuple(run.run_check(check) for check in CHECKS if plan.settings(check.name).enabled)
            _require_steady(assembly.context)
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
                not_asked=_not_asked(checks, [c for c in CHECKS if not plan.settings(c.name).enabled]),
                gate=gate(checks),
                started=started.isoformat(timespec="seconds"),
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(time.perf_counter() - clock, 3),
            )
            keep_file(assembly.context.directory / RECORD_NAME, record.to_json().encode())
    return record


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Torch works with ``count`` threads, if given, and afterwards with as many as before."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Status = Literal["completed", "not assessed", "not applicable", "failed"]


class _Run:
    """One run of the checks over one assembly."""

    def __init__(self, resolved: ResolvedPlan, assembly: Assembly, store: ShardStore, watch: Watcher) -> None:
        self.resolved = resolved
        self.assembly = assembly
        self.store = store
        self.watch = watch
        self.earlier: dict[str, Results] = {}

    def run_check(self, check: Check) -> CheckRecord:
        """All shards of one check, then its findings. Errors become the check's status, but for those of the store."""
        settings = self.resolved.plan.settings(check.name)
        work = _Work()
        findings: list[Finding] = []
        status: Status = "completed"
        reason = ""
        trace = self.assembly.context.directory / "errors" / f"{check.name}.txt"
        trace.unlink(missing_ok=True)
        try:
            results = self._results(check, settings, work)
            findings = check.conclude(results, settings, self.assembly.context, dict(self.earlier))
            self.earlier[check.name] = results
            if not findings:
                raise RobustError(f"the check {check.name} ended without a single finding", wanted="at least one")
        except RecordError:
            raise
        except NotAssessedError as error:
            unasked = isinstance(error, NotApplicableError) and not self.resolved.asked_for(check.name)
            status, reason = ("not applicable" if unasked else "not assessed"), _one_line(error)
        except (Exception, SystemExit) as error:
            status, reason = "failed", _what_went_wrong(error)
            keep_file(trace, traceback.format_exc().encode())
        self.watch(Event("check done", check.name, work.done, work.planned, reason or status, work.reused))
        return CheckRecord(
            name=check.name,
            title=check.title,
            question=check.question,
            level=GateLevel(settings.gate),
            status=status,
            reason=reason,
            threat_model=check.threat_model,
            limitations=check.limitations,
            findings=tuple(apply_thresholds(check.name, findings, settings)) if status == "completed" else (),
            seconds=round(work.seconds, 3),
            shards=work.planned,
        )

    def _results(self, check: Check, settings: CheckSettings, work: _Work) -> Results:
        """Every shard of the plan with its payload, from the store where it is there."""
        context = self.assembly.context
        missing = unmet_need(check, context)
        if missing is not None:
            raise NotApplicableError(missing)
        shards = check.follow(settings, context, dict(self.earlier))
        work.planned = len(shards)
        self.watch(Event("check started", check.name, 0, len(shards), check.title))
        results: list[tuple[Shard, Payload]] = []
        for shard in shards:
            results.append((shard, self._payload(check, shard, settings, work)))
            self.watch(Event("shard done", check.name, work.done, work.planned, shard.name, work.reused))
        return results

    def _payload(self, check: Check, shard: Shard, settings: CheckSettings, work: _Work) -> Payload:
        key = shard_key(check, shard, settings, self.assembly)
        stored = self.store.get(key)
        if stored is not None:
            work.add(stored[1], reused=True)
            return {**stored[0], "seconds": stored[1]}
        clock = time.perf_counter()
        payload = check.run(shard, settings, self.assembly.context)
        seconds = time.perf_counter() - clock
        kept = self.store.put(key, check.name, shard.name, payload, seconds)
        work.add(seconds, reused=False)
        return {**kept, "seconds": seconds}


@dataclass
class _Work:
    """What a check has cost so far; what it took when a shard was computed, also where it was reused."""

    planned: int = 0
    done: int = 0
    reused: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, *, reused: bool) -> None:
        """Count one more shard."""
        self.done += 1
        self.reused += reused
        self.seconds += seconds


STEADY_ROWS = 256
JUDGING_KEYS = {"enabled", "gate", "thresholds"}


def shard_key(check: Check, shard: Shard, settings: CheckSettings, assembly: Assembly) -> str:
    """SHA-256 over everything the shard's result depends on; not over what only judges it."""
    ingredients = {
        "check": [check.name, check.version],
        "tool": [robust.__version__, dict(assembly.versions), torch.get_num_threads()],
        "shard": [shard.name, dict(shard.parameters), list(shard.indices)],
        "settings": settings.model_dump(mode="json", exclude=JUDGING_KEYS),
        "digests": assembly.digests,
        "seed": assembly.context.seed,
        "device": assembly.context.device.type,
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def _not_asked(checks: tuple[CheckRecord, ...], skipped: list[Check]) -> tuple[str, ...]:
    said = [(check.title, check.reason) for check in checks if check.status == "not applicable"]
    said += [(check.title, "switched off in the plan") for check in skipped]
    return tuple(f"{what}: {why.rstrip('.')}." for what, why in said)


def _what_went_wrong(error: BaseException) -> str:
    """One line without addresses in memory, which no two runs share."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "it ran out of memory; give the check fewer samples or smaller batches, or the machine more memory"
    text = re.sub(r"\b0x[0-9a-fA-F]{6,}\b", "0x...", _one_line(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _require_steady(context: Context) -> None:
    """The model still answers as it did before the first check; else no number of the audit speaks of one model.

    Raises:
        DisagreementError: predictions changed, by more than a tie or two that another order of sums decides.
    """
    answers = [context.classifier.replay(part).argmax(1).cpu() for part in torch.split(context.samples(), STEADY_ROWS)]
    changed = int((torch.cat(answers).numpy() != context.predictions).sum())
    if changed > len(context.predictions) // 1000:
        raise DisagreementError(
            f"{context.classifier.source} answers otherwise at the end of the audit than at its start",
            wanted="one answer per input, whatever came before",
            got=f"another class for {changed} of {len(context.predictions)} samples",
            hint="the model keeps a state between calls; no number of this audit can be trusted",
        )


def _one_line(error: BaseException) -> str:
    if isinstance(error, RobustError):
        parts = [error.message]
        parts += [f"{label}: {text}" for label, text in (("wanted", error.wanted), ("got", error.got)) if text]
        parts += [error.hint] if error.hint else []
        return "; ".join(" ".join(part.split()) for part in parts)
    return " ".join(str(error).split())[:500]
