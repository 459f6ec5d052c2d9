"""Check files of `torch.save` for zip bombs and for pickles that would take forever, before they are loaded."""

import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Self

from resnetlib.disk import open_file
from resnetlib.errors import InputError

MAX_PICKLE = 2**26
"""The most bytes of a pickle in a zip; the numbers of the tensors are separate records."""

MAX_STEPS = 10_000_000
"""The most steps that loading may take. A step creates an object, or visits it again."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two of the five pickles in a file written before PyTorch 1.6."""

_COPIES = re.compile(r"torch\._utils _rebuild_(?!tensor|parameter).*|.* bytearray|torch(\..*)? (?!Tensor$)\w+Tensor")
"""Globals that `torch.load` accepts, and that turn small objects into large ones; no network needs them."""

_TYPES = {
    "argparse": "Namespace",
    "builtins": "bool dict float frozenset getattr int list object range slice str tuple",
    "collections": "defaultdict deque",
    "copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "partial",
    "lightning.fabric.utilities.data": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "mmengine.config.config": "Config ConfigDict",
    "mmengine.logging.history_buffer": "HistoryBuffer",
    "numpy": "dtype ndarray",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.multiarray": "_reconstruct scalar",
    "omegaconf.base": "ContainerMetadata Metadata",
    "omegaconf.dictconfig": "DictConfig",
    "omegaconf.listconfig": "ListConfig",
    "omegaconf.nodes": "AnyNode BooleanNode FloatNode IntegerNode StringNode",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
    "torch.torch_version": "TorchVersion",
    "torchvision.transforms.functional": "InterpolationMode",
    "types": "SimpleNamespace",
    "typing": "Any",
    "uuid": "UUID SafeUUID",
}
"""Modules and types that training scripts save beside the weights. None of them is created: see `PLACEHOLDERS`."""

