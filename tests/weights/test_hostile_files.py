"""Files that are made to take the memory, the time or the terminal of whoever loads them."""

import argparse
import ast
import io
import json
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnetlib import build, create_model, load_file, push_to_hub, save_model, spec_of
from resnetlib.weights import (
    Preprocessing,
    PretrainedConfig,
    adapt_input,
    infer_spec,
    load_state,
    read_weights,
    write_state,
    write_weights,
)
from resnetlib.weights.save import model_card

NET = build(FAMILIES["resnet"], num_classes=2)
STATE = NET.state_dict()


def records(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def saved(state: object, **options: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def zipped(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def overlapping() -> bytes:
    """Three records that begin at one place."""
    content = bytearray(zipped({f"archive/data/{i}": b"x" * 100 for i in range(3)}))
    at = -1
    while (at := content.find(b"PK\1\2", at + 1)) != -1:
        content[at + 42 : at + 46] = bytes(4)
    return bytes(content)


ZIPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "deflated": (lambda: zipped(records(saved({"a": torch.zeros(10**6)})), zipfile.ZIP_DEFLATED), "is compressed"),
    "overlapping": (overlapping, "overlaps another one"),
    "two cases": (lambda: zipped({"archive/data/a": b"1", "archive/data/A": b"2"}), "has a name that torch.save never gives"),
    "letters": (lambda: zipped({"archive/data/abcd": b"1"}), "has a name that torch.save never gives"),
    "a comment": (lambda: saved({"a": torch.zeros(3)})[:-2] + b"\1\0!", "there is data after the zip directory\nNothing"),
    "something before": (lambda: zipped({"a": b"1"}) + saved({"a": torch.zeros(3)}), "it has two zip directories\nNothing"),
    "another end": (
        lambda: (content := saved({"a": torch.zeros(3)}))[:-34] + struct.pack("<Q", len(content) - 200) + content[-26:],
        "it has two zip directories\nNothing",
    ),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip_that_unpacks_to_more_than_it_is_is_refused(kind: str, tmp_path: Path) -> None:
    make, message = ZIPS[kind]
    (tmp_path / "w.pth").write_bytes(make())
    with pytest.raises(ValueError, match=f"w.pth is damaged, or holds more than tensors: .*({message})"):
        read_weights(tmp_path / "w.pth")


def laughing(levels: int = 60) -> bytes:
    """A tuple of twice a tuple of twice ..., to be put into a pickle."""
    return b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(1, levels))


COLLIDING = range(10**10, 10**10 + 30_000)
TUPLES = [pickle.dumps(tuple(-1 - (i >> bit & 1) for bit in range(15)), 2)[2:-1] for i in range(2**15)]  # -1 and -2 have one hash
MANY = b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(60_000))
PICKLES = {
    "a key": b"\x80\x02}" + laughing() + b"K\1s.",
    "a value": b"\x80\x02}X\1\0\0\0a" + laughing() + b"s.",
    "a storage": b"\x80\x02}X\1\0\0\0a(X\7\0\0\0storagectorch\nFloatStorage\n" + laughing() + b"X\3\0\0\0cpuK\1tQs.",
    "colliding keys": b"\x80\x02}(" + b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in COLLIDING) + b"u.",
    "colliding tuples": b"\x80\x02}("
    + b"".join(pickle.dumps((i * (2**61 - 1), j * (2**61 - 1)), 2)[2:-1] + b"N" for i in range(160) for j in range(160)) + b"u.",
    "pairs of colliding tuples": b"\x80\x02ccollections\nOrderedDict\n]("
    + b"".join(each + b"N\x86" for each in TUPLES) + b"e\x85R.",
    "lists of colliding tuples": b"\x80\x02ccollections\nOrderedDict\n]("
    + b"".join(b"](" + each + b"Ne" for each in TUPLES) + b"e\x85R.",
    "colliding tuples, counted": b"\x80\x02ccollections\nCounter\n](" + b"".join(TUPLES) + b"e\x85R.",
    "colliding tuples, copied": b"\x80\x02}q\0(" + b"".join(each + b"N" for each in TUPLES[:4000]) + b"u"
    + b"ccollections\nCounter\nh\0\x85R0" * 1000 + b".",
    "colliding integers, copied": b"\x80\x02}q\0(" + b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(1, 2000))
    + b"u" + b"ccollections\nCounter\nh\0\x85R0" * 5000 + b".",
    "copies": b"\x80\x02}q\0(" + MANY + b"u" + b"ccollections\nCounter\nh\0\x85R0" * 3000 + b".",
    "a long string, often": b"\x80\x02X" + struct.pack("<I", 10**6) + b"x" * 10**6 + b"q\0X\6\0\0\0latin1\x86q\1]("
    + b"c_codecs\nencode\nh\1R" * 1000 + b"e.",
    "letters, counted": b"\x80\x02X" + struct.pack("<I", 10**7) + b"x" * 10**7 + b"\x85q\0]("
    + b"ccollections\nCounter\nh\0R" * 100 + b"e.",
    "another protocol": pickle.dumps({"a": 1}, 4),
    "what is not there": b"\x80\x02h\7.",
    "a long bytearray": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "a placeholder, called again": b"\x80\x02c__builtin__\ngetattr\n)R)R.",
    "a function by its name": b"\x80\x02c__builtin__\ngetattr\ncposix\nsystem\nX\1\0\0\0a\x86R.",
    "placeholders of laughter": b"\x80\x02}X\1\0\0\0acargparse\nNamespace\n" + laughing() + b"R" + laughing() + b"bs.",
    "a placeholder as a key": b"\x80\x02}cpathlib\nPosixPath\n)RK\1s.",
    "items of a placeholder": b"\x80\x02cargparse\nNamespace\n)\x81(X\1\0\0\0aK\1u.",
    "a list that is none": b"\x80\x02cargparse\nNamespace\n)\x81(K\1e.",
    "arguments of a tensor": b"\x80\x02ccollections\nOrderedDict\n]R.",
}  # fmt: skip


