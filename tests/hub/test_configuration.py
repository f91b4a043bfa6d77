"""What a config.json tells of an upload whose card says nothing."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.hub.test_repositories import commit
from zoo.access import LOCAL
from zoo.hub.configuration import metadata_of, read
from zoo.registry import Registry


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("LlamaForCausalLM", "text-generation"),
        ("GPT2LMHeadModel", "text-generation"),
        ("BertModel", "feature-extraction"),
        ("ViTForImageClassification", "image-classification"),
        ("T5ForConditionalGeneration", None),
        ("SomethingElse", None),
    ],
)
def test_the_task_is_that_of_the_class(architecture, task):
    said = read(json.dumps({"architectures": [architecture], "model_type": "x", "more": 1}))
    assert said == {"architectures": [architecture], "model_type": "x"}
    assert metadata_of(said).get("pipeline_tag") == task
    assert metadata_of(said)["library_name"] == "transformers"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 100_000, '{"a": 1}', '{"architectures": "A"}', '{"architectures": [1]}',
     '{"architectures": [""], "model_type": ["x"]}', '{"architectures": ["a\\nb"], "model_type": {}}'],
)  # fmt: skip
def test_anything_else_says_nothing(text):
    assert metadata_of(read(text)) == {}


def test_hub_clients_find_it_by_its_task(own_server):
    zoo = Registry(own_server.data)
    config = json.dumps({"architectures": ["BertForMaskedLM"], "model_type": "bert"}).encode()
    zoo.repositories.create("org/plain", LOCAL)
    commit(zoo, {"config.json": config}, "org/plain")
    zoo.repositories.create("org/told", LOCAL)
    card = b"---\npipeline_tag: fill-in\n---\n"
    commit(zoo, {"config.json": config, "README.md": card}, "org/told")
    zoo.close()

    def listed(task):
        found = httpx.get(
            f"{own_server.url}/api/models", params={"pipeline_tag": task, "config": "true"}
        )
        return {one["id"]: one["config"] for one in found.json()}

    kind = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    assert listed("fill-mask") == {"org/plain": kind}
    assert listed("fill-in") == {"org/told": kind}
    plain = httpx.get(f"{own_server.url}/api/models/org/plain").json()
    assert (plain["pipeline_tag"], plain["library_name"]) == ("fill-mask", "transformers")
    # What the card says is told apart from what was read elsewhere.
    assert (plain["cardData"], plain["config"]) == ({}, kind)
