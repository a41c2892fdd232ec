from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from attacks.balls import Norm
from robust.audit.check import NotAssessedError
from robust.audit.checks.certificate_budget import ENOUGH, FEWEST, LEAST_ROWS, Share, fitted, left_out
from robust.audit.checks.certificates import Certificates, CertificatesSettings
from robust.graph import trace
from tests.audit.checks.test_certificates import SETTINGS, Line, audit, context
from verifiers import Network
from verifiers.cost import worst_case

RADII: dict[Norm, tuple[float, ...]] = {"linf": (0.1, 0.2), "l2": (0.5,)}
WANTED = Share(200, 512, ("interval", "crown"))


@pytest.fixture(scope="module")
def network() -> Network:
    layers = nn.Sequential(nn.Linear(20, 600), nn.ReLU(), nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 3))
    return Network(trace(layers, (20,), device=torch.device("cpu")))


def cost(network: Network, share: Share) -> float:
    """Billions for one sample at two L-inf radii and one L2 radius."""
    each = [
        worst_case(network, method=method, norm=norm, rows=share.rows, functions=2)
        for norm in ("linf", "linf", "l2")
        for method in share.methods
    ]
    return sum(each) / 1e9


def test_all_of_it_where_it_fits(network: Network) -> None:
    assert fitted(WANTED, network, RADII, 2, 200 * cost(network, WANTED) * 1.001) == WANTED
    assert fitted(WANTED, network, RADII, 2, math.inf) == WANTED
    assert left_out("certificates", WANTED, WANTED, math.inf) == []


@pytest.mark.parametrize("samples", [199, 60, ENOUGH])
def test_samples_go_first(network: Network, samples: int) -> None:
    found = fitted(WANTED, network, RADII, 2, (samples + 0.5) * cost(network, WANTED))
    assert found == Share(samples, 512, WANTED.methods)


def test_then_neurons_then_samples_then_crown(network: Network) -> None:
    found = fitted(WANTED, network, RADII, 2, 10 * cost(network, WANTED))
    assert found.samples >= ENOUGH
    assert found.rows in (256, 128, 64, 32)
    least = Share(200, LEAST_ROWS, WANTED.methods)
    assert fitted(WANTED, network, RADII, 2, 7.5 * cost(network, least)) == Share(7, LEAST_ROWS, WANTED.methods)
    found = fitted(WANTED, network, RADII, 2, 4 * cost(network, least))
    assert found.methods == ("interval",)
    assert found.samples >= FEWEST


def test_the_dear_methods_go_before_neurons(network: Network) -> None:
    wanted = Share(200, 512, ("interval", "zonotope", "crown", "alpha-crown"))
    three = Share(200, 512, ("interval", "zonotope", "crown"))
    assert fitted(wanted, network, RADII, 2, 200 * cost(network, wanted) * 1.001) == wanted
    found = fitted(wanted, network, RADII, 2, 50.5 * cost(network, three))
    assert found == Share(50, 512, three.methods)
    found = fitted(wanted, network, RADII, 2, (ENOUGH - 0.5) * cost(network, three))
    assert (found.rows, found.methods) == (512, ("interval", "crown"))
    assert found.samples >= ENOUGH


@pytest.mark.parametrize("share", [0.3, 1, 9, 30, 150])
def test_never_above_the_budget(network: Network, share: float) -> None:
    budget = share * cost(network, WANTED)
    found = fitted(WANTED, network, RADII, 2, budget)
    assert found.samples * cost(network, found) <= budget
    assert found.samples >= 1


def test_too_large_is_not_assessed_with_the_way_out(network: Network) -> None:
    with pytest.raises(NotAssessedError, match="too large") as raised:
        fitted(WANTED, network, RADII, 2, 1e-6)
    assert "budget" in (raised.value.hint or "")


def test_what_was_left_out_is_said() -> None:
    (finding,) = left_out("certificates", WANTED, Share(30, 64, ("interval", "crown")), 5)
    assert (finding.value, finding.headline) == (30.0, True)
    assert "30 of 200 samples" in finding.reason
    assert "64 instead of 512 neurons" in finding.reason
    assert "checks.certificates.budget" in finding.reason
    (finding,) = left_out("certificates", WANTED, Share(30, 16, ("interval",)), 5)
    assert "only interval bounds" in finding.reason
    assert "neurons" not in finding.reason


def test_the_check_asks_about_what_fits_and_says_so() -> None:
    """Six points; a budget for five of them: five are asked about, and the record says so."""
    where = context(Line())
    prepared = Network(trace(Line(), (1,), device=torch.device("cpu")))
    one = sum(
        worst_case(prepared, method=method, norm=norm, rows=512, functions=1)
        for norm in ("linf", "linf", "l2")
        for method in ("interval", "crown")
    )
    settings = CertificatesSettings(**{**SETTINGS.model_dump(), "budget": 5.5 * one / 1e9, "rows": LEAST_ROWS})
    found = audit(Certificates(), settings, where)
    certified = [finding for finding in found.values() if finding.metric == "certified_accuracy"]
    assert len(certified) == 6
    assert {finding.n for finding in certified} == {5}
    assert "5 of 6 samples" in found["certificates/samples_within_the_budget"].reason
