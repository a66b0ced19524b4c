"""Configurations from TOML files: the fields of :class:`hdl.config.LpuConfig`, checked like any other.

    base = "small"            # optional: a preset whose fields hold where the file is silent
    name = "mine"             # optional: else the file's name without .toml
    acc_rows = 8
    pipes = ["int", "requant"]
    [[data_groups]]           # once per group; the file's groups replace those of the base
    slices = 4
    depth_rows = 1024

Fields that neither the file nor its base gives have LpuConfig's defaults.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdl.config import PRESETS, ConfigError, LpuConfig, MemoryGroup, PipeKind, ShortQueue, SwitchOp

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_TABLES: Mapping[str, type[MemoryGroup] | type[ShortQueue]] = {
    "weight_groups": MemoryGroup,
    "data_groups": MemoryGroup,
    "short_queues": ShortQueue,
}
_NAMES: Mapping[str, type[enum.StrEnum]] = {"pipes": PipeKind, "operand_registers": PipeKind, "switch_ops": SwitchOp}
_FIELDS = dataclasses.fields(LpuConfig)
_REQUIRED = [field.name for field in _FIELDS if field.default is dataclasses.MISSING]


def load_config(path: Path) -> LpuConfig:
    """The config of a file. Raises ConfigError in one line naming file, field, value and rule."""
    try:
        return _config(path.stem, _read(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{error.strerror}: must be a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{error}: must be TOML") from error


def _config(stem: str, table: dict[str, Any]) -> LpuConfig:
    fields = {**_base(table.pop("base", None)), "name": stem}
    known = [field.name for field in _FIELDS]
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"{name} = {value!r}: unknown field; known: base, {', '.join(known)}")
        fields[name] = _value(name, value)
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: must be given, or base = one of {', '.join(PRESETS)}")
    if not isinstance(fields["name"], str) or not _NAME.fullmatch(fields["name"]):
        raise ConfigError(f"name = {fields['name']!r}: must be 1..40 letters, digits, _ and -, first a letter")
    return LpuConfig(**fields)


def _base(name: object) -> dict[str, Any]:
    """The fields of the preset ``name``; none without one."""
    if name is None:
        return {}
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"base = {name!r}: must be one of {', '.join(PRESETS)}")
    return {field.name: getattr(PRESETS[name], field.name) for field in _FIELDS}


def _value(name: str, value: Any) -> Any:
    if name in _TABLES:
        if not isinstance(value, list):
            raise ConfigError(f"{name} = {value!r}: must be an array of tables, [[{name}]]")
        return tuple(_row(f"{name}[{i}]", row, _TABLES[name]) for i, row in enumerate(value))
    if name in _NAMES or name == "plain_groups":
        if not isinstance(value, list):
            raise ConfigError(f"{name} = {value!r}: must be an array of strings")
        return tuple(_member(name, member) if name in _NAMES else member for member in value)
    return value


def _member(name: str, member: object) -> enum.StrEnum:
    known = _NAMES[name]
    if member not in [str(each) for each in known]:
        raise ConfigError(f"{name} = {member!r}: each must be one of {', '.join(known)}")
    return known(str(member))


def _row(place: str, table: object, kind: type[MemoryGroup] | type[ShortQueue]) -> MemoryGroup | ShortQueue:
    fields = {field.name: str if field.type == "str" else int for field in dataclasses.fields(kind)}
    if not isinstance(table, Mapping) or sorted(table) != sorted(fields):
        raise ConfigError(f"{place} = {table!r}: must have the fields {' and '.join(fields)}")
    for name, value in table.items():
        if type(value) is not fields[name]:
            rule = "a string" if fields[name] is str else "an integer"
            raise ConfigError(f"{place}.{name} = {value!r}: must be {rule}")
    return kind(**table)
