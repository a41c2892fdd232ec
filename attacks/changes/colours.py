"""Changes of light and colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.changes.change import Change, Interval, check_range, require_picture


class Light(Change):
    """``pivot + c (x - pivot) + d``: contrast ``c`` around the picture's mean, brightness ``d`` in input units.

    Args:
        brightness: what is added.
        contrast: what differences to the mean are multiplied by.
    """

    name = "light"

    def __init__(self, *, brightness: Interval = (0.0, 0.0), contrast: Interval = (1.0, 1.0)) -> None:
        self.brightness, self.contrast = check_range("brightness", brightness), check_range("contrast", contrast, 0.0)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Brightness, contrast; of inputs of any shape."""
        return (self.brightness, self.contrast)

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """As it is."""
        return torch.tensor([0.0, 1.0])

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Lit pictures."""
        added, factor = (part.reshape(-1, *[1] * (x.ndim - 1)) for part in parameters.to(x).unbind(1))
        pivot = x.flatten(1).mean(1).reshape(factor.shape)
        return torch.lerp(pivot, x, factor) + added

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"brightness": self.brightness, "contrast": self.contrast}


class Colour(Change):
    """Hue and saturation of pictures with three channels, red, green and blue.

    The hue turns colours about the grey axis of the RGB cube, saturation moves them away from it or towards it; so the
    sum of the channels stays what it was. (Colour shifts as attacks: Hosseini and Poovendran, Semantic Adversarial
    Examples, 2018, there in HSV, which has no derivative at grey.)

    Args:
        hue: degrees; red goes to green at 120.
        saturation: 0 is grey, 1 as it is.
    """

    name = "colour"

    def __init__(self, *, hue: Interval = (0.0, 0.0), saturation: Interval = (1.0, 1.0)) -> None:
        self.hue, self.saturation = check_range("hues", hue), check_range("saturation", saturation, 0.0)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Hue, saturation."""
        require_picture(shape, "a change of colour", channels=3)
        return (self.hue, self.saturation)

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """As it is."""
        return torch.tensor([0.0, 1.0])

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Recoloured pictures."""
        hue, saturation = (part[:, None, None] for part in parameters.to(x).unbind(1))
        theta = torch.deg2rad(hue)
        grey = x.mean(1, keepdim=True)
        colour = x - grey  # in the plane across the grey axis, where a turn is cos + sin (axis x colour)
        turned = (colour.roll(1, 1) - colour.roll(-1, 1)) / 3**0.5
        return grey + saturation[:, None] * (theta.cos()[:, None] * colour + theta.sin()[:, None] * turned)

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"hue": self.hue, "saturation": self.saturation}
