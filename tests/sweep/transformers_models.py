"""Small models of many architectures of `transformers`, with random weights: one row for each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers


@dataclass(frozen=True)
class FolderCase:
    """A class of transformers and its configuration.

    Attributes:
        model: Name of the class.
        config: Name of the class of its configuration.
        options: The configuration.
        nested: Configurations within it: name of the class and its own options.
    """

    model: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    nested: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)


USUAL = 16  # the length of text that a conversion makes up where nothing is given

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXT = {**SMALL, "vocab_size": 120, "max_position_embeddings": 64}
DECODER = {**TEXT, "num_key_value_heads": 2}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
WINDOWS = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
STAGES = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 2, 1]}
RESIDUAL = {**STAGES, "embedding_size": 8}
SOUND = {
    **SMALL,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
SEQ2SEQ = {
    "vocab_size": 120,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = {"vocab_size": 120, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}

FOLDERS: Mapping[str, FolderCase] = {
    "bert": FolderCase("BertForSequenceClassification", "BertConfig", TEXT),
    "roberta": FolderCase("RobertaForMaskedLM", "RobertaConfig", TEXT),
    "distilbert": FolderCase(
        "DistilBertForQuestionAnswering",
        "DistilBertConfig",
        {"vocab_size": 120, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    ),
    "albert": FolderCase("AlbertModel", "AlbertConfig", {**TEXT, "embedding_size": 16}),
    "electra": FolderCase(
        "ElectraForTokenClassification", "ElectraConfig", {**TEXT, "embedding_size": 16}
    ),
    "deberta-v2": FolderCase(
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        {
            **TEXT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
        },
    ),
    "mpnet": FolderCase("MPNetModel", "MPNetConfig", TEXT),
    "modernbert": FolderCase(
        "ModernBertForMaskedLM",
        "ModernBertConfig",
        {
            **TEXT,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
        },
    ),
    "gpt2": FolderCase(
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": 120, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    ),
    "llama": FolderCase("LlamaForCausalLM", "LlamaConfig", DECODER),
    "qwen2": FolderCase("Qwen2ForCausalLM", "Qwen2Config", DECODER),
    "qwen3": FolderCase("Qwen3ForCausalLM", "Qwen3Config", {**DECODER, "head_dim": 8}),
    "mistral": FolderCase("MistralForCausalLM", "MistralConfig", DECODER),
    "mixtral": FolderCase(
        "MixtralForCausalLM", "MixtralConfig", {**DECODER, "num_local_experts": 4}
    ),
    "gemma": FolderCase("GemmaForCausalLM", "GemmaConfig", {**DECODER, "head_dim": 8}),
    "gemma2": FolderCase("Gemma2ForCausalLM", "Gemma2Config", {**DECODER, "head_dim": 8}),
    "phi": FolderCase("PhiForCausalLM", "PhiConfig", {**DECODER, "num_key_value_heads": 4}),
    "opt": FolderCase(
        "OPTForCausalLM",
        "OPTConfig",
        {**TEXT, "ffn_dim": 48, "word_embed_proj_dim": 32},
    ),
    "bloom": FolderCase(
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": 120, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    ),
    "gpt_neox": FolderCase("GPTNeoXForCausalLM", "GPTNeoXConfig", TEXT),
    "falcon": FolderCase("FalconForCausalLM", "FalconConfig", TEXT),
    "mamba": FolderCase(
        "MambaForCausalLM",
        "MambaConfig",
        {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    ),
    "t5": FolderCase("T5ForConditionalGeneration", "T5Config", T5),
    "bart": FolderCase("BartForConditionalGeneration", "BartConfig", SEQ2SEQ),
    "whisper": FolderCase(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            **SEQ2SEQ,
            "max_source_positions": 50,
            "max_target_positions": 32,
            "num_mel_bins": 16,
        },
    ),
    "vit": FolderCase("ViTForImageClassification", "ViTConfig", VISION),
    "deit": FolderCase("DeiTForImageClassificationWithTeacher", "DeiTConfig", VISION),
    "beit": FolderCase(
        "BeitForImageClassification",
        "BeitConfig",
        {**VISION, "use_relative_position_bias": True},
    ),
    "dinov2": FolderCase("Dinov2Model", "Dinov2Config", VISION),
    "swin": FolderCase("SwinForImageClassification", "SwinConfig", WINDOWS),
    "swinv2": FolderCase("Swinv2ForImageClassification", "Swinv2Config", WINDOWS),
    "convnext": FolderCase("ConvNextForImageClassification", "ConvNextConfig", STAGES),
    "resnet": FolderCase("ResNetForImageClassification", "ResNetConfig", RESIDUAL),
    "mobilenet_v2": FolderCase(
        "MobileNetV2ForImageClassification",
        "MobileNetV2Config",
        {"image_size": 64, "depth_multiplier": 0.25},
    ),
    "efficientnet": FolderCase(
        "EfficientNetForImageClassification",
        "EfficientNetConfig",
        {
            "image_size": 64,
            "width_coefficient": 0.25,
            "depth_coefficient": 0.3,
            "hidden_dim": 320,
        },
    ),
    "segformer": FolderCase(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {
            "hidden_sizes": [8, 16, 16, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 2, 4],
            "decoder_hidden_size": 16,
            "image_size": 64,
        },
    ),
    "detr": FolderCase(
        "DetrForObjectDetection",
        "DetrConfig",
        {**SEQ2SEQ, "use_timm_backbone": False, "num_queries": 10},
        {"backbone_config": ("ResNetConfig", {**RESIDUAL, "out_features": ["stage4"]})},
    ),
    "wav2vec2": FolderCase("Wav2Vec2ForCTC", "Wav2Vec2Config", {**SOUND, "vocab_size": 30}),
    "hubert": FolderCase("HubertModel", "HubertConfig", SOUND),
    "clip": FolderCase(
        "CLIPModel",
        "CLIPConfig",
        {
            "text_config": {**TEXT, "eos_token_id": 119},
            "vision_config": VISION,
            "projection_dim": 16,
        },
    ),
    "siglip": FolderCase(
        "SiglipModel",
        "SiglipConfig",
        {"text_config": {**TEXT, "max_position_embeddings": 16}, "vision_config": VISION},
    ),
}


def make_folder(case: FolderCase, folder: Path) -> Any:
    """A model of random weights, saved as hubs have it; fresh biases and norms are no longer 0 and 1."""
    nested = {
        name: getattr(transformers, kind)(**options)
        for name, (kind, options) in case.nested.items()
    }
    config = getattr(transformers, case.config)(**case.options, **nested)
    model = getattr(transformers, case.model)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for option in ("use_cache", "output_attentions", "output_hidden_states"):
        setattr(model.config, option, False)
    return model


class ModelInputs:
    """Inputs of a model at a size that nobody named: the which-th of its kind, the third of the length that is usual."""

    def __init__(self, model: Any, which: int) -> None:
        self.model, self.batch = model, 2 + which
        self.length = USUAL if which == 3 else 6 + 3 * which

    def tensors(self) -> dict[str, torch.Tensor]:
        """By the names of arguments."""
        main, config = self.model.main_input_name, self.model.config
        seen = getattr(config, "vision_config", config)
        accepted = inspect.signature(self.model.forward).parameters
        inputs: dict[str, torch.Tensor] = {}
        if main == "input_ids":
            fixed = USUAL if config.model_type == "siglip" else self.length
            inputs["input_ids"] = torch.randint(3, 100, (self.batch, fixed))
            mask = torch.ones(self.batch, fixed, dtype=torch.int64)
            mask[0, -2:] = 0
            inputs |= {"attention_mask": mask} if "attention_mask" in accepted else {}
            if "token_type_ids" in accepted:
                inputs["token_type_ids"] = torch.randint(0, 2, (self.batch, fixed))
        if main == "pixel_values" or hasattr(config, "vision_config"):
            size = getattr(seen, "image_size", 224)
            inputs["pixel_values"] = torch.randn(self.batch, 3, size, size)
        if main == "input_values":
            inputs["input_values"] = torch.randn(self.batch, 8000 * self.batch)
        if main == "input_features":
            size = 2 * config.max_source_positions
            inputs["input_features"] = torch.randn(self.batch, config.num_mel_bins, size)
        if "decoder_input_ids" in accepted:
            inputs["decoder_input_ids"] = torch.randint(3, 100, (self.batch, self.length - 2))
        return inputs
