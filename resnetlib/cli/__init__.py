"""The command line, `resnetlib`. Calling a command imports its module."""

import gc
import logging
import os
import sys
import warnings
from importlib import import_module

import click
from tqdm import tqdm

from resnetlib import __version__
from resnetlib.errors import ResnetlibError, printable

_COMMANDS = {
    "list": ("list", "List networks."),
    "info": ("info", "Show a network's spec, and its parameters, operations and memory; or what an .onnx file says."),
    "predict": ("predict", "Classify images."),
    "evaluate": ("evaluate", "Measure a network's accuracy on a folder of images."),
    "verify": ("evaluate", "Measure the accuracy of pretrained weights, and compare it with the published one."),
    "export": ("export", "Export a network to an ONNX file, in fp32 or int8."),
    "bench": ("bench", "Measure speed, memory and cold start, of exported networks too."),
    "train": ("train", "Train a network on CIFAR-10 or on a folder of images."),
    "finetune": ("finetune", "Fine-tune pretrained weights on a folder of images."),
    "analyze": ("analyze", "Measure why skip connections work."),
    "weights": ("weights", "List, show, download, check and convert weights."),
    "demo": ("demo", "Classify ten test images with the weights in the package."),
}
"""Commands, the modules that define them, and their help."""

_MAX_ERROR_LENGTH = 4_000


class _Echo(logging.Handler):
    """Print the library's log messages, such as which weights it loads, on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        if os.environ.get("RANK", "0") == "0":
            tqdm.write(printable(record.getMessage(), _MAX_ERROR_LENGTH), file=sys.stderr)  # above a progress bar
            sys.stderr.flush()


_ECHO = _Echo()


def _show_warning(message: Warning | str, *_: object) -> None:
    """Print a warning on standard error, without the line of code."""
    click.echo(printable(message, _MAX_ERROR_LENGTH, lines=True), err=True)


class _Commands(click.Group):
    """A group that imports commands when they are called, and prints the library's errors and Ctrl-C without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return [*_COMMANDS]  # `list` is a module here, once it is imported

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"resnetlib.cli.{_COMMANDS[cmd_name][0]}")
        return next(each for each in vars(module).values() if isinstance(each, click.Command) and each.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        logger = logging.getLogger("resnetlib")
        logger.addHandler(_ECHO)
        logger.setLevel(logging.INFO)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning  # type: ignore[assignment]
                return super().invoke(ctx)
        except click.ClickException as error:
            error.message = printable(error.message, _MAX_ERROR_LENGTH, lines=True)  # type: ignore[misc, unused-ignore]
            raise
        except BrokenPipeError as error:  # the reader of the output has ended, as in `resnetlib list | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would fail
            raise click.exceptions.Exit(141) from error  # the status that shells report for SIGPIPE
        except (ResnetlibError, OSError) as error:  # any other exception is a bug, and keeps its traceback
            raise click.ClickException(printable(error, _MAX_ERROR_LENGTH, lines=True)) from error
        except KeyboardInterrupt as error:
            if os.environ.get("RANK", "0") == "0":
                click.echo(f"\n{str(error) or 'interrupted'}", err=True)
            gc.freeze()  # collecting torch's objects at exit can take seconds
            raise click.exceptions.Exit(130) from error  # the status that shells expect


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="resnetlib")
def main() -> None:
    """Load, evaluate, export, train, fine-tune and analyze residual networks."""
