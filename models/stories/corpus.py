"""Little stories from a template grammar: ASCII, one paragraph each, the same ones for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from models.stories.plots import ANIMALS, BOYS, CLOSING, COMMON, GIRLS, OPENING, PLOTS, Choices

TRAINING_SEED: Final = 1
HELD_OUT_SEED: Final = 2
HELD_OUT_STORIES: Final = 60
HELD_OUT_PATH: Final = Path(__file__).with_name("heldout.txt")

INNERMOST: Final = re.compile(r"\{([^{}]*)\}")
SLOT: Final = re.compile(r"<(\w+)>")


def stories(seed: int) -> Iterator[str]:
    """An endless sequence of stories, fixed by ``seed``."""
    rng = random.Random(seed)
    while True:
        yield tell(rng)


def held_out() -> list[str]:
    """The stories of ``HELD_OUT_PATH``: distinct, and never used in training."""
    return list(islice(dict.fromkeys(islice(stories(HELD_OUT_SEED), 2 * HELD_OUT_STORIES)), HELD_OUT_STORIES))


def training(count: int) -> list[str]:
    """``count`` training stories, none of them held out."""
    excluded = set(held_out())
    return list(islice((story for story in stories(TRAINING_SEED) if story not in excluded), count))


def tell(rng: random.Random) -> str:
    """One story: a plot, its cast and its objects are drawn once, so that they stay the same throughout."""
    choices, text = rng.choice(PLOTS)
    slots = cast(rng) | draw(rng, COMMON) | draw(rng, choices)
    chosen = alternatives(rng, f"{OPENING} {text} {CLOSING}")
    filled = SLOT.sub(lambda match: fill(slots, match[1]), chosen)
    return " ".join(re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", filled).split())


def cast(rng: random.Random) -> dict[str, str]:
    """Hero and friend: two names, what they are, and the hero's pronouns."""
    is_girl = rng.random() < 0.5
    name = rng.choice(GIRLS if is_girl else BOYS)
    friend_is_girl = rng.random() < 0.5
    friend = rng.choice([other for other in (GIRLS if friend_is_girl else BOYS) if other != name])
    pronouns = ("she", "her", "her") if is_girl else ("he", "him", "his")
    return {
        "name": name,
        "kind": kind(rng, is_girl),
        "friend": friend,
        "fkind": kind(rng, friend_is_girl),
        **dict(zip(("he", "him", "his"), pronouns, strict=True)),
    }


def kind(rng: random.Random, is_girl: bool) -> str:
    """A child as often as an animal."""
    return ("girl" if is_girl else "boy") if rng.random() < 0.5 else rng.choice(ANIMALS)


def draw(rng: random.Random, choices: Choices) -> dict[str, str]:
    """One value for every slot; the slots of one key are drawn together."""
    slots: dict[str, str] = {}
    for names, values in choices.items():
        slots |= zip(names.split(","), rng.choice(values).split("/"), strict=True)
    return slots


def alternatives(rng: random.Random, text: str) -> str:
    """Each ``{a|b}`` replaced by one of its alternatives, innermost first."""
    while INNERMOST.search(text):
        text = INNERMOST.sub(lambda match: rng.choice(match[1].split("|")), text)
    return text


def fill(slots: dict[str, str], name: str) -> str:
    """The slot's value, with a capital where its name has one. KeyError: a plot names a slot that it does not draw."""
    return slots[name] if name in slots else slots[name.lower()].capitalize()


def held_out_text() -> str:
    """Content of ``HELD_OUT_PATH``: a blank line between stories."""
    return "\n\n".join(held_out()) + "\n"
