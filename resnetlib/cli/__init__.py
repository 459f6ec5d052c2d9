"""The command line: `resnetlib list | info | predict | evaluate | verify | train | finetune | analyze | weights | demo`."""

import click

from resnetlib import __version__
from resnetlib.cli.analyze import analyze
from resnetlib.cli.demo import demo
from resnetlib.cli.evaluate import evaluate
from resnetlib.cli.finetune import finetune
from resnetlib.cli.info import info
from resnetlib.cli.list import list_
from resnetlib.cli.predict import predict
from resnetlib.cli.train import train
from resnetlib.cli.verify import verify
from resnetlib.cli.weights import weights
from resnetlib.text import printable

_LONGEST = 4_000
"""Characters of an error that are printed."""


class Group(click.Group):
    """A group of commands that says what is wrong with its input in a line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, ArithmeticError, ImportError) as error:
            raise click.ClickException(printable(error, _LONGEST, lines=True)) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="resnetlib")
def main() -> None:
    """Plain, residual, pre-activation residual and dense networks: look at them, train them, and use them."""


for command in (list_, info, predict, evaluate, verify, train, finetune, analyze, weights, demo):
    main.add_command(command)
