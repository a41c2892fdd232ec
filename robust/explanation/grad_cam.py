"""Grad-CAM and guided Grad-CAM (Selvaraju et al. 2017, *Grad-CAM: Visual Explanations from Deep Networks*)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import functional

from robust.explanation.layers import GraphModule, last_spatial_node
from robust.explanation.maps import as_maps, check_request
from robust.graph import Graph


def grad_cam(graph: Graph, x: Tensor, classes: Tensor, *, counterfactual: bool = False) -> Tensor:
    """``relu(sum_k alpha_k A^k)``, ``alpha_k`` the mean gradient of the logit by ``A^k`` (section 3).

    Args:
        graph: of the subject's module.
        x: ``[n, C, H, W]`` in input units.
        classes: int64 ``[n]``, the logit of each sample to explain.
        counterfactual: negate the gradients: places that speak against the class (section 3.2 of the 2020 version).

    Returns:
        float32 ``[n, H, W]``, not negative, enlarged from the last convolution's size by bilinear interpolation.

    Raises:
        NotExplainableError: no convolution with more than one place.
    """
    from captum.attr import LayerGradCam

    check_request(x, classes)
    module, node = GraphModule(graph), last_spatial_node(graph)
    method = LayerGradCam(module, module.operations[node.index - 1])
    with torch.enable_grad():
        small = method.attribute(x.detach().clone().requires_grad_(True), target=classes)
    small = (-small if counterfactual else small).detach().relu()
    large = functional.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)
    return as_maps(large)


def guided_grad_cam(graph: Graph, x: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM times guided backpropagation (Springenberg et al. 2015), pixel by pixel (section 3.1).

    Guided backpropagation looks much the same for random weights (Adebayo et al. 2018), so the product is sharp but
    its fine structure says little about the model. The guided gradient is summed over channels before the product.

    Returns:
        float32 ``[n, H, W]``, signed.

    Raises:
        NotExplainableError: no convolution with more than one place.
    """
    from captum.attr import GuidedBackprop

    cam = grad_cam(graph, x, classes)
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks")
        guided = GuidedBackprop(GraphModule(graph)).attribute(x.detach().clone().requires_grad_(True), target=classes)
    return cam * as_maps(guided)
