from __future__ import annotations

from xml.etree import ElementTree as ET

from reports.curve_plot import curve_styles, describe, draw_curves, legend, warnings
from robust.record import Band, Curve, CurvePlot

SVG = ET.Element


def plot(*curves: Curve, **more: object) -> CurvePlot:
    fields = {"title": "T", "x_label": "x", "y_label": "y", "x_range": (0, 1), "y_range": (0, 1), **more}
    return CurvePlot.model_validate({**fields, "curves": curves})


def draw(found: CurvePlot) -> ET.Element:
    return ET.fromstring(str(draw_curves(found, "a")))


def paths(root: ET.Element, class_: str) -> list[str]:
    return [e.attrib["d"] for e in root.iter("path") if class_ in e.get("class", "").split()]


def test_two_points_land_where_the_margins_say() -> None:
    """The plot lies between x 56 and 464, y 34 (top) and 260 (bottom)."""
    root = draw(plot(Curve(label="a", x=(0.0, 1.0), y=(1.0, 0.0))))
    assert paths(root, "curve") == ["M56,34L464,260"]
    marks = [(e.get("cx"), e.get("cy")) for e in root.iter("circle") if "mark" in e.get("class", "")]
    assert marks == [("56", "34"), ("464", "260")]


def test_a_band_goes_up_one_side_and_back_the_other() -> None:
    root = draw(plot(Curve(label="a", x=(0.0, 1.0), y=(0.5, 0.5), band=Band(low=(0.0, 0.25), high=(1.0, 0.75)))))
    assert paths(root, "band") == ["M56,34L464,90.5L464,203.5L56,260Z"]


def test_the_sandwich_is_filled_by_hand_computed_areas() -> None:
    attack = Curve(label="pgd", x=(0.0, 1.0), y=(1.0, 0.5), role="attack")
    proof = Curve(label="crown", x=(0.0, 1.0), y=(0.75, 0.25), role="certificate")
    root = draw(plot(attack, proof))
    # heights: 0.25 -> 260 - 0.25 * 226 = 203.5; the attack at 0 allows 1.0 up to the next budget
    assert paths(root, "proved") == ["M56,260L56,203.5L464,203.5L464,260Z"]
    assert paths(root, "region") == ["M56,260L56,203.5L464,203.5L464,260Z", "M56,203.5L56,34L464,34L464,203.5Z"]
    assert paths(root, "curve") == ["M56,34L464,34L464,147", "M56,90.5L56,203.5L464,203.5"]
    assert [words for _, words in legend(plot(attack, proof), "a")][2:] == [
        "proved: no perturbation of this size changes the answer",
        "undecided: neither proved nor broken",
        "broken: an attack succeeded, or the answer was wrong to begin with",
    ]


def test_a_certificate_without_an_attack_is_still_drawn_as_steps() -> None:
    root = draw(plot(Curve(label="crown", x=(0.0, 1.0), y=(1.0, 0.0), role="certificate")))
    assert paths(root, "curve") == ["M56,34L56,260L464,260"]
    assert paths(root, "region") == []


def test_contradictions_and_missing_partners_are_said() -> None:
    attack = Curve(label="pgd", x=(0.1,), y=(0.5,), role="attack")
    proof = Curve(label="crown", x=(0.1,), y=(0.6,), role="certificate")
    lame = Curve(label="lame", x=(0.1, 0.2), y=(0.6,))
    found = warnings(plot(attack, proof, lame))
    assert len(found) == 2
    assert "0.6 certified" in found[0]
    assert "lame" in found[1]
    assert warnings(plot(attack)) == []


def test_empty_single_and_constant_data_are_drawn() -> None:
    assert [e.text for e in draw(plot()).iter("text")].count("no points") == 1
    assert len(paths(draw(plot(Curve(label="a", x=(0.5,), y=(0.5,)))), "curve")) == 1
    constant = draw(plot(Curve(label="a", x=(2.0, 2.0), y=(3.0, 3.0)), x_range=None, y_range=None))
    assert paths(constant, "curve") == ["M260,147L260,147"]


def test_data_outside_the_wanted_range_stretch_it() -> None:
    root = draw(plot(Curve(label="a", x=(0.0, 2.0), y=(0.0, 1.0))))
    assert paths(root, "curve") == ["M56,260L464,34"]


def test_names_and_words_for_those_who_cannot_see_it() -> None:
    found = plot(Curve(label="a", x=(0.0, 1.0), y=(1.0, 0.5)))
    root = draw(found)
    assert root.get("role") == "img"
    assert [root[0].text, root[1].text] == ["T", describe(found)]
    assert describe(found) == "y over x. a: 1 at 0 to 0.5 at 1."


def test_roles_tell_curves_apart() -> None:
    roles = ("main", "main", "attack", "certificate", "control", "reference")
    curves = [Curve.model_validate({"label": role, "x": (0,), "y": (0,), "role": role}) for role in roles]
    assert curve_styles(curves) == ["main c0", "main c1", "attack c1", "certificate c0", "control", "reference"]
