"""The command line, called in this process."""

from pathlib import Path

import click
from click.testing import CliRunner, Result

from resnetlib.cli import main


def commands_of(group: click.Command) -> dict[str, click.Command]:
    """Return the commands of a group by name; none for a command that is not a group."""
    if not isinstance(group, click.Group):
        return {}
    context = click.Context(group)
    return {name: command for name in group.list_commands(context) if (command := group.get_command(context, name))}


def call(*args: str | Path) -> Result:
    """Call a command, however it ends. What it prints is as in a terminal, where click removes no escape sequences."""
    return CliRunner().invoke(main, [str(arg) for arg in args], color=True)


def right(*args: str | Path) -> str:
    """Call a command that shall work, and return what it says on standard output."""
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def wrong(*args: str | Path) -> str:
    """Call a command that shall fail in a line, and return what it says."""
    result = call(*args)
    assert result.exit_code == 1, result.output
    assert any(line.startswith("Error: ") for line in result.output.splitlines())
    assert "Traceback" not in result.output
    return result.output
