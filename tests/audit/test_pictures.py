from __future__ import annotations

import numpy as np
import pytest
import torch

from robust.audit.pictures import as_change, as_heat, as_picture, is_picture
from robust.properties import Box


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [((1, 8, 8), True), ((3, 8, 8), True), ((8, 8, 3), True), ((8, 8), True), ((13,), False), ((4, 8, 8), False)],
)
def test_what_can_be_drawn(shape: tuple[int, ...], drawn: bool) -> None:
    assert is_picture(shape) is drawn


def test_the_box_becomes_the_range_of_grey() -> None:
    box = Box(torch.full((1, 1, 2), -1.0), torch.full((1, 1, 2), 3.0))
    assert as_picture(np.array([[[-1.0, 1.0]]], dtype=np.float32), box).tolist() == [[[0.0, 0.5]]]


def test_a_perturbation_is_drawn_around_grey() -> None:
    box = Box(torch.zeros(1, 1, 2), torch.full((1, 1, 2), 2.0))
    before = np.array([[[1.0, 1.0]]], dtype=np.float32)
    picture, factor = as_change(before, before + np.array([[[0.25, -0.125]]], dtype=np.float32), box)
    assert factor == 4.0
    assert picture.tolist() == [[[1.0, 0.25]]]
    assert as_change(before, before, box)[1] == 1.0


def test_channels_last_become_first() -> None:
    box = Box(torch.zeros(4, 5, 3), torch.ones(4, 5, 3))
    assert as_picture(np.zeros((4, 5, 3), dtype=np.float32), box).shape == (3, 4, 5)


def test_a_map_is_red_above_nothing_and_blue_below() -> None:
    heat = as_heat(np.float32([[2.0, -1.0], [0.0, 1.0]]))
    assert heat[:, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert heat[:, 0, 1].tolist() == [0.5, 0.5, 1.0]
    assert heat[:, 1, 0].tolist() == [1.0, 1.0, 1.0]
    assert heat[:, 1, 1].tolist() == [1.0, 0.5, 0.5]
    assert (as_heat(np.zeros((2, 3))) == 1.0).all()
