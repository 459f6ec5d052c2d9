"""Feature maps for detectors, segmentation, and whatever else stands on a backbone."""

from resnetlib.features.pyramid import Pyramid, pyramid

__all__ = ["Pyramid", "pyramid"]
