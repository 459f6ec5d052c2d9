"""Export networks to ONNX, in fp32 or int8, and check the files in the runtimes that will run them."""

import json
import logging
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.resources import as_file, files
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from resnetlib import __version__
from resnetlib.config import Preprocessing
from resnetlib.config.integers import as_integer
from resnetlib.config.preprocess import MAX_IMAGE_SIZE
from resnetlib.config.pretrained import DEFAULT_PREPROCESSING
from resnetlib.deploy.fuse import on_cpu_without_autocast
from resnetlib.deploy.onnx_file import KEY
from resnetlib.deploy.onnx_model import OnnxModel, Runtime
from resnetlib.disk import check_writable, local_path, write_atomically
from resnetlib.errors import InputError, InputTypeError, MissingFileError, MissingPackageError, NotAFileError, printable
from resnetlib.images import as_tensor, read_image
from resnetlib.modules import Backbone
from resnetlib.modules.backbone import check_network, copy_network
from resnetlib.modules.hashes import hash_tensors
from resnetlib.modules.thread_guards import in_use

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

__all__ = ["ExportReport", "RuntimeCheck", "export"]

IMAGES = 512
"""The most images that calibrate, and that check a file."""

_BATCH = 32
"""Images in a batch, for calibration and for the check."""

_TOLERANCE = {"fp32": 1e-4, "int8": 0.1}
"""Bounds of the check: the largest difference of logits over the largest logit; the share of images whose top-1 class differs."""

