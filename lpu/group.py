"""Subcommands found by file name and imported on use; the project's errors become one line and exit code 2.

``lpu/commands/fuzz.py`` holds the click command ``fuzz``; ``bench_synth.py`` holds ``synth`` of the group ``bench``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import click

import lpu.commands

PROJECT_PACKAGES = ("bench", "compiler", "fpga", "golden", "hdl", "lpu", "models", "sim")
USER_ERROR = 2


def is_user_error(error: BaseException) -> bool:
    """Whether an exception tells the user what to mend: a project's own ValueError, a click or a file error."""
    own = isinstance(error, ValueError) and type(error).__module__.split(".")[0] in PROJECT_PACKAGES
    return own or isinstance(error, click.ClickException | OSError)


class CommandGroup(click.Group):
    """The commands whose files begin with ``prefix``. Errors of :func:`is_user_error` are printed as one line."""

    def __init__(self, *args: Any, prefix: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = [module.name for module in pkgutil.iter_modules(lpu.commands.__path__)]
        mine = [name.removeprefix(self._prefix) for name in found if name.startswith(self._prefix)]
        return sorted(name for name in mine if "_" not in name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"lpu.commands.{self._prefix}{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        extra["standalone_mode"] = False
        try:
            code = super().main(args, prog_name, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help())
            code = 0
        except click.Abort:
            click.echo("lpu: interrupted", err=True)
            code = 130
        except Exception as error:
            if not is_user_error(error):
                raise
            message = error.format_message() if isinstance(error, click.ClickException) else str(error)
            click.echo(f"lpu: error: {' '.join(message.split())}", err=True)
            code = USER_ERROR
        sys.exit(code if isinstance(code, int) else 0)
