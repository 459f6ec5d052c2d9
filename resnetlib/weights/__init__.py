"""Where weights come from: files, their dialects, and what is known of them."""

from resnetlib.weights.adapt import InputRule, adapt_input
from resnetlib.weights.catalog import describe, list_weights, read_embedded, tags_of
from resnetlib.weights.contract import Contract
from resnetlib.weights.convert import convert_file
from resnetlib.weights.dialects import DIALECTS, infer_spec, recognise, to_dialect
from resnetlib.weights.files import WeightsFile, read_weights, write_state, write_weights
from resnetlib.weights.load import load_state
from resnetlib.weights.preprocess import MEAN_STD, Preprocessing
from resnetlib.weights.sources import EmbeddedFile, HubFile, UrlFile

__all__ = [
    "DIALECTS",
    "MEAN_STD",
    "Contract",
    "EmbeddedFile",
    "HubFile",
    "InputRule",
    "Preprocessing",
    "UrlFile",
    "WeightsFile",
    "adapt_input",
    "convert_file",
    "describe",
    "infer_spec",
    "list_weights",
    "load_state",
    "read_embedded",
    "read_weights",
    "recognise",
    "tags_of",
    "to_dialect",
    "write_state",
    "write_weights",
]

list = list_weights  # noqa: A001 - to be called as resnetlib.weights.list; a star import leaves the builtin alone
