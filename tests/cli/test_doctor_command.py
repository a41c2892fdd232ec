"""``robust doctor``: what is there, what is missing, and what a model can be asked."""

from __future__ import annotations

import builtins
import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from robust.cli import doctor
from tests.cli.conftest import DATA, MODEL, ROOT, Robust


def test_a_healthy_installation(robust: Robust) -> None:
    result = robust("doctor")
    assert result.status == 0
    assert "BAD" not in result.out
    for name in ("verifiers: ours", "torch 2", "onnxruntime", "cpu:"):
        assert name in result.out


def test_a_missing_package_is_named(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "z3-solver":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = robust("doctor")
    assert result.status == 2
    assert "BAD  z3-solver is not installed" in result.out
    assert "BAD" in result.err


def test_a_torch_that_cannot_be_imported(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise OSError("libtorch.so: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    result = robust("doctor")
    assert result.status == 2
    assert "BAD  torch cannot be imported: libtorch.so" in result.out
    assert "Traceback" not in result.err


def test_without_torch(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "find_strangers", dict)
    result = robust("doctor")
    assert result.status == 2
    assert "cpu:" not in result.out


def test_a_stranger_is_shown_among_the_rest(tmp_path: Path) -> None:
    (tmp_path / "reports.py").write_text("", encoding="utf-8")
    code = (
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nsys.path.append({str(ROOT)!r})\n"
        "sys.argv = ['robust', 'doctor']\nfrom robust.cli import main\nmain()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert f"BAD  package reports: {tmp_path / 'reports.py'}" in result.stdout
    assert "ok   package attacks: ours" in result.stdout
    assert "torch" in result.stdout


def test_a_model_that_can_be_asked_everything(robust: Robust) -> None:
    result = robust("doctor", MODEL, "--data", DATA)
    assert result.status == 0
    assert "10 classes" in result.out
    assert "relu" in result.out
    assert [line.split(":")[0].split() for line in result.out.splitlines() if line.startswith("  yes")] == [
        ["yes", "gradients"],
        ["yes", "bounds"],
        ["yes", "exact", "SMT"],
    ]
    assert not list(robust.folder.iterdir())


def test_a_model_that_no_exact_solver_can_read(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    (robust.folder / "smooth_factory.py").write_text(
        "from torch import nn\ndef make():\n"
        "    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).eval()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(robust.folder)
    result = robust("doctor", "smooth_factory:make", "--set", "model.input_shape=[4]")
    assert result.status == 0, result.err
    assert "yes  bounds" in result.out
    assert "no   exact SMT: operator tanh is not piecewise linear" in result.out


def test_a_model_that_is_not_there(robust: Robust) -> None:
    result = robust("doctor", "no.onnx")
    assert result.status == 2
    assert "no.onnx" in result.err
    assert "Traceback" not in result.err


def test_every_unsupported_operator_is_listed_with_place_and_workaround(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    (robust.folder / "sorting_factory.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Odd(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.relu(torch.asin(x).sort(1)[0])\n"
        "class Far(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.acosh(x)\n"
        "def make():\n"
        "    return nn.Sequential(nn.Linear(4, 3), Odd(), nn.Linear(3, 3), Far(), nn.Linear(3, 2)).eval()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(robust.folder)
    result = robust("doctor", "sorting_factory:make", "--set", "model.input_shape=[4]")
    assert result.status == 0, result.err
    listed = [line for line in result.out.splitlines() if "not supported" in line]
    assert [line.split()[2] for line in listed] == ["asin,", "sort,", "acosh,"]
    assert "at 1.1 (Odd)" in listed[1]
    assert "at 1.3 (Far)" in listed[2]
    assert result.out.count("what to do: ") == 3
    assert "linear (3)" in result.out
    assert "relu (1)" in result.out
    assert "no   bounds: operator asin has no rule, at 1.1 (Odd) (and 2 more)" in result.out


def test_every_unread_onnx_node_is_listed(robust: Robust) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Det", ["a"], ["b"], name="first"),
        helper.make_node("NonZero", ["b"], ["y"], name="second"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    path = robust.folder / "odd.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:])), path)
    result = robust("doctor", str(path))
    assert result.status == 0, result.err
    assert "operators that are read: Relu (1)" in result.out
    assert "not supported Det, at node 'first'" in result.out
    assert "not supported NonZero, at node 'second'" in result.out