READ_ALL = """
import sys
from pathlib import Path
from typing import Any
from resnetlib.weights import read_weights
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_weights(path)
    except ValueError as error:
        assert "Nothing in it was run" in str(error) and len(str(error)) < 2000, (path, error)
        print(path.name)
"""


def test_a_pickle_that_would_not_end_is_refused(tmp_path: Path) -> None:
    empty = saved({}, _use_new_zipfile_serialization=False)
    for kind, pickled in PICKLES.items():
        (tmp_path / f"{kind}, zip").write_bytes(zipped({"archive/data.pkl": pickled, "archive/version": b"3"}))
        (tmp_path / f"{kind}, legacy").write_bytes(empty.replace(pickle.dumps({}, 2), pickled))
    done = subprocess.run(  # noqa: S603 - it could spin where nothing interrupts it
        [sys.executable, "-c", READ_ALL, str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == sorted(path.name for path in tmp_path.iterdir()), done.stderr


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (pickle.dumps({"a": 1}, 4), "its pickle is of protocol 4, and only protocols 2 and 3 are read"),
        (b"\x80\x02h\7.", "its pickle refers to a missing memo entry"),
        (b"\x80\x02\x86.", "its pickle pops from an empty stack"),
        (PICKLES["a placeholder as a key"], "a dictionary in it has keys that are neither strings, numbers nor tuples"),
        (PICKLES["colliding tuples"], "loading it would take more than 10,000,000 steps"),
    ],
)
def test_why_a_pickle_is_refused(pickled: bytes, why: str, tmp_path: Path) -> None:
    (path := tmp_path / "w.pth").write_bytes(zipped({"archive/data.pkl": pickled, "archive/version": b"3"}))
    advice = "Nothing in it was run. Ask its author for a safetensors file or a plain state dict."
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path} is damaged, or holds more than tensors: {why}')}\n{advice}$"):
        read_weights(path)


