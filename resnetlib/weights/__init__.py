"""Where weights come from: files, their dialects, and what is known of them."""

from resnetlib.weights.catalog import read_embedded, tags_of
from resnetlib.weights.contract import Contract
from resnetlib.weights.files import WeightsFile, read_weights, write_weights
from resnetlib.weights.load import load_state
from resnetlib.weights.preprocess import MEAN_STD, Preprocessing

__all__ = [
    "MEAN_STD",
    "Contract",
    "Preprocessing",
    "WeightsFile",
    "load_state",
    "read_embedded",
    "read_weights",
    "tags_of",
    "write_weights",
]
