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
# Why a conversion failed, by the exit status that the command would have had.
FAILURES = {
    2: message("What was submitted is not complete, or contradicts itself."),
    3: message("The model has something that cannot be converted yet. Nothing was published."),
    4: message(
        "A converted form does not compute what the source computes. Nothing was published."
    ),
    5: message("The file is malformed or unsafe, and was not opened."),
}
FAILED = message("The conversion broke off. It can be begun anew.")
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