def test_a_name_that_the_format_keeps_for_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be called '__metadata__'"):
        write_state({"__metadata__": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_large_checkpoint_of_a_training_is_read(tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(NET.parameters(), betas=(0.9, 0.99))
    NET(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    checkpoint = {
        "state_dict": STATE,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "history": [float(i) for i in range(50_000)],
        "seed": 2**70,
        "args": {"lr": 0.1, "steps": (30, 60), "name": "x" * 10_000},
        "rng": torch.get_rng_state(),
        "masks": {(layer, head): 0.5 for layer in range(60) for head in range(60)},
    }
    for new in (True, False):
        torch.save(checkpoint, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
        assert read_weights(tmp_path / "w.pth").state.keys() == STATE.keys()
        torch.save(checkpoint, tmp_path / "w.pth", pickle_protocol=3, _use_new_zipfile_serialization=new)
        with pytest.warns(UserWarning, match="Detected pickle protocol 3"):  # by PyTorch, which reads it
            assert read_weights(tmp_path / "w.pth").state.keys() == STATE.keys()
    torch.save(torch.nn.ParameterDict({"a": torch.zeros(3)}).state_dict(), tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth").state) == ["a"]


def test_a_deep_network_s_file_is_read(tmp_path: Path) -> None:
    net = build(spec_of("cifar_resnet1202"))
    write_state(net.state_dict(), tmp_path / "w.safetensors")
    torch.save(net.state_dict(), tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        assert len(read_weights(tmp_path / name).state) == len(net.state_dict())


def test_many_views_of_one_storage_are_not_made_into_many(tmp_path: Path) -> None:
    whole = torch.zeros(1000, 1000)
    torch.save({str(i): whole for i in range(1000)}, tmp_path / "w.pth")
    why = r"its tensors have [\d,]+ bytes, more than 4 times the file's [\d,]+: too many share the same memory"
    with pytest.raises(ValueError, match=why):
        read_weights(tmp_path / "w.pth")
    torch.save({"a": torch.zeros(1).expand(10**12)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="holds fewer numbers"):
        read_weights(tmp_path / "w.pth")


def test_a_small_part_of_a_large_storage_is_all_that_stays(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10**6)[5:10]}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").state["a"].untyped_storage().nbytes() == 20


def header(entries: object, data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_a_header_of_many_entries_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(header({str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_weights, load_file):
        with pytest.raises(ValueError, match=r"60,001 entries; the limits are 16,777,216 and 50,000"):
            read(path)
    path.write_bytes(header({"__metadata__": {"a": "x" * 2**24}}))
    with pytest.raises(ValueError, match=r"has 16,777,2\d\d bytes"):
        read_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin", "preprocessor_config.json"])
def test_a_pipe_in_the_place_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    save_model(NET, tmp_path)
    if name.startswith("pre"):
        (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    if name == "pytorch_model.bin":
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a pipe, a socket or a device"):
        create_model(tmp_path)
    for read in (read_weights, load_file):
        with pytest.raises(ValueError, match=f"{name} is a pipe, a socket or a device"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a pipe, a socket or a device"):
        create_model("resnet18", weights=tmp_path / name)


ODD = "\x1b[2J\r" + "x" * 300_000


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_errors_are_short_and_print_nothing_raw(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{suffix}"
    states: list[dict[str, Tensor]] = [
        {ODD: torch.zeros(3)},
        {**STATE, ODD: torch.zeros(3)},
        {ODD[:200]: torch.zeros(3, dtype=torch.complex64)},
        {ODD[:200]: torch.zeros([1] * 3000)} if suffix == "pth" else {ODD[:200]: torch.zeros([1] * 60)},
        {**STATE, "fc.weight": torch.zeros([1] * 60)},
        {f"{ODD[:200]}{i}": torch.zeros(1) for i in range(1000)},
        {**STATE, "layer1.0.conv1.weight\x1b[2J": torch.zeros(1)},
        {"\x1b[2J." + key: tensor for key, tensor in STATE.items()} | {"\x1b[2J.fc\u202e": torch.zeros(1)},
    ]
    for state in states:
        if suffix == "pth":
            torch.save(state, path)
        else:
            safetensors.torch.save_file(state, path)
        for load in (
            lambda: load_file(path),
            lambda: create_model("cifar_plain20", weights=path),
            lambda: load_file(path, spec=NET.spec),
        ):
            with pytest.raises(ValueError, match=r"\S") as error:
                load()
            assert len(str(error.value)) < 12_000
            assert str(error.value).replace("\n", "").isprintable()


FIELDS = ["name", "tag", "license", "classes", "preprocess", "top1", "params", ODD[:50] + "field"]
VALUES = {"str": ODD, "list": [ODD, 5], "dict": {ODD: ODD}, "int": 10**4000, "lists": [[ODD] * 3] * 3}


@pytest.mark.parametrize("kind", VALUES)
def test_errors_of_a_config_are_short_and_print_nothing_raw(kind: str, tmp_path: Path) -> None:
    value = VALUES[kind]
    save_model(NET, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    ours, timm = config["resnetlib"], {"architecture": "resnet18"}
    edits: list[dict[str, object]] = [
        {"resnetlib": value},
        {"architecture": value},
        {ODD: value},
        timm | {"model_args": {ODD: value}},
    ]
    edits += [{"resnetlib": {**ours, field: value}} for field in FIELDS]
    edits += [timm | {"pretrained_cfg": {field: value}} for field in ("tag", "mean", "input_size", "label_names")]
    edits += [{"model_type": "resnet", key: value} for key in ("depths", "hidden_sizes", "layer_type", "hidden_act", "id2label")]
    edits += [
        {"resnetlib": {**ours, "spec": {**ours["spec"], key: value}}} for key in ("family", "depths", "widths", "block", ODD[:50])
    ]
    for edit in edits:
        (tmp_path / "config.json").write_text(json.dumps(edit))
        try:
            create_model(tmp_path)
        except ValueError as error:
            assert len(str(error)) < 10_000  # noqa: PT017 - some of these load
            assert str(error).replace("\n", "").isprintable()  # noqa: PT017


CHECKPOINT = {
    "args": argparse.Namespace(data=Path("data"), epochs=5),
    "history": defaultdict(list, loss=[np.float64(0.5)], curve=np.arange(3.0)),
    "recent": deque([1.0]),
    "state_dict": STATE,
}
WHOLE = {
    "safetensors": safetensors.torch.save(STATE, {"resnetlib": "{}"}),
    "zip": saved(STATE),
    "legacy": saved(STATE, _use_new_zipfile_serialization=False),
    "checkpoint": saved(CHECKPOINT),
    "legacy checkpoint": saved(CHECKPOINT, _use_new_zipfile_serialization=False),
}


@settings(max_examples=80)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_whatever_becomes_of_a_file_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[kind])
    front = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(3000, len(content)) - 1))
        new = data.draw(st.binary(max_size=6))
        at = place if front else len(content) - 1 - place
        content[at : at + data.draw(st.integers(0, 6))] = new
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w")
        path.write_bytes(content)
        for read in (read_weights, load_file):
            try:
                read(path)
            except ValueError as error:
                assert len(str(error)) < 10_000  # noqa: PT017 - some of these load


ANY = st.none() | st.integers(-2, 2**70) | st.text(max_size=5) | st.lists(st.integers(-1, 9), max_size=3)


@settings(max_examples=80)
@given(st.data())
def test_whatever_a_header_says_is_read_or_refused(data: st.DataObject) -> None:
    whole = WHOLE["safetensors"]
    size = int.from_bytes(whole[:8], "little")
    entries = json.loads(whole[8 : 8 + size])
    key = data.draw(st.sampled_from(sorted(entries)))
    dtypes = st.sampled_from(["F4", "F6_E2M3", "F8_E8M0", "F8_E4M3", "C64", "BF16", "U64", "BOOL"])
    entries[key] = {
        **entries[key],
        data.draw(st.sampled_from(["dtype", "shape", "data_offsets", "resnetlib"])): data.draw(ANY | dtypes),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w")
        path.write_bytes(header(entries, whole[8 + size :]))
        for read in (read_weights, load_file):
            try:
                read(path)  # type: ignore[operator]
            except ValueError as error:
                assert len(str(error)) < 10_000  # noqa: PT017 - some of these load


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
        torch.empty(3, device="meta"),
        torch.empty(4, dtype=torch.float4_e2m1fn_x2),
        torch.empty(3, dtype=torch.bits8),
    ],
    ids=["sparse", "complex", "meta", "fp4", "bits"],
)
def test_tensors_that_are_no_plain_numbers_are_named(tensor: Tensor, tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    net.fc.bias.requires_grad_(False)
    net.fc._parameters.pop("bias")
    net.fc.register_buffer("bias", tensor)
    state = {**STATE, "fc.bias": tensor}
    for call in (
        lambda: write_state(state, tmp_path / "w.safetensors"),
        lambda: save_model(net, tmp_path / "w"),
        lambda: load_state(build(FAMILIES["resnet"], num_classes=2), state),
    ):
        with pytest.raises(
            ValueError, match=r"fc.bias is (not a plain tensor of numbers|on the meta device)|network was changed|params"
        ):
            call()
    with pytest.raises(ValueError, match="dtype must be one of torch's floating dtypes"):
        write_state(STATE, tmp_path / "w.safetensors", dtype=torch.int8)
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_floats_are_written_and_loaded(tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        write_state(net.state_dict(), tmp_path / "w.safetensors", dtype=dtype)
        state = read_weights(tmp_path / "w.safetensors").state
        load_state(net, state)
        assert torch.equal(net.conv1.weight, state["conv1.weight"].float())
        state["conv1.weight"].view(torch.uint8).fill_(0x7F)
        with pytest.raises(ValueError, match=r"1 with NaN or infinity: conv1.weight"):
            load_state(net, state)
        with pytest.raises(ValueError, match=r"conv1.weight holds numbers that are not finite"):
            write_state(state, tmp_path / "w.safetensors")


@pytest.mark.parametrize("net", [None, torch.nn.Linear(2, 2), {}], ids=["None", "Linear", "dict"])
def test_what_is_no_network_is_named(net: Any, tmp_path: Path) -> None:
    cfg = PretrainedConfig(name="", tag="", spec=FAMILIES["resnet"])
    for call in (
        lambda: load_state(net, STATE),
        lambda: save_model(net, tmp_path / "w"),
        lambda: push_to_hub(net, "org/name"),
        lambda: write_weights(net, tmp_path / "w", cfg),
        lambda: load_state(NET, net if not isinstance(net, dict) else None),  # type: ignore[arg-type]
        lambda: write_state(net if not isinstance(net, dict) else None, tmp_path / "w"),  # type: ignore[arg-type]
        lambda: infer_spec(net if not isinstance(net, dict) else None),  # type: ignore[arg-type]
        lambda: adapt_input(net, 1),
    ):
        with pytest.raises(
            TypeError, match=r"((net|state|weight) must be .*|a network of this library), got (NoneType|Linear|dict)"
        ):
            call()


def test_images_are_not_made_huge(tmp_path: Path) -> None:
    for resize, size in ((10**6, 32), (10**6, 10**6), (4097, 1)):
        with pytest.raises(ValueError, match="1 <= size <= resize <= 4,096"):
            Preprocessing.named("cifar10", resize=resize, size=size)
    save_model(NET, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    steps = {"resize": 10**6, "size": 32, "mean": [0.5], "std": [0.5]}
    (tmp_path / "config.json").write_text(json.dumps({**config, "resnetlib": {**config["resnetlib"], "preprocess": steps}}))
    with pytest.raises(ValueError, match="1 <= size <= resize <= 4,096"):
        create_model(tmp_path)
    spec = {"family": "densenet", "growth": 8, "depths": [1] * 100, "stem_width": 8}
    (tmp_path / "config.json").write_text(json.dumps({"resnetlib": {"name": "", "tag": "", "spec": spec}}))
    with pytest.raises(ValueError, match="at most 32 stages, got 100"):
        create_model(tmp_path)


def test_a_card_shows_what_a_pretrained_config_says_and_runs_none_of_it() -> None:
    evil = "x\n---\nlicense: mit\n---\n# <script>alert(1)</script> [a](javascript:b) | `c` ![d](http://e) \x1b[2J\u202e"
    cfg = PretrainedConfig(name="", tag="", spec=FAMILIES["resnet"], license=evil, origin=evil, recipe=evil, evaluated_on=evil)
    place = 'a"); import os #\n```\n<script>'
    card = model_card(cfg, place, num_classes=2).decode()
    head, table = card.split("\n---\n", 1)
    assert head.splitlines()[-1] == "license: other"
    assert card.count("\n---\n") == 1
    assert "<script>" not in table.split("## Use")[0]
    assert not re.search(
        r"(?<!\\)[\[`]", "".join(line for line in table.splitlines() if line.startswith("|") and "spec" not in line)
    )
    assert all(line.isprintable() for line in card.splitlines())
    code = table.split("```python\n")[1].split("\n```")[0]
    call = ast.parse(code).body[1].value.func.value  # type: ignore[attr-defined]
    assert ast.unparse(call.func) == "resnetlib.create_model"
    assert len(call.args) == 1
