"""The tables of importers are put together from rooms: no operator may be in two of them."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pkgutil import iter_modules

import pytest

from converters.importers.mindspore import ops as mindspore
from converters.importers.paddle import ops as paddle


@pytest.mark.parametrize(
    ("package", "table"), [(mindspore, "TABLE"), (paddle, "TABLE"), (paddle, "ROWS")]
)
def test_every_operator_has_one_room(package, table):
    rooms = [
        import_module(f"{package.__name__}.{one.name}") for one in iter_modules(package.__path__)
    ]
    names = Counter(name for room in rooms for name in getattr(room, table, ()))
    assert {name for name, times in names.items() if times > 1} == set()
    assert {*names} == {*getattr(package, table)}
