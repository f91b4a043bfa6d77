"""What frameworks, states and steps are called on pages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from api.pages.language import Language, message

# Frameworks by their names in addresses, in the order of the tabs.
FORMS: Mapping[str, str] = MappingProxyType(
    {"pytorch": "PyTorch", "paddle": "PaddlePaddle", "mindspore": "MindSpore", "onnx": "ONNX"}
)

STATES = {
    "queued": message("waiting"),
    "running": message("running"),
    "publishing": message("publishing"),
    "succeeded": message("succeeded"),
    "failed": message("failed"),
    "cancelled": message("cancelled"),
    "done": message("done"),
}
STEPS = {
    "fetch": message("Fetch the files"),
    "ingest": message("Check the source"),
    "hub graph": message("Read the graph"),
    "emit": message("Write %(form)s source and weights"),
    "verify": message("Verify %(form)s against the source"),
    "publish": message("Publish"),
}


def form(framework: str) -> str:
    """A framework's name for people."""
    return FORMS.get(framework, framework)


def step(name: str, language: Language) -> str:
    """A step of a job, such as `emit paddle`, in words."""
    if name in STEPS:
        return language(STEPS[name])
    verb, _, framework = name.partition(" ")
    if verb in STEPS and framework in FORMS:
        return language(STEPS[verb]) % {"form": FORMS[framework]}
    return name
