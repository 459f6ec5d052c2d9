"""How others name the same tensors, and what network tensors are of."""

from resnetlib.weights.dialects.infer import Inferred, fitting_specs, infer_spec, nearest_name
from resnetlib.weights.dialects.recognise import Recognised, recognise, to_dialect
from resnetlib.weights.dialects.tables import DIALECTS
from resnetlib.weights.dialects.wrappers import unwrap

__all__ = ["DIALECTS", "Inferred", "Recognised", "fitting_specs", "infer_spec", "nearest_name", "recognise", "to_dialect", "unwrap"]
