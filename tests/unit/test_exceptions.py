from __future__ import annotations

import copy
import pickle
import re
from dataclasses import fields
from string import Formatter
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from registry import exceptions
from registry.exceptions import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTS: dict[Any, Any] = {str: "{a} 'fact' %s é", int: 7, tuple[str, ...]: ("numpy.dtype", "builtins.set")}


def tree(error: type[RegistryError] = RegistryError) -> Iterator[type[RegistryError]]:
    yield error
    for narrower in error.__subclasses__():
        yield from tree(narrower)


def example(error: type[RegistryError]) -> RegistryError:
    types = get_type_hints(error)
    return error(**{field.name: FACTS[types[field.name]] for field in fields(error)})


def drawn() -> set[tuple[str, str]]:
    """Each error of the drawing in the module's docstring, with the one that it is a kind of."""
    above: list[tuple[int, str]] = []
    pairs = set()
    for indent, name in re.findall(
        r"^( {4}[ │├└─]*)([A-Z][A-Za-z]+)(?:  .*)?$", exceptions.__doc__ or "", re.MULTILINE
    ):
        above = [(depth, error) for depth, error in above if depth < len(indent)]
        pairs.add((name, above[-1][1] if above else "Exception"))
        above.append((len(indent), name))
    return pairs


every_error = pytest.mark.parametrize("error", list(tree()), ids=lambda error: error.__name__)


@every_error
def test_an_error_words_all_of_its_facts(error: type[RegistryError]) -> None:
    named = {name for _, name, _, _ in Formatter().parse(error.wording) if name}
    assert named == {field.name for field in fields(error)}
    said = str(example(error))
    for field in fields(error):
        fact = getattr(example(error), field.name)
        words = ", ".join(fact) if isinstance(fact, tuple) else str(fact)
        assert words in said or repr(fact) in said


@every_error
def test_an_error_crosses_process_borders_whole(error: type[RegistryError]) -> None:
    sent = example(error)
    received = pickle.loads(pickle.dumps(sent))  # noqa: S301, the test's own bytes
    assert type(received) is type(sent)
    assert str(received) == str(sent)
    assert vars(received) == vars(sent)


@every_error
def test_an_error_can_be_copied(error: type[RegistryError]) -> None:
    assert str(copy.deepcopy(example(error))) == str(example(error))


def test_the_drawing_shows_exactly_the_errors_that_exist_and_their_kinship() -> None:
    assert drawn() == {(error.__name__, base.__name__) for error in tree() for base in error.__bases__}


def test_every_error_of_the_module_is_in_the_tree() -> None:
    raised = {
        each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)
    }
    assert raised == set(tree())
