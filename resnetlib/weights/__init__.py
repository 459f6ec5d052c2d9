"""Pretrained weights: files, the names of other libraries, and the catalog."""

from resnetlib.config import MEAN_STD, EmbeddedFile, HubFile, Preprocessing, PretrainedConfig, UrlFile
from resnetlib.weights.catalog import describe, list_pretrained, read_embedded, tags_of
from resnetlib.weights.convert import convert_file
from resnetlib.weights.dialects.infer import infer_spec
from resnetlib.weights.dialects.rename import recognize_dialect, to_dialect
from resnetlib.weights.dialects.rules import DIALECTS
from resnetlib.weights.files import WeightsFile, read_weights, write_state, write_weights
from resnetlib.weights.load import InputRule, adapt_input, load_state

__all__ = [
    "DIALECTS",
    "MEAN_STD",
    "EmbeddedFile",
    "HubFile",
    "InputRule",
    "Preprocessing",
    "PretrainedConfig",
    "UrlFile",
    "WeightsFile",
    "adapt_input",
    "convert_file",
    "describe",
    "infer_spec",
    "list_pretrained",
    "load_state",
    "read_embedded",
    "read_weights",
    "recognize_dialect",
    "tags_of",
    "to_dialect",
    "write_state",
    "write_weights",
]
