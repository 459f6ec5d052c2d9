"""The networks for torch.hub: `torch.hub.load("path/to/this/checkout", "resnet50", source="local", pretrained=True)`."""

from resnetlib import create_model as create_model
from resnetlib.models import entrypoints as _entrypoints
from resnetlib.models.catalog import SPECS as _SPECS

dependencies = ["torch", "safetensors", "numpy", "huggingface_hub", "filelock"]

globals().update({name: getattr(_entrypoints, name) for name in _SPECS})
