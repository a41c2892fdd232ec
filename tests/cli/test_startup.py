"""The command line starts light, and refuses strangers with our siblings' names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "pandas", "sklearn", "onnx", "z3", "pydantic", "rich")


def run(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['robust', '--help']\nfrom robust.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = run(code)
    assert "audit" in result.stdout
    assert "HEAVY []" in result.stdout, result.stdout + result.stderr


def test_importing_the_package_imports_no_torch() -> None:
    assert run("import robust, sys; print('torch' in sys.modules)").stdout.strip() == "False"


def test_a_stranger_with_a_siblings_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "verifiers.py").write_text("", encoding="utf-8")
    code = (
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nsys.path.append({str(ROOT)!r})\n"
        "sys.argv = ['robust', 'list']\nfrom robust.cli import main\nmain()\n"
    )
    result = run(code, cwd=tmp_path)
    assert result.returncode == 2
    assert "'verifiers'" in result.stderr
    assert str(tmp_path / "verifiers.py") in result.stderr
