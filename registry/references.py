"""The one noun form: ``churn@7`` (a version), ``churn@champion`` (an alias), ``churn@latest``.

Digits are a version and words an alias, so the two can't collide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.exceptions import InvalidName, InvalidReference
from registry.limits import brief

CHAMPION = "champion"
LATEST = "latest"

_MODEL = re.compile(r"(?!.*\.\.)\w(?:[\w. -]*\w)?", re.ASCII)
_ALIAS = re.compile(r"(?![0-9]*$)\w[\w-]*", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
LONGEST_NAME = 256
LONGEST_ALIAS = 256


@dataclass(frozen=True)
class Reference:
    """A model's name and what is asked of it: a version number, an alias, or the latest version."""

    model: str
    selector: int | str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``name@7``, ``name@alias`` or ``name@latest``.

        Raises:
            InvalidReference: The text has no such form.
        """
        model, at, selector = text.partition("@")
        if not at or not _is_model_name(model):
            raise InvalidReference(_shown(text))
        if _NUMBER.fullmatch(selector):
            return cls(model, int(selector))
        if selector == LATEST or _is_alias(selector):
            return cls(model, selector)
        raise InvalidReference(_shown(text))

    def __str__(self) -> str:
        return f"{self.model}@{self.selector}"


def check_model_name(name: str) -> str:
    """Return *name* if a model may be called so, else raise InvalidName."""
    if not _is_model_name(name):
        raise InvalidName(
            "model name",
            _shown(name),
            f"use 1 to {LONGEST_NAME} of a-z, A-Z, 0-9 and '_', with '.', '-' or spaces between, but no '..'",
        )
    return name


def check_alias(alias: str) -> str:
    """Return *alias* if it may be set, else raise InvalidName."""
    if not _is_alias(alias):
        raise InvalidName(
            "alias",
            _shown(alias),
            f"use 1 to {LONGEST_ALIAS} of a-z, A-Z, 0-9, '_' and '-', not digits alone; {LATEST!r} is taken",
        )
    return alias


def _shown(text: str) -> str:
    """What was given, whole where it may only be mistyped."""
    return text if len(text) <= 2 * LONGEST_NAME else brief(text)


def _is_model_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and _MODEL.fullmatch(name) is not None


def _is_alias(alias: str) -> bool:
    return len(alias) <= LONGEST_ALIAS and alias.lower() != LATEST and _ALIAS.fullmatch(alias) is not None
