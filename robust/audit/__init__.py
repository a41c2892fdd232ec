"""Plan -> checks -> record. ``audit`` is the one plain Python call; the command line is a thin layer over it."""

from robust.audit.api import audit
from robust.audit.plan import Plan, plan_schema
from robust.audit.plan_layers import ResolvedPlan, resolve_plan
from robust.audit.runner import Event, run_audit

__all__ = ["Event", "Plan", "ResolvedPlan", "audit", "plan_schema", "resolve_plan", "run_audit"]
