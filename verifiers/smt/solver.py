"""Z3 at arm's length: a child process that may be killed at any moment without harm."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a question is given up.

    Attributes:
        steps: Z3's ``rlimit`` per question: its own deterministic count, about half a million a second.
        seconds: wall clock per question, after which the child is killed. Generous, so that ``steps`` decides.
        megabytes: memory of the child.
    """

    steps: int = 2_000_000
    seconds: float = 60.0
    megabytes: int = 2048


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        kind: ``sat`` with a point, ``unsat``, or ``unknown`` with a reason.
        point: values of the free inputs.
        reason: a clause for a sentence: why it is unknown.
    """

    kind: Literal["sat", "unsat", "unknown"]
    point: tuple[Fraction, ...] = ()
    reason: str = ""


class Solver:
    """A context manager around one child process, which is started on the first question and again after a kill."""

    def __init__(self, limits: Limits, command: Sequence[str] | None = None) -> None:
        self.limits = limits
        self.command = [sys.executable, "-P", str(WORKER), str(limits.megabytes)] if command is None else list(command)
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Solver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, text: str, inputs: int) -> Answer:
        """One question in SMT-LIB about ``v0 .. v(inputs-1)`` and more. Never raises for what Z3 or the child does."""
        question = {
            "text": text,
            "inputs": inputs,
            "steps": self.limits.steps,
            "milliseconds": max(1, int(self.limits.seconds * 1000)),
        }
        try:
            process = self._started()
        except OSError as error:
            return Answer("unknown", reason=f"the solver process did not start ({error})")
        late = threading.Event()
        timer = threading.Timer(self.limits.seconds + 1.0, self._kill, [process, late])
        timer.start()
        try:
            line = self._exchange(process, json.dumps(question))
        finally:
            timer.cancel()
        if not line:
            self.stop()
            if late.is_set():
                return Answer("unknown", reason=f"the deadline of {self.limits.seconds:g} s passed")
            return Answer("unknown", reason=f"the solver process ended with status {process.returncode}")
        try:
            return self._parsed(json.loads(line))
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            self.stop()
            return Answer("unknown", reason="the solver process answered with something that is not an answer")

    def stop(self) -> None:
        """End the child, if there is one."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        return self.process

    @staticmethod
    def _exchange(process: subprocess.Popen[str], question: str) -> str:
        if process.stdin is None or process.stdout is None:
            return ""
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
            return process.stdout.readline()
        except (OSError, ValueError):
            return ""

    @staticmethod
    def _kill(process: subprocess.Popen[str], late: threading.Event) -> None:
        late.set()
        process.kill()

    @staticmethod
    def _parsed(reply: dict[str, Any]) -> Answer:
        if reply["answer"] == "sat":
            return Answer("sat", tuple(Fraction(value) for value in reply["values"]))
        if reply["answer"] == "unsat":
            return Answer("unsat")
        return Answer("unknown", reason=_in_words(str(reply["reason"])))


def _in_words(reason: str) -> str:
    if "resource" in reason:
        return "Z3 used up its steps"
    if reason in ("timeout", "canceled", "interrupted"):
        return "Z3 ran into its time limit"
    if "mem" in reason.lower():
        return "Z3 ran out of memory"
    return f"Z3 gave up ({reason or 'no reason given'})"
