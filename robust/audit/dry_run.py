"""What an audit would do, in lines, without running it."""

from __future__ import annotations

from robust.audit.assemble import Assembly, assemble
from robust.audit.catalogue import CHECKS
from robust.audit.check import Check, NotAssessedError
from robust.audit.plan_layers import ResolvedPlan
from robust.audit.runner import NEEDS


def describe(resolved: ResolvedPlan) -> list[str]:
    """Load the subject and the data, plan every check, and say how much work each is.

    Raises:
        SubjectError, DataError, PlanError: what an audit would raise at load.
    """
    plan = resolved.plan
    assembly = assemble(plan)
    lines = [
        f"plan: {resolved.file or 'command line only'}; seed {plan.seed}; device {plan.device}; output {plan.output}"
    ]
    lines += [f"{subject.role}: {subject.name} ({subject.format}, {subject.source})" for subject in assembly.subjects]
    lines += [f"{data.role} data: {data.name}, {data.used} of {data.samples} samples" for data in assembly.data]
    lines.append("")
    for check in CHECKS:
        lines.append(f"{check.name:<14} {_one(check, resolved, assembly)}")
    return lines


def _one(check: Check, resolved: ResolvedPlan, assembly: Assembly) -> str:
    settings = resolved.plan.settings(check.name)
    context = assembly.context
    if not settings.enabled:
        return "off"
    have = {
        "classifier": context.classifier is not None,
        "generator": context.generator is not None,
        "groups": bool(context.data.groups),
    }
    missing = [need for need in check.needs if not have[need]]
    if missing:
        return f"not applicable: {NEEDS[missing[0]]}"
    try:
        shards = check.plan(settings, context)
    except NotAssessedError as error:
        return f"not assessed: {error.message}"
    estimate = check.estimate(settings, len(context.data), len(context.classifier.class_names))
    return f"{len(shards)} shards" + (f"; {estimate}" if estimate else "")
