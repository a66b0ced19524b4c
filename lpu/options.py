"""Options that several subcommands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hdl.config import LpuConfig, preset
from hdl.config_file import load_config

_Command = TypeVar("_Command", bound=Callable[..., Any])


class OutputPath(click.ParamType):
    """A file to be written, or with ``folder`` a folder for files; refused before the work starts, not after."""

    def __init__(self, folder: bool = False) -> None:
        self.folder = folder
        self.name = "folder" if folder else "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.exists() and not (path.is_dir() if self.folder else path.is_file()):
            self.fail(f"'{value}': must be a {self.name}", param, ctx)
        start = path if path.is_dir() else path.absolute().parent
        nearest = next(folder for folder in (start, *start.absolute().parents) if folder.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            self.fail(f"'{value}': {nearest} must be a folder that can be written to", param, ctx)
        return path


def named_config(name: str) -> LpuConfig:
    """The preset of that name, or the core that a ``.toml`` file describes. Raises ConfigError."""
    return load_config(Path(name)) if name.endswith(".toml") else preset(name)


def _to_config(ctx: click.Context, param: click.Parameter, name: str) -> LpuConfig:
    return named_config(name)


def preset_option(command: _Command) -> _Command:
    """``--preset NAME``, handed on as ``config``. Raises ConfigError, which lists the presets."""
    option = click.option(
        "--preset",
        "config",
        default="small",
        show_default=True,
        metavar="NAME|FILE.toml",
        callback=_to_config,
        help="Which core.",
    )
    return option(command)


def image_option(command: _Command) -> _Command:
    """``-o IMAGE``, handed on as ``output``."""
    option = click.option(
        "-o", "--output", metavar="IMAGE", type=OutputPath(), required=True, help="The program image."
    )
    return option(command)


def json_option(command: _Command) -> _Command:
    """``--json FILE``, handed on as ``json_file``."""
    return click.option("--json", "json_file", type=OutputPath(), help="Also write the figures here.")(command)
