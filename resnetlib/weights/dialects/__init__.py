"""How others name the same tensors, and what network tensors are of."""

from resnetlib.weights.dialects.check import check_size, check_spec
from resnetlib.weights.dialects.equivalent import simplest
from resnetlib.weights.dialects.infer import Inferred, fitting_specs, infer_spec, nearest_name
from resnetlib.weights.dialects.recognise import Recognised, dialect_named, recognise, to_dialect
from resnetlib.weights.dialects.renaming import ENDS
from resnetlib.weights.dialects.tables import DIALECTS
from resnetlib.weights.dialects.wrappers import unwrap

__all__ = [
    "DIALECTS",
    "ENDS",
    "Inferred",
    "Recognised",
    "check_size",
    "check_spec",
    "dialect_named",
    "fitting_specs",
    "infer_spec",
    "nearest_name",
    "recognise",
    "simplest",
    "to_dialect",
    "unwrap",
]