_PYTHON_3 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Python 2's names of modules, which protocol 2 writes -> Python 3's."""

_MODIFIERS = {"SETITEM", "SETITEMS", "APPEND", "APPENDS", "BUILD"}
"""Opcodes that leave the object they change on the stack."""

_CALLS = {"REDUCE", "NEWOBJ"}
_OBJECTS = {*_CALLS, "BINPERSID", "GLOBAL", "EMPTY_DICT", "EMPTY_SET"}


class _Ignored:
    """An object that takes any arguments and any state, and keeps none."""

    def __new__(cls, *_: object, **__: object) -> Self:
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


class _Dict:
    """A type that creates a plain dict, whatever the arguments, in place of a subclass of dict."""

    def __new__(cls, *_: object) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


class _List:
    """A type that creates a plain list, whatever the arguments, in place of a subclass of list or a deque."""

    def __new__(cls, *_: object) -> list[Any]:  # type: ignore[misc]
        return []


_KINDS = {"defaultdict": _Dict, "AttributeDict": _Dict, "ConfigDict": _Dict, "deque": _List}

PLACEHOLDERS: Mapping[str, type] = {
    f"{module}.{name}": _KINDS.get(name, _Ignored) for module, names in _TYPES.items() for name in names.split()
}
"""Harmless types by their full names, and the empty types that replace them while a file is read."""


@dataclass(slots=True, eq=False)
class _Object:
    """A stand-in for an object of a pickle."""

    steps: int  # to visit it and its parts
    kind: str  # "scalar", "long", "tuple", "list" or "object"
    colliding: int = 0  # tuples and long integers that are keys of a dict, or in a list or tuple, which a call may make keys


def check_pickle(path: Path) -> list[str]:
    """Return the names of the `PLACEHOLDERS` in a file of `torch.save`.

    Raise ValueError for other files, and for those that do not load in bounded time and memory.
    """
    names = set[str]()
    with open_file(path) as file:
        start = file.read(4)
        file.seek(0)
        try:
            if start == b"PK\3\4":
                for pickled in _pickles_in_zip(file):
                    names |= _check_steps(BytesIO(pickled))
            else:
                for expected in (_MAGIC, _PROTOCOL):
                    values = [arg for opcode, arg, _ in pickletools.genops(file) if opcode.name not in ("PROTO", "STOP")]
                    if values != [expected]:
                        raise InputError("it does not begin as a file of torch.save does")
                for _ in range(3):
                    names |= _check_steps(file)
        except LookupError as error:
            raise InputError("its pickle refers to a missing memo entry") from error
    return sorted(names)


def _pickles_in_zip(file: BinaryIO) -> Iterator[bytes]:
    """Yield the pickles in a zip, after checking that its records are laid out as torch.save writes them."""
    size, end, names = file.seek(0, 2), 0, set[str]()
    try:
        with zipfile.ZipFile(file) as archive:
            records = sorted(archive.infolist(), key=lambda record: record.header_offset)
    except zipfile.BadZipFile as error:
        raise InputError("its end is missing, as after an interrupted download or copy: get it again") from error
    paths = [record.filename for record in records]
    if any(path.endswith("constants.pkl") for path in paths):
        raise InputError("it is a TorchScript archive: read it with torch.jit.load, and save its state_dict()")
    if not any(re.search(r"(^|/)data(\.pkl$|/)", path) for path in paths):
        raise InputError(f"it is a zip of other files, not one of torch.save: {paths[:3]!r:.200}")
    _check_directory_end(file, size)
    if not records or records[0].header_offset:
        raise InputError("its first zip record is not at offset 0")
    for record in records:
        shown = f"its record {record.filename!r:.80}"
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise InputError(f"{shown} is compressed, as torch.save never writes them")
        if record.header_offset < end:
            raise InputError(f"{shown} overlaps another one")
        end = record.header_offset + 30 + record.file_size
        if end > size:
            raise InputError(f"{shown} is longer than the file")
        name = record.filename.lower()  # torch.load ignores case when it looks up a record
        if name in names or re.search(r"[a-z]", name.partition("/data/")[2]):
            raise InputError(f"{shown} has a name that torch.save never gives")
        names.add(name)
        if name.endswith("data.pkl"):
            if record.file_size > MAX_PICKLE:
                raise InputError(f"its pickle has {record.file_size:,} bytes, more than the {MAX_PICKLE:,} that are read")
            file.seek(record.header_offset + 26)
            file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
            yield file.read(record.file_size)


def _check_directory_end(file: BinaryIO, size: int) -> None:
    """Raise ValueError if two readers of the zip could find different directories."""
    file.seek(max(0, size - 42))
    locator, end = file.read(20), file.read(22)
    if end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise InputError("there is data after the zip directory")
    if locator[:4] == b"PK\6\7" and struct.unpack("<Q", locator[8:16])[0] != size - 98:
        raise InputError("it has two zip directories")


def _check_steps(stream: BinaryIO) -> set[str]:
    """Run a pickle's opcodes on stand-ins for its objects; raise ValueError if loading it would take too many steps.

    Return the names of the `PLACEHOLDERS` that it uses.
    """
    names = set[str]()
    stack: list[_Object] = []
    marks: list[int] = []
    memo: dict[int, _Object] = {}
    spent = 0
    arg: Any
    for opcode, arg, _ in pickletools.genops(stream):
        name = opcode.name
        if name == "PROTO" and arg not in (2, 3):
            raise InputError(f"its pickle is of protocol {arg}, and only protocols 2 and 3 are read")
        if name == "GLOBAL":
            if _COPIES.fullmatch(arg):
                raise InputError(f"it asks for {arg[:80]!r}, which no network's tensors need")
            module, _, attribute = arg.partition(" ")
            names.add(f"{_PYTHON_3.get(module, module)}.{attribute}")
        bits = arg.bit_length() if isinstance(arg, int) else 0
        steps = 1 + (len(arg) // 8 if isinstance(arg, str | bytes) else bits // 64)
        spent += steps
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[arg] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[arg])
        else:
            taken = _take(stack, marks, opcode)
            keys = taken[1::2] if name in ("SETITEM", "SETITEMS") else []
            if any(key.kind in ("object", "list") for key in keys):
                raise InputError("a dictionary in it has keys that are neither strings, numbers nor tuples")
            if name in _CALLS and (len(taken) < 2 or taken[1].kind != "tuple"):
                raise InputError("it calls something without a tuple of arguments")
            kind = "tuple" if "TUPLE" in name else "list" if "LIST" in name else "object" if name in _OBJECTS else "scalar"
            made = taken[0] if name in _MODIFIERS else _Object(steps, "long" if bits > 60 else kind)
            visited = sum(each.steps for each in taken if each is not made)
            if keys or name in _CALLS or made.kind in ("tuple", "list"):
                made.colliding += sum(_count_colliding(each) for each in keys or taken if each is not made)
            if keys or name in _CALLS:  # each key may be compared with all others of the same hash, which is faster than a step
                visited += made.colliding * visited // 200
            made.steps += visited
            spent += visited
            stack += [made] * len(opcode.stack_after)
        if spent > MAX_STEPS:
            raise InputError(f"loading it would take more than {MAX_STEPS:,} steps")
    return names & PLACEHOLDERS.keys()


def _count_colliding(item: _Object) -> int:
    """Count the tuples and long integers in an item: their hashes are easily made equal."""
    return (item.kind in ("long", "tuple")) + (item.colliding if item.kind in ("tuple", "list") else 0)


def _take(stack: list[_Object], marks: list[int], opcode: pickletools.OpcodeInfo) -> list[_Object]:
    """Pop an opcode's operands: a fixed number, and for some opcodes everything above the last mark."""
    operands, above = opcode.stack_before, list[_Object]()
    if pickletools.markobject in operands:
        at = marks.pop()
        above, stack[at:] = stack[at:], []
        operands = operands[: operands.index(pickletools.markobject)]
    at = len(stack) - len(operands)
    if at < 0:
        raise InputError("its pickle pops from an empty stack")
    below, stack[at:] = stack[at:], []
    return below + above
