"""`resnetlib weights`: list, show, download, check and convert weights."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
import torch

from resnetlib.cli.options import PATH, echo_table
from resnetlib.config import EmbeddedFile, HubFile, PretrainedConfig, UrlFile
from resnetlib.errors import InputError, MissingFileError, printable
from resnetlib.models import spec_of
from resnetlib.models.catalog import natural_order
from resnetlib.weights import convert_file, describe, list_pretrained
from resnetlib.weights.download import cache_dir, check_cached, fetch_first, find_cached
from resnetlib.weights.find import HUB, URL, find
from resnetlib.zoo import create_model, load_file


@click.group()
def weights() -> None:
    """List, show, download, check and convert weights."""


@weights.command("list")
@click.argument("pattern", default="*")
@click.option("--here", is_flag=True, help="Only weights in the package or the caches.")
def list_(pattern: str, here: bool) -> None:
    """List the weights whose names match PATTERN (wildcards: * ? [...]).

    The columns are parameters, published accuracy, input size, license, and where the weights are on this computer.
    """
    for name in _matching([pattern]):
        cfg = describe(name)
        place = _place(cfg)
        if here and not place:
            continue
        params = f"{cfg.params / 1e6:8.2f} M" if cfg.params else " " * 10
        top1 = f"{cfg.top1:6.2f} %" if cfg.top1 is not None else " " * 8
        size = f"{cfg.preprocess.size:4}" if cfg.preprocess else " " * 4
        click.echo(f"{name:42} {params} {top1} {size}  {cfg.license:12}  {place}".rstrip())


@weights.command()
@click.argument("name")
def show(name: str) -> None:
    """Show the config of the weights NAME (network.tag), and where they are."""
    cfg = describe(name)
    steps, classes = cfg.preprocess, cfg.classes or ()
    click.echo(cfg.full_name)
    echo_table(
        ("spec", cfg.spec),
        ("parameters", cfg.params and f"{cfg.params:,}"),
        ("MACs", cfg.gmacs and f"{cfg.gmacs:.3f} G"),
        ("top-1", cfg.top1 and f"{cfg.top1:g} %"),
        ("top-5", cfg.top5 and f"{cfg.top5:g} %"),
        ("evaluated on", cfg.evaluated_on),
        ("input", steps and f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"),
        ("mean", steps and steps.mean),
        ("deviation", steps and steps.std),
        ("classes", classes and f"{len(classes)}: {', '.join(classes[:3])} ... {classes[-1]}"),
        ("recipe", cfg.recipe),
        ("license", cfg.license),
        ("origin", cfg.origin),
    )
    for source in cfg.sources:
        echo_table(("source", source))
        if not isinstance(source, EmbeddedFile):
            size = f"{source.mib:g} MiB" if isinstance(source, UrlFile) and source.mib else None
            sha256 = f"{source.sha256}{'...' * (len(source.sha256) < 64)}" if source.sha256 else "announced by the hub"
            echo_table(("  dialect", source.dialect), ("  size", size), ("  sha256", sha256), ("  cached", find_cached(source)))


@weights.command()
@click.argument("names", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Download the weights NAMES to the caches, unless they are there, and verify them.

    A name is network.tag, a pattern of such names with wildcards, or hf-hub:org/name[@revision].
    """
    repositories = [name for name in names if name.startswith(HUB)]
    _for_each([*repositories, *_matching(name for name in names if name not in repositories)], _fetch)


@weights.command()
@click.argument("names", nargs=-1)
@click.option("--dialect", help="Dialect of the tensor names.", show_default="detected")
@click.option("--network", help="Name of the network, if the files do not record it.")
def verify(names: tuple[str, ...], dialect: str | None, network: str | None) -> None:
    """Check the weights NAMES (network.tag, wildcards, or paths of files and folders); without names, all on this computer.

    Contents are compared with their SHA-256, and tensors with their network. Nothing is downloaded or changed.
    """
    paths = [name for name in names if "/" in name or name.startswith(HUB) or Path(name).exists()]
    wanted = _matching(name for name in names if name not in paths)
    if (wanted or not names) and (dialect or network):
        raise InputError("--dialect and --network are for files and folders: the catalog has those of its weights")
    if not names:
        wanted = [name for name in list_pretrained() if _place(describe(name))]
    _for_each(
        [*paths, *wanted], lambda name: _check_file(name, dialect, network) if name in paths else _check_weights(describe(name))
    )


