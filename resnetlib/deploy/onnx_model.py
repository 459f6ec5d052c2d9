"""Run exported networks in onnxruntime or OpenVINO, without torch."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import WeakSet

import numpy as np

from resnetlib.config import Preprocessing, spec_from_dict
from resnetlib.config.integers import check_count
from resnetlib.deploy.onnx_file import OnnxFile, read_onnx
from resnetlib.errors import InputError, InputTypeError, MissingPackageError, printable
from resnetlib.images import in_batches, open_image
from resnetlib.predictions import Prediction, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

Runtime = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16"]
Run = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]

_EXTRAS: Mapping[Runtime, str] = {"openvino": "openvino", "onnxruntime": "onnx"}
"""The runtimes, the preferred one first, and the extras of this package that install them."""


class OnnxModel:
    """An exported network. Neither this class nor what it imports needs torch, and several threads may use it.

    The file is checked before the runtime reads it: see `docs/safety.md`. After a fork, the child process must load its own model.

    Args:
        path: an .onnx file, as `resnetlib.export` writes it.
        runtime: "onnxruntime" or "openvino"; None for OpenVINO where it is installed, else onnxruntime.
        threads: number of threads; None for the runtime's choice.
        precision: "fp32", or "bf16" for OpenVINO on processors that compute with it.
        preprocessing: for a file without one in its metadata, such as one that another library exported.

    Attributes:
        path: the file.
        runtime: the runtime.
        num_classes: number of logits.
        classes: their names, or None.
        input_shape: channels, height and width of the input; None for a height or width that is not fixed.
        preprocessing: the preprocessing, or None.
        metadata: the description of the network that `export` wrote; None for other files.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or holds anything but an image classifier, or the runtime cannot run it.
        ImportError: if the runtime is not installed.

    Example:
        >>> OnnxModel("resnet50.onnx")
        Traceback (most recent call last):
        resnetlib.errors.MissingFileError: there is no file resnet50.onnx
    """

    def __init__(
        self,
        path: str | Path,
        *,
        runtime: Runtime | None = None,
        threads: int | None = None,
        precision: Precision = "fp32",
        preprocessing: Preprocessing | None = None,
    ) -> None:
        threads = None if threads is None else check_count("threads", threads, minimum=1)
        if precision not in get_args(Precision):
            raise InputError(f"precision must be 'fp32' or 'bf16', got {precision!r}")
        if not isinstance(path, str | Path):
            raise InputTypeError(f"path must be that of an .onnx file, got {path!r:.200}")
        file = read_onnx(path)
        if preprocessing is not None and not isinstance(preprocessing, Preprocessing):
            raise InputTypeError(f"preprocessing must be a Preprocessing, got {type(preprocessing).__name__}")
        if preprocessing is not None and file.preprocessing is not None:
            raise InputError(f"{path} has its own preprocessing: leave out preprocessing")
        self.path, self.input_shape, self.num_classes = file.path, file.input_shape, file.num_classes
        self._ends_in_softmax = file.ends_in_softmax
        self.metadata, self.preprocessing = file.metadata, preprocessing or file.preprocessing
        self.classes = tuple(file.metadata["classes"]) if file.metadata and file.metadata["classes"] is not None else None
        self.runtime: Runtime = choose_runtime(runtime)
        if precision == "bf16" and self.runtime != "openvino":
            raise InputError(f"{self.runtime} does not convert a network to bf16: use runtime='openvino'")
        with _errors_named(self):
            start = _start_openvino if self.runtime == "openvino" else _start_onnxruntime
            self._run: Run | None = start(file, threads, precision)
        self._again = partial(
            OnnxModel, self.path, runtime=self.runtime, threads=threads, precision=precision, preprocessing=preprocessing
        )
        self._smallest = spec_from_dict(file.metadata["spec"]).smallest_input if file.metadata else 1
        self._process = os.getpid()
        _models.add(self)

    def __reduce__(self) -> "tuple[Callable[[], OnnxModel], tuple[()]]":
        return self._again, ()  # a copy, for example in another process, loads the file again

    def __repr__(self) -> str:
        return f"OnnxModel({str(self.path)!r}, runtime={self.runtime!r})"

    def preprocess(self, image: "Image | NDArray[np.uint8]", *, exif: bool = True) -> "NDArray[np.float32]":
        """Return the network's input for an image.

        Args:
            image: a PIL image, or a uint8 array `(H, W)` or `(H, W, 3)`.
            exif: whether to apply the EXIF orientation of a PIL image.

        Returns:
            The input `(C, size, size)`, the same as by `net.preprocess`.

        Raises:
            ValueError: if the preprocessing is unknown, or the image is of another kind.
        """
        return self.check_preprocessing().to_array(open_image(image, exif=exif), exif=exif)

    def check_preprocessing(self) -> Preprocessing:
        """Return the preprocessing; raise ValueError if it is unknown."""
        if self.preprocessing is None:
            raise InputError(
                f"{self.path} has no preprocessing in its metadata: export the network again with net.preprocess set, or give "
                "OnnxModel(path, preprocessing=resnetlib.weights.Preprocessing(...))"
            )
        return self.preprocessing

    def __call__(self, x: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Return the logits `(N, num_classes)` of preprocessed images `(N, C, H, W)`, both float32.

        Those of a file that ends in a softmax, as another library may export it, are the logarithms of its probabilities.
        """
        channels, height, width = self.input_shape
        expected = f"float32 of shape (N, {channels}, {height or 'H'}, {width or 'W'})"
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise InputTypeError(f"expected an array of {expected}, got {got}")
        if x.ndim != 4 or not all(fixed in (None, size) for fixed, size in zip(self.input_shape, x.shape[1:], strict=True)):
            raise InputError(f"expected an array of {expected}, got one of shape {x.shape}")
        if min(x.shape[2:]) < self._smallest:  # a runtime may return anything
            raise InputError(
                f"expected images of at least {self._smallest} x {self._smallest} pixels, got {x.shape[2]} x {x.shape[3]}"
            )
        if not len(x):
            return np.empty((0, self.num_classes), np.float32)
        if self._process != os.getpid():
            raise InputError(f"{self!r} belongs to the parent process, whose threads a fork does not copy: load it again here")
        run = self._run = self._run or self._again()._run
        assert run is not None  # noqa: S101 - for type checkers
        try:
            with _errors_named(self):
                logits = run(np.ascontiguousarray(x))
        except InputError:
            if self.runtime == "openvino":  # its network fails ever after, and may crash the process if it is destroyed
                _failed.append(run)
                self._run = None
            raise
        if logits.shape != (len(x), self.num_classes) or logits.dtype != np.float32:
            raise InputError(
                f"{self.path} returned {logits.dtype} of shape {logits.shape}, not {self.num_classes} logits per image"
            )
        if self._ends_in_softmax:  # a probability that is rounded to 0 would have the loss inf
            return np.log(np.maximum(logits, np.finfo(np.float32).tiny))
        return logits

    def classify(self, images: Any, *, top: int = 5, exif: bool = True) -> list[Prediction] | list[list[Prediction]]:
        """Predict the classes of an image, or of several, as `resnetlib.classify` does.

        Args:
            images: an image (a path, a PIL image, a uint8 array `(H, W, C)` or tensor `(C, H, W)`), a sequence of images, or a
                batch: a uint8 array `(N, H, W, C)` or tensor `(N, C, H, W)`.
            top: number of predictions per image.
            exif: whether to turn files and PIL images upright by their EXIF orientation.

        Returns:
            The predictions, the most probable first: a list for an image, and a list of such lists for several.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file cannot be read, the preprocessing is unknown, logits are not finite, or `top` is below 1.
            TypeError: if `images` is neither an image nor a sequence.
        """
        check_count("top", top, minimum=1)
        batches, single = in_batches(images)
        predictions: list[list[Prediction]] = []
        for batch in batches:
            x = np.stack([self.preprocess(_to_array(image), exif=exif) for image in batch])
            predictions += rank(self(x), self.classes, top)
        return predictions[0] if single else predictions


