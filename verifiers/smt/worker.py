"""The child process: reads questions as JSON lines, asks Z3, answers as JSON lines. Imports no torch.

It is run as a file, so that its start costs Z3 and nothing else. Each question gets a context of its own, so that an
answer does not depend on what was asked before. The first limit is ``rlimit``, which counts Z3's own steps and is the
same on every machine; time and memory are the second, and the parent's kill is the last.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import z3


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Ask Z3 one question.

    Args:
        question: ``text`` (SMT-LIB), ``inputs`` (how many of ``v0, v1, ...`` to report), ``steps`` (Z3's ``rlimit``),
            ``milliseconds``.

    Returns:
        ``answer`` (``sat``, ``unsat`` or ``unknown``); for sat ``values``, each ``"numerator/denominator"``; for
        unknown ``reason``.
    """
    context = z3.Context()
    solver = z3.SolverFor("QF_LIRA" if " Int)" in question["text"] else "QF_LRA", ctx=context)
    solver.set("random_seed", 0)
    solver.set("rlimit", question["steps"])
    solver.set("timeout", question["milliseconds"])
    solver.from_string(question["text"])
    found = solver.check()
    if found == z3.unsat:
        return {"answer": "unsat"}
    if found != z3.sat:
        reason = "resource" if _steps(solver) >= question["steps"] else solver.reason_unknown()
        return {"answer": "unknown", "reason": reason}
    model = solver.model()
    values = []
    for index in range(question["inputs"]):
        value = model.eval(z3.Real(f"v{index}", context), model_completion=True)
        values.append(f"{value.numerator_as_long()}/{value.denominator_as_long()}")
    return {"answer": "sat", "values": values}


def _steps(solver: Any) -> int:
    statistics = solver.statistics()
    return int(statistics.get_key_value("rlimit count")) if "rlimit count" in statistics.keys() else 0  # noqa: SIM118


def limit_memory(megabytes: int) -> None:
    """Cap Z3's own memory, and the process's where the system can."""
    z3.set_param("memory_max_size", megabytes)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        size = (megabytes + 512) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def main() -> None:
    """Serve until the parent closes the pipe. The first argument is the memory limit in MiB."""
    limit_memory(int(sys.argv[1]))
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except (z3.Z3Exception, MemoryError) as error:
            reply = {"answer": "unknown", "reason": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
