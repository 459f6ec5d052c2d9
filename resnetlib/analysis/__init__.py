"""Looking into networks, by way of what all of them share."""

from resnetlib.analysis.cost import Cost, PartCost, measure_cost

__all__ = ["Cost", "PartCost", "measure_cost"]