@weights.command()
@click.argument("source", type=PATH)
@click.argument("target", type=PATH)
@click.option("--to", required=True, help="Dialect to write.")
@click.option("--from", "dialect", help="Dialect of SOURCE.", show_default="detected")
@click.option("--network", help="Name of the network, if SOURCE does not record it.")
@click.option("--overwrite", is_flag=True, help="Replace an existing TARGET.")
def convert(source: Path, target: Path, to: str, dialect: str | None, network: str | None, overwrite: bool) -> None:
    """Write the weights in SOURCE (safetensors or torch.save) to TARGET (safetensors) under another dialect's names."""
    spec = convert_file(source, target, to, dialect=dialect, spec=spec_of(network) if network else None, overwrite=overwrite)
    click.echo(f"wrote {printable(target)}: {spec}")


@weights.command()
def cache() -> None:
    """Show the folders of the caches, the variables that set them, and the weights of the catalog in them."""
    from huggingface_hub import constants

    click.echo(f"hub   (HF_HOME)          {printable(constants.HF_HUB_CACHE)}")
    click.echo(f"URLs  (TORCH_HOME)       {printable(torch.hub.get_dir())}/checkpoints")
    click.echo(f"notes (RESNETLIB_CACHE)  {printable(cache_dir())}")
    total = 0
    for name in list_pretrained():
        for path in map(find_cached, _remote(describe(name))):
            if path is not None:
                size = path.stat().st_size
                total += size
                click.echo(f"{size:14,}  {name}  {printable(path, 1000)}")
    click.echo(f"{total:14,}  bytes in total")


def _matching(patterns: Iterable[str]) -> list[str]:
    """Return the full names of all weights that match a pattern; raise ValueError if a pattern matches none."""
    found: set[str] = set()
    for pattern in patterns:
        names = list_pretrained(pattern)
        if not names and not set(pattern) & set("*?["):
            describe(pattern)  # an error that names the nearest
        if not names:
            raise InputError(f"no weights match {pattern!r}; `resnetlib weights list` shows all")
        found.update(names)
    return natural_order(found)


def _for_each(names: Sequence[str], work: Callable[[str], str]) -> None:
    """Call `work` with each name and print the result; continue after errors, and raise ValueError at the end."""
    failed = 0
    for name in names:
        try:
            message = work(name)
        except (ValueError, OSError) as error:
            failed += 1
            message = f"FAILED: {error}"
        click.echo(f"{printable(name)}: {printable(message, 4000, lines=True)}")
    if failed:
        raise InputError(f"{failed} of {len(names)} failed")


def _remote(cfg: PretrainedConfig) -> list[UrlFile | HubFile]:
    """Return the sources outside the package."""
    return [source for source in cfg.sources if not isinstance(source, EmbeddedFile)]


def _place(cfg: PretrainedConfig) -> str:
    """Return where weights are on this computer: "package", "cache" or ""."""
    if len(_remote(cfg)) < len(cfg.sources):
        return "package"
    return "cache" if any(map(find_cached, _remote(cfg))) else ""


def _fetch(name: str) -> str:
    if name.startswith(HUB):
        found = find(name, None, dialect=None, mmap=None)
        return f"{len(found.file.state):,} tensors" if found.file else "no weights"
    sources = _remote(describe(name))
    if not sources:
        return "in the package"
    fetched = fetch_first(sources)
    return f"{fetched.path} ({fetched.path.stat().st_size:,} bytes, sha256 {fetched.sha256})"


def _check_file(path: str, dialect: str | None, network: str | None) -> str:
    if path.startswith((*HUB, *URL)):
        raise InputError("not on this computer: give NAME.TAG or a path; `resnetlib weights fetch` downloads and verifies")
    net = load_file(path, dialect=dialect, spec=spec_of(network) if network else None)
    return f"ok, a {type(net).__name__} with {sum(parameter.numel() for parameter in net.parameters()):,} parameters"


def _check_weights(cfg: PretrainedConfig) -> str:
    """Check the hash of weights, the names and shapes of tensors, and the number of parameters."""
    place = _place(cfg)
    if not place:
        raise MissingFileError(f"not on this computer: download it with `resnetlib weights fetch {cfg.full_name}`")
    if place == "package":
        nets = [(create_model(cfg.full_name), "in the package")]
    else:
        cached = filter(None, map(check_cached, _remote(cfg)))
        nets = [(load_file(file.path, spec=cfg.spec), f"sha256 {file.sha256}") for file in cached]
    for net, _ in nets:
        params = sum(parameter.numel() for parameter in net.parameters())
        if cfg.params is not None and params != cfg.params:
            raise InputError(f"{params:,} parameters, not {cfg.params:,}")
    return f"ok, {', '.join(message for _, message in nets)}"