def choose_runtime(runtime: str | None = None) -> Runtime:
    """Return the runtime of this name, or the preferred one; raise ImportError if it, or any, is not installed."""
    if runtime is not None and runtime not in list(_EXTRAS):
        raise InputError(f"runtime must be one of {', '.join(map(repr, _EXTRAS))}, got {runtime!r}")
    wanted: Sequence[Runtime] = [each for each in _EXTRAS if runtime in (None, each)]
    for each in wanted:
        if find_spec(each) is not None:
            return each
    how = " or ".join(f'pip install "resnetlib[{_EXTRAS[each]}]"' for each in reversed(wanted))
    raise MissingPackageError(f"running .onnx files needs {' or '.join(reversed(wanted))}: {how}")


@contextmanager
def _errors_named(model: OnnxModel) -> Iterator[None]:
    """Turn errors of a runtime into a ValueError that names the file."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        what = f"{printable(model.path, 1000)}: {model.runtime} cannot run it"
        raise InputError(f"{what}: {printable(error, 500)}") from error


def _to_array(image: Any) -> Any:
    """Convert a uint8 tensor `(C, H, W)` to an array `(H, W, C)` or `(H, W)`; return anything else unchanged."""
    if not hasattr(image, "permute"):
        return image
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InputError(f"a tensor must be a uint8 image (3, H, W) or (1, H, W), got {image.dtype} of {tuple(image.shape)}")
    array = image.permute(1, 2, 0).cpu().numpy()
    return array.squeeze(2) if image.shape[0] == 1 else array


def _start_onnxruntime(file: OnnxFile, threads: int | None, _: Precision) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(file.content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    images, logits = file.input, [file.output]  # and not the file, whose content would stay in memory
    return lambda x: session.run(logits, {images: x})[0]


_models = WeakSet[OnnxModel]()
_inherited: list[OnnxModel] = []
"""Models of the parent process, kept alive: the runtimes' threads do not exist here, and destroying a model waits for them."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=lambda: _inherited.extend(_models))


_failed: list[Run] = []
"""Networks that failed in OpenVINO. Destroying them can crash the process."""


@cache
def _openvino_core() -> Any:
    """Return the process's one OpenVINO core.

    Each core gives the thread an alternate signal stack and frees it at its end. Of two cores, the second would restore the freed
    stack of the first, and the next signal with a handler would crash the process.
    """
    import openvino

    return openvino.Core()


def _start_openvino(file: OnnxFile, threads: int | None, precision: Precision) -> Run:
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(precision, precision)}
    if threads is not None:
        hints["INFERENCE_NUM_THREADS"] = threads
    core = _openvino_core()
    compiled = core.compile_model(core.read_model(file.content), "CPU", hints)
    requests = threading.local()  # a request runs one batch at a time

    def run(x: "NDArray[np.float32]") -> "NDArray[np.float32]":
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        logits: NDArray[np.float32] = requests.own.infer([x])[0]
        return logits

    return run
