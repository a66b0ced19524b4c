"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hdl.config import LpuConfig, preset

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _to_config(ctx: click.Context, param: click.Parameter, name: str) -> LpuConfig:
    return preset(name)


def preset_option(command: _Command) -> _Command:
    """``--preset NAME``, handed on as ``config``. Raises ConfigError, which lists the presets."""
    option = click.option(
        "--preset", "config", default="small", show_default=True, callback=_to_config, help="Which core."
    )
    return option(command)


def json_option(command: _Command) -> _Command:
    """``--json FILE``, handed on as ``json_file``."""
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("--json", "json_file", type=file, help="Also write the figures here.")(command)