_MAX_BYTES = 2**31 - 2**24
"""Protobuf's limit of 2 GiB for a file, less room for the graph."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

_RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")

_TIMED = 0.5
"""Seconds for which the speed is measured."""

_EXPORTING = threading.Lock()
"""Neither the exporter nor the filter of log messages is safe in several threads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeCheck:
    """How one runtime runs an exported file, in fp32 arithmetic or the file's int8.

    Args:
        runtime: "onnxruntime" or "openvino".
        deviation: largest difference from the network's logits, divided by the largest magnitude of these.
        agreement: share of images with the same most probable class, from 0 to 1.
        load_seconds: time to load the file, after the runtime has been imported.
        images_per_second: speed, in batches of up to 32 images.
    """

    runtime: Runtime
    deviation: float
    agreement: float
    load_seconds: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """An exported file, and how it compares with the network.

    Args:
        path: the file.
        bytes: its size.
        opset: version of ONNX's operators.
        int8: whether its weights and activations are int8.
        fp32_bytes: size of the same network in fp32.
        input: shape of the input, such as `(N, 3, 224, 224)`.
        images: number of images that were compared.
        source: which images these are.
        checks: the comparison, for each runtime that is installed.
        notes: what the file lacks, such as preprocessing.
    """

    path: Path
    bytes: int
    opset: int
    int8: bool
    fp32_bytes: int
    input: str
    images: int
    source: str
    checks: tuple[RuntimeCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def deviation(self) -> float:
        """The largest deviation in any runtime."""
        return max(check.deviation for check in self.checks)

    @property
    def agreement(self) -> float:
        """The smallest agreement in any runtime."""
        return min(check.agreement for check in self.checks)

    def __str__(self) -> str:
        size = f"{self.bytes / 2**20:,.2f} MiB" + f" (fp32: {self.fp32_bytes / 2**20:,.2f} MiB)" * self.int8
        kind = "int8" if self.int8 else "fp32"
        lines = [
            f"{printable(self.path, 1000)}: {kind}, input {self.input}, opset {self.opset}, {size}",
            f"compared with the network on {self.images:,} images: {self.source}",
            f"{'':12} {'deviation':>10} {'same top-1':>11} {'load':>9} {'images/s':>10}",
        ]
        lines += [
            f"{on.runtime:12} {on.deviation:10.1e} {on.agreement:11.2%} {on.load_seconds:7.2f} s {on.images_per_second:10,.1f}"
            for on in self.checks
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@on_cpu_without_autocast()
def export(
    net: Backbone,
    path: str | Path,
    *,
    size: int | Literal["dynamic"] | None = None,
    int8: bool = False,
    calibration: Iterable[Any] | None = None,
    images: Iterable[Any] | None = None,
    tolerance: float | None = None,
) -> ExportReport:
    """Export a network to an ONNX file, and compare the file with the network in each runtime that is installed.

    The file takes batches of any size. Norms are folded into the convolutions before them where that is possible. Its metadata hold
    the spec, the preprocessing, the classes, the pretrained weights it was created with, and a hash of its weights. The network is
    not changed; the file holds it in evaluation mode, in fp32, and without its hooks.

    For int8, weights are quantized to signed integers of 7 bits with a scale for each output channel, and activations to unsigned
    ones of 8 bits with a scale for each tensor, by their ranges on the calibration images. The runtimes then compute in int8. The
    eighth bit of the weights would overflow the sums on processors without VNNI.

    Args:
        net: the network; on any device, in any dtype.
        path: the file to write, which ends in .onnx. A file that exists is replaced once the new one has passed the check.
        size: height and width of the input, in pixels; None for the preprocessing's, and "dynamic" for any. If it differs
            from the preprocessing's size, the preprocessing stored in the file is scaled to match.
        int8: whether to quantize to int8.
        calibration: for int8, preprocessed images to calibrate with: batches `(N, C, H, W)`, or pairs of such and labels, as
            `evaluate` takes them. The first 512 images are used. Take training images, never those to evaluate on.
        images: images to compare on, likewise; by default those for calibration, or else ten test images of CIFAR-10.
        tolerance: for fp32, the largest difference of logits, divided by the largest logit, 1e-4 by default. For int8, the largest
            share of images whose most probable class differs, 0.1 by default.

    Returns:
        The file's size, and its deviation, agreement, loading time and speed in each runtime.

    Raises:
        ImportError: if onnx, onnxscript or onnxruntime is not installed: `pip install "resnetlib[onnx]"`.
        ValueError: if the file does not compute what the network computes, and no file is written; if the network has no
            classifier or is too large for a file of 2 GiB; or if an argument cannot be used.
        TypeError: if `net` is not a network.
        RuntimeError: if another thread analyzes the network.

    Example:
        >>> import tempfile
        >>> from resnetlib import ResNetSpec, build
        >>> net = build(ResNetSpec(block="basic", depths=(1,), widths=(8,), stem="cifar"), num_classes=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = export(net, f"{folder}/small.onnx")
        >>> report.input, report.deviation < 1e-4
        ('(N, 3, 32, 32)', True)
    """
    net = check_network(net)
    path = local_path(path)
    _check_packages()
    _check_path(path)
    _check_exportable(net)
    bound = _TOLERANCE["int8" if int8 else "fp32"] if tolerance is None else tolerance
    if isinstance(bound, bool) or not isinstance(bound, Real) or not bound >= 0:
        raise InputError(f"tolerance must be a number of at least 0, got {tolerance!r}")
    if int8 and calibration is None:
        raise InputError(
            "int8 needs images to calibrate with: calibration=batches, an iterable of preprocessed batches (N, C, H, W), or of "
            f"pairs of such and labels; {IMAGES} training images are enough"
        )
    if calibration is not None and not int8:
        raise InputError("calibration requires int8=True: to compare on images of your own, give images=batches")
    pixels, preprocess = choose_size(net, size)
    shape = (net.in_chans, None if size == "dynamic" else pixels)
    calibrating = None if calibration is None else _gather("calibration", calibration, *shape)
    given = calibrating if images is None else _gather("images", images, *shape)
    source = "images" if images is not None else "the images for calibration"
    if given is None:
        given, source = _samples(net, preprocess, pixels)
    with in_use(net, exclusive=False):
        metadata, notes = _describe(net, preprocess, int8)
        plain = _plain_copy(net)
    with tempfile.TemporaryDirectory(prefix="resnetlib-export-") as folder:
        temporary = Path(folder) / path.name
        fp32_bytes, opset = _write_onnx(plain, temporary, pixels, metadata, dynamic=size == "dynamic")
        if calibrating is not None:
            _quantize(temporary, calibrating)
        batches = list(_batches(given, dynamic=size == "dynamic"))
        with torch.inference_mode():
            expected = [plain(x) for x in batches]
        checks = tuple(_check(temporary, runtime, batches, expected) for runtime in _RUNTIMES if find_spec(runtime))
        for check in checks:
            if not (1 - check.agreement if int8 else check.deviation) <= bound:  # NaN is wrong too
                raise InputError(_failure(check, int8, bound, notes))
        content = temporary.read_bytes()
    write_atomically(path, content)
    side = "H, W" if size == "dynamic" else f"{pixels}, {pixels}"
    return ExportReport(
        path=path,
        bytes=len(content),
        opset=opset,
        int8=int8,
        fp32_bytes=fp32_bytes,
        input=f"(N, {net.in_chans}, {side})",
        images=sum(map(len, batches)),
        source=source,
        checks=checks,
        notes=notes,
    )


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingPackageError(f'export needs {", ".join(missing)}: pip install "resnetlib[onnx]"')


def _check_path(path: Path) -> None:
    """Check that the file can be written, before the work begins."""
    if path.suffix.lower() != ".onnx":
        raise InputError(f"the file must end in .onnx, got {str(path)!r}")
    if path.is_dir():
        raise NotAFileError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise MissingFileError(f"there is no folder {path.parent}: create it first")
    check_writable(path.parent)


def _check_exportable(net: Backbone) -> None:
    if net.num_classes == 0:
        raise InputError("this network has no classifier: give it one with reset_classifier, or load weights that have one")
    if next(net.parameters()).is_meta:
        raise InputError("this network is on the device meta, and has no weights: create it with weights")
    size = 4 * sum(parameter.numel() for parameter in net.parameters())
    if size > _MAX_BYTES:
        raise InputError(f"the network has {size:,} bytes of weights in fp32: an ONNX file holds 2 GiB, at most {_MAX_BYTES:,}")


def choose_size(net: Backbone, size: int | Literal["dynamic"] | None) -> tuple[int, Preprocessing | None]:
    """Return the input's height in pixels, for "dynamic" that of an example, and the preprocessing for it."""
    preprocess = net.preprocess if isinstance(net.preprocess, Preprocessing) else None
    if preprocess is not None and preprocess.channels != net.in_chans:
        raise InputError(f"net.preprocess makes {preprocess.channels} channels, but the network takes {net.in_chans}")
    if size is None or size == "dynamic":
        return (preprocess or DEFAULT_PREPROCESSING[net.spec.stem]).size, preprocess
    pixels = as_integer(size)
    if pixels is None or not net.smallest_input <= pixels <= MAX_IMAGE_SIZE:
        raise InputError(f"size must be 'dynamic', or an integer from {net.smallest_input} to {MAX_IMAGE_SIZE:,}, got {size!r}")
    if preprocess is not None and pixels != preprocess.size:
        resize = max(pixels, min(MAX_IMAGE_SIZE, round(pixels * preprocess.resize / preprocess.size)))
        preprocess = replace(preprocess, size=pixels, resize=resize)
    return pixels, preprocess


def _gather(what: str, batches: Iterable[Any], channels: int, pixels: int | None) -> Tensor:
    """Return the first images of preprocessed batches, with or without labels, in one tensor."""
    of_size = "" if pixels is None else f" of {pixels} x {pixels}"
    expected = f"{what} must be batches of preprocessed images ({channels} channels{of_size})"
    if isinstance(batches, Tensor | np.ndarray):
        batches = [batches]
    if not isinstance(batches, Iterable) or isinstance(batches, str | bytes | Mapping):
        raise InputTypeError(f"{expected}, or pairs of such and labels, got {type(batches).__name__}")
    found: list[Tensor] = []
    for batch in batches:
        x = batch[0] if isinstance(batch, tuple | list) and len(batch) == 2 else batch
        x = as_tensor(x) if isinstance(x, np.ndarray) else x
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim != 4 or x.shape[1] != channels:
            got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"{expected}, got {got}")
        if pixels is not None and tuple(x.shape[2:]) != (pixels, pixels):
            raise InputError(f"{expected}, got {x.shape[2]} x {x.shape[3]}: give size={x.shape[2]}, or images of the size")
        if not x.isfinite().all():
            raise InputError(f"{what} has numbers that are not finite")
        if found and x.shape[2:] != found[0].shape[2:]:
            raise InputError(f"{what} must be images of one size, got {tuple(found[0].shape[2:])} and {tuple(x.shape[2:])}")
        found.append(x.detach().to("cpu", torch.float32))
        if sum(map(len, found)) >= IMAGES:
            break
    if not sum(map(len, found)):
        raise InputError(f"{what} has no images (an iterator can be read only once)")
    return torch.cat(found)[:IMAGES].clone()  # out of inference mode


def _samples(net: Backbone, preprocess: Preprocessing | None, pixels: int) -> tuple[Tensor, str]:
    """Return preprocessed images for the comparison, and what they are."""
    if net.in_chans != 3:
        shape = (10, net.in_chans, pixels, pixels)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        return noise, f"noise, as there are no sample images of {net.in_chans} channels"
    steps = preprocess or replace(DEFAULT_PREPROCESSING[net.spec.stem], resize=pixels, size=pixels)
    with as_file(files("resnetlib.data") / "samples") as folder:
        samples = [steps(read_image(file)) for file in sorted(folder.glob("*.png"))]
    return torch.stack(samples), "ten test images of CIFAR-10"


def _describe(net: Backbone, preprocess: Preprocessing | None, int8: bool) -> tuple[str, tuple[str, ...]]:
    """Return the metadata as JSON, and notes on what they lack."""
    cfg = net.pretrained_cfg
    known = bool(cfg.tag) and (cfg.classes is None or cfg.classes == net.classes)
    metadata = {
        "format": 1,
        "version": __version__,
        "name": cfg.name or net.spec.family,
        "weights": cfg.full_name if known else None,  # those that the network was created with
        "spec": json.loads(net.spec.to_json()),
        "preprocessing": None if preprocess is None else asdict(preprocess),
        "classes": None if net.classes is None else [str(name) for name in net.classes],
        "weights_sha256": hash_tensors(net.state_dict()),
        "int8": int8,
    }
    notes = []
    if preprocess is None:
        what = "no preprocessing" if net.preprocess is None else "a preprocessing of another type"
        notes.append(f"the network has {what}, so the file has none: set net.preprocess to a resnetlib.weights.Preprocessing first")
    if net.classes is None:
        notes.append("the network has no names of classes, so the file has none: set net.classes first")
    if any(module._forward_hooks or module._forward_pre_hooks for module in net.modules()):
        notes.append("the network has hooks, which are not exported")
    if next(net.parameters()).dtype != torch.float32:
        notes.append(f"the weights were {next(net.parameters()).dtype}, and are exported in fp32")
    return json.dumps(metadata), tuple(notes)


def _plain_copy(net: Backbone) -> Backbone:
    """Return a copy on the CPU, in fp32 and evaluation mode, without hooks."""
    plain = copy_network(net, hooks=False)
    return plain.requires_grad_(False).to("cpu", torch.float32).to(memory_format=torch.contiguous_format).eval()


def _write_onnx(net: Backbone, path: Path, pixels: int, metadata: str, *, dynamic: bool) -> tuple[int, int]:
    """Export a network with PyTorch's exporter; return the file's size, and its opset."""
    import onnx

    sizes = {0: "batch", 2: "height", 3: "width"} if dynamic else {0: "batch"}
    height = pixels + 8 if dynamic else pixels  # height and width differ, or the exporter merges them
    example = torch.zeros(2, net.in_chans, height, pixels, dtype=torch.float32)  # torch.export takes a batch of 1 for a constant
    with _EXPORTING, torch.random.fork_rng(devices=[]), _quiet():
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            program = torch.onnx.export(
                net,
                (example,),
                dynamo=True,
                dynamic_shapes=(sizes,),
                input_names=["images"],
                output_names=["logits"],
                verbose=False,
            )
        except Exception as error:  # the exporter raises many types for modules that it cannot trace
            raise InputError(f"PyTorch's exporter cannot export this network: {printable(error, 1000)}") from error
        finally:
            torch.set_default_dtype(default)
    assert program is not None  # noqa: S101 - for type checkers
    model = program.model_proto
    _clean(model)
    model.producer_name, model.producer_version = "resnetlib", __version__
    onnx.helper.set_model_props(model, {KEY: metadata})
    path.write_bytes(content := model.SerializeToString())
    return len(content), next(int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx"))


def _clean(model: "ModelProto") -> None:
    """Remove the exporter's debugging notes, which contain stack traces and local paths."""
    graph = model.graph
    graph.name, model.doc_string, graph.doc_string = "resnetlib", "", ""
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for each in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        each.doc_string = ""
        del each.metadata_props[:]


def _quantize(path: Path, images: Tensor) -> None:
    """Quantize a file to int8 in place, calibrated on images."""
    import onnx
    from onnxruntime import quantization

    batches = ({"images": x.numpy()} for x in images.split(_BATCH))

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def get_next(self) -> "dict[str, NDArray[np.float32]] | None":
            """Return the next batch, or None at the end."""
            return next(batches, None)

    with _EXPORTING, _quiet():
        quantization.quantize_static(
            onnx.load(path),
            path,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            reduce_range=True,  # 7 bits: processors without VNNI add two products in 16 bits, which 8 bits overflow
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop the log messages of the exporter and the quantizer."""
    root, names, nothing = logging.getLogger(), ("torch.onnx", "onnxscript", "onnx_ir"), logging.NullHandler()
    loggers = [root, *map(logging.getLogger, names)]
    root.addHandler(nothing)  # logging.warning would add one for good
    for logger in loggers:
        logger.addFilter(_drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_drop)
        root.removeHandler(nothing)


def _drop(_: logging.LogRecord) -> bool:
    return False


def _batches(images: Tensor, *, dynamic: bool) -> Iterator[Tensor]:
    """Split images into batches of one, of three and of the rest; for a dynamic size, add a batch of another size."""
    yield from (x for x in (images[:1], images[1:4], *images[4:].split(_BATCH)) if len(x))
    if dynamic:
        height, width = images.shape[2:]
        yield functional.interpolate(images[:2], (height + 32, width + 16), mode="bilinear")


def _check(path: Path, runtime: Runtime, batches: Sequence[Tensor], expected: Sequence[Tensor]) -> RuntimeCheck:
    """Compare a file with the network's logits in one runtime, and time it."""
    import_module(runtime)
    start = time.perf_counter()
    model = OnnxModel(path, runtime=runtime)
    load = time.perf_counter() - start
    logits = torch.cat([torch.from_numpy(model(x.numpy())) for x in batches])
    wanted = torch.cat(list(expected))
    largest = float(wanted.abs().max()) or 1.0
    x = max(batches, key=len).numpy()
    start, seen = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < _TIMED or not seen:
        model(x)
        seen += len(x)
    return RuntimeCheck(
        runtime=runtime,
        deviation=float((logits - wanted).abs().max()) / largest,
        agreement=float((logits.argmax(1) == wanted.argmax(1)).double().mean()),
        load_seconds=load,
        images_per_second=seen / spent,
    )


def _failure(check: RuntimeCheck, int8: bool, bound: float, notes: Sequence[str]) -> str:
    """Return the error message for a file that fails the check."""
    figures = (
        f"in {check.runtime}, the largest difference of logits is {check.deviation:.2g} of the largest logit, and "
        f"{check.agreement:.1%} of the images have the same top-1 class"
    )
    if int8:
        accepted, advice = f"{1 - bound:.1%} of the images", "calibrate with more images like those to classify, or export in fp32"
    else:
        accepted, advice = f"a difference of {bound:g}", "give a larger tolerance if that is good enough"
    hooks = "".join(f" ({note})" for note in notes if "hooks" in note)
    problem = "the file was not written, as it does not compute what the network does"
    return f"{problem}: {figures}; accepted is {accepted}: {advice}{hooks}"
