from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import InvalidSetting
from zoo.settings import Settings, variable


def test_every_setting_has_a_variable_a_default_and_a_description():
    defaults = Settings.from_environment({})
    for name, field in Settings.model_fields.items():
        assert field.description
        assert getattr(defaults, name) is not None
        assert variable(name).startswith("POLYZOO_")


def test_reads_variables():
    given = {"POLYZOO_PART": "5", "POLYZOO_DATA": "~/zoo", "POLYZOO_SERVER": "http://h/", "X": "y"}
    settings = Settings.from_environment(given)
    assert (settings.part, settings.server) == (5, "http://h")
    assert settings.data == Path.home() / "zoo"
    assert Settings.from_environment({"POLYZOO_PART": " "}) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("POLYZOO_PART", "x"),
        ("POLYZOO_PART", "0"),
        ("POLYZOO_TIMEOUT", "nan"),
        ("POLYZOO_SERVER", "h"),
    ],
)
def test_refuses_nonsense(name, text):
    with pytest.raises(InvalidSetting, match=f'{name} is "{text}"'):
        Settings.from_environment({name: text})
