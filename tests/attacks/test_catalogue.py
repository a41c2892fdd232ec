from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import attacks
from attacks.catalogue import ATTACKS, CHANGES, FOOLING, MINIMAL, make_attack
from robust.errors import UsageError


def test_every_line_leads_somewhere() -> None:
    for entry in (*ATTACKS, *MINIMAL, *CHANGES, *FOOLING):
        kind = getattr(importlib.import_module(entry.module), entry.kind)
        assert kind.name == entry.name
        assert entry.line
    assert [make_attack(entry.name, norm="l2").norm for entry in ATTACKS] == ["l2"] * len(ATTACKS)
    assert all(getattr(attacks, name) is not None for name in attacks.__all__)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="pgd, fgsm, ensemble"):
        make_attack("pdg")


def test_reading_the_catalogue_imports_no_torch() -> None:
    code = "import sys, attacks.catalogue; sys.exit(int('torch' in sys.modules or 'foolbox' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
