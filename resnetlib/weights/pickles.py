"""Check files of `torch.save` before loading them: for zip bombs, and for pickles that never end."""

import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from resnetlib.disk import open_file

LARGEST = 2**26
"""Bytes of the largest pickle in a zip; the tensors are not in it."""

MOST_STEPS = 10_000_000
"""What unpickling may cost: an object, or looking at an object again, is one step."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two of the five pickles that begin a file of before PyTorch 1.6."""

_PICKLE_PROTOCOL = 2

_COPIES = re.compile(r"torch\._utils _rebuild_(?!tensor|parameter).*|.* bytearray|torch.* (?!Tensor$)\w+Tensor")
"""Globals that `torch.load` would accept, and that make large objects of small ones; a network's tensors need none of them."""


@dataclass(slots=True, eq=False)
class _Object:
    """An object that a pickle would make: what it would cost to go through it, and of what kind it is."""

    steps: int = 1
    kind: str = "scalar"


def check_pickle(path: Path) -> None:
    """Raise ValueError for a file of `torch.save` that holds more than it is large, or that would not stop loading.

    Args:
        path: the file.

    Raises:
        ValueError: if it does, or is no such file.
    """
    with open_file(path) as file:
        start = file.read(4)
        file.seek(0)
        try:
            if start == b"PK\3\4":
                for pickled in _pickles_of_zip(file):
                    _walk(BytesIO(pickled))
                return
            for expected in (_MAGIC, _PROTOCOL):
                first = [arg for opcode, arg, _ in pickletools.genops(file) if opcode.name not in ("PROTO", "STOP")]
                if first != [expected]:
                    raise ValueError("it does not begin as a file of torch.save does")
            for _ in range(3):
                _walk(file)
        except LookupError as error:
            raise ValueError("its pickle uses an object that is not there") from error


def _pickles_of_zip(file: BinaryIO) -> Iterator[bytes]:
    """Yield the pickles of a zip, once its records are seen to be as torch.save writes them."""
    size, end, names = file.seek(0, 2), 0, set[str]()
    with zipfile.ZipFile(file) as archive:
        records = sorted(archive.infolist(), key=lambda record: record.header_offset)
    _check_end(file, size)
    if not records or records[0].header_offset:
        raise ValueError("its first record is not at its beginning")
    for record in records:
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise ValueError(f"its record {record.filename!r:.80} is compressed, as torch.save never writes them")
        if record.header_offset < end:
            raise ValueError(f"its record {record.filename!r:.80} overlaps another one")
        end = record.header_offset + 30 + record.file_size
        if end > size:
            raise ValueError(f"its record {record.filename!r:.80} is longer than the file")
        name = record.filename.lower()  # to torch.load, which looks records up without regard to case, a name is all its variants
        if name in names or re.search(r"[a-z]", name.partition("/data/")[2]):
            raise ValueError(f"its record {record.filename!r:.80} has a name that torch.save never gives")
        names.add(name)
        if name.endswith("data.pkl"):
            if record.file_size > LARGEST:
                raise ValueError(f"its pickle has {record.file_size:,} bytes, more than the {LARGEST:,} that are read")
            file.seek(record.header_offset + 26)
            file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
            yield file.read(record.file_size)


def _check_end(file: BinaryIO, size: int) -> None:
    """Raise ValueError for a zip whose list of records one reader could find elsewhere than another."""
    file.seek(max(0, size - 42))
    locator, end = file.read(20), file.read(22)
    if end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise ValueError("more follows the end of its list of records")
    if locator[:4] == b"PK\6\7" and struct.unpack("<Q", locator[8:16])[0] != size - 98:
        raise ValueError("the end of its list of records is in two places")


def _walk(stream: BinaryIO) -> None:
    """Go through a pickle without making its objects, and add up what making them would cost."""
    stack: list[_Object] = []
    marks: list[int] = []
    memo: dict[int, _Object] = {}
    spent = 0
    arg: Any  # it is of the type that the opcode has
    for opcode, arg, _ in pickletools.genops(stream):
        name = opcode.name
        steps = 1 + (len(arg) // 8 if isinstance(arg, str | bytes) else 0)
        if name == "LONG1" and arg.bit_length() > 72:  # integers that hash to the same value are compared one by one
            steps = 10_000
        spent += steps
        if name == "PROTO" and arg != _PICKLE_PROTOCOL:
            raise ValueError(f"its pickle is of protocol {arg}, and torch.save writes protocol {_PICKLE_PROTOCOL}")
        if name == "GLOBAL" and _COPIES.fullmatch(arg):
            raise ValueError(f"it asks for {arg[:80]!r}, which no network's tensors need")
        if name == "MARK":
            marks.append(len(stack))
            continue
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[arg] = stack[-1]
            continue
        if name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[arg])
            continue
        before, taken = opcode.stack_before, list[_Object]()
        if pickletools.markobject in before:
            at = marks.pop()
            taken, stack[at:] = stack[at:], []
        below = before.index(pickletools.markobject) if pickletools.markobject in before else len(before)
        if below:
            if below > len(stack):
                raise ValueError("it takes objects that are not there")
            taken, stack[-below:] = stack[-below:] + taken, []
        if name in ("SETITEM", "SETITEMS") and any(key.kind != "scalar" for key in taken[1::2]):
            raise ValueError("a dictionary in it has keys that are neither strings nor numbers")
        if name in ("REDUCE", "NEWOBJ") and (len(taken) < 2 or taken[1].kind != "tuple"):
            raise ValueError("it calls something without a tuple of arguments")
        made = taken[0] if name in ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "BUILD") else _Object(steps, _kind(name))
        added = sum(one.steps for one in taken if one is not made)
        made.steps, spent = made.steps + added, spent + added
        if spent > MOST_STEPS:
            raise ValueError(f"loading it would take more than {MOST_STEPS:,} steps")
        stack += [made] * len(opcode.stack_after)


def _kind(name: str) -> str:
    if "TUPLE" in name:
        return "tuple"
    return "object" if name in ("REDUCE", "NEWOBJ", "BINPERSID", "GLOBAL", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET") else "scalar"
