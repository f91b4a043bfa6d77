"""What the config.json of a transformers model says of it, where its card says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CONFIGURATION = "config.json"
LARGEST = 1_000_000  # characters of a file that are read
_LONGEST = 200  # characters of a name

# The end of a class's name -> what hubs call its task:
# https://github.com/huggingface/transformers/blob/main/src/transformers/pipelines/__init__.py
TASKS: Mapping[str, str] = {
    "ForAudioClassification": "audio-classification",
    "ForCausalLM": "text-generation",
    "ForCTC": "automatic-speech-recognition",
    "ForDepthEstimation": "depth-estimation",
    "ForDocumentQuestionAnswering": "document-question-answering",
    "ForImageClassification": "image-classification",
    "ForImageSegmentation": "image-segmentation",
    "ForInstanceSegmentation": "image-segmentation",
    "ForMaskedLM": "fill-mask",
    "ForMaskGeneration": "mask-generation",
    "ForMultipleChoice": "multiple-choice",
    "ForObjectDetection": "object-detection",
    "ForQuestionAnswering": "question-answering",
    "ForSemanticSegmentation": "image-segmentation",
    "ForSequenceClassification": "text-classification",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForTokenClassification": "token-classification",
    "ForUniversalSegmentation": "image-segmentation",
    "ForVideoClassification": "video-classification",
    "ForZeroShotObjectDetection": "zero-shot-object-detection",
    "LMHeadModel": "text-generation",
    # Last: a part of other names.
    "Model": "feature-extraction",
}


def read(text: str) -> dict[str, Any]:
    """The classes and the kind of a model; nothing where a file says no such thing.

    Args:
        text: Of the file, from anybody.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    classes, kind = found.get("architectures"), found.get("model_type")
    said: dict[str, Any] = {}
    if isinstance(classes, list) and classes and all(map(_is_name, classes)):
        said["architectures"] = classes[:10]
    if _is_name(kind):
        said["model_type"] = kind
    return said


def metadata_of(said: Mapping[str, Any]) -> dict[str, str]:
    """What a card would say: the library, and the task where the class is of one only."""
    if not said:
        return {}
    name = next(iter(said.get("architectures", ())), "")
    task = next((task for end, task in TASKS.items() if name.endswith(end)), None)
    found = {"library_name": "transformers"}
    return found if task is None else {**found, "pipeline_tag": task}


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and 0 < len(value) <= _LONGEST
    )
