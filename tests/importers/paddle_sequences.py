"""Programs on sequences of different lengths, saved and run by Paddle, in a process of its own.

    FLAGS_enable_pir_api=0 python paddle_sequences.py FOLDER

writes for each case NAME.pdmodel, NAME.pdiparams, and NAME.0.npz, NAME.1.npz: inputs `in:…`, padded and with their
lengths, and outputs `out:…`, the rows as Paddle gives them. CASES has the operator, its rows (size of each), what it has
besides, attributes and outputs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

LENGTHS = ((4, 1, 6), (2, 5))


class Case(NamedTuple):
    type: str
    rows: dict[str, int]
    others: dict[str, tuple[int, ...]]
    attributes: Mapping[str, Any] = MappingProxyType({})
    output: str = "Out"
    kind: str = "float32"
    more: tuple[str, ...] = ()


_GRU = ("gru", {"Input": 9}, {"Weight": (3, 9), "Bias": (1, 9)})
_GATES = ("BatchGate", "BatchResetHiddenPrev", "BatchHidden")
_LSTM = {"Input": 12}
_CELLS = ("BatchGate", "BatchCellPreAct")
_POOL = ("sequence_pool", {"X": 3}, {})
CASES = {
    "gru": Case(*_GRU, {"origin_mode": False}, "Hidden", more=_GATES),
    "gru_origin": Case(
        *_GRU,
        {"origin_mode": True, "activation": "relu", "is_reverse": True},
        "Hidden",
        more=_GATES,
    ),
    "lstm_peepholes": Case(
        "lstm",
        _LSTM,
        {"Weight": (3, 12), "Bias": (1, 21)},
        {"use_peepholes": True, "is_reverse": True},
        "Hidden",
        more=("Cell", *_CELLS),
    ),
    "lstm": Case(
        "lstm",
        _LSTM,
        {"Weight": (3, 12), "Bias": (1, 12)},
        {"use_peepholes": False, "cell_activation": "identity", "candidate_activation": "relu"},
        "Cell",
        more=("Hidden", *_CELLS),
    ),
    "crf_decoding": Case(
        "crf_decoding", {"Emission": 5}, {"Transition": (7, 5)}, {}, "ViterbiPath", "int64"
    ),
    "softmax": Case("sequence_softmax", {"X": 1}, {}),
    **{
        f"pool_{form.lower()}": Case(
            *_POOL, {"pooltype": form, "is_test": True}, more=("MaxIndex",)
        )
        for form in ("AVERAGE", "SUM", "SQRT", "MAX", "FIRST", "LAST")
    },
}


def save(name: str, folder: Path) -> None:
    """Save a case and run it."""
    import paddle
    from paddle import inference

    case = CASES[name]
    random = np.random.default_rng(5)
    program, start = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(program, start):
        block = program.global_block()
        slots = {
            slot: [paddle.static.data(f"x{k}", [None, size], "float32", lod_level=1)]
            for k, (slot, size) in enumerate(case.rows.items())
        }
        values = {}
        for slot, shape in case.others.items():
            made = paddle.static.create_parameter([*shape], "float32", name=f"{name}.{slot}")
            slots[slot] = [made]
            values[made.name] = random.uniform(-1, 1, shape).astype("float32")
        outputs = {
            slot: [block.create_var(name=f"out_{slot}", dtype=case.kind, lod_level=1)]
            for slot in (case.output, *case.more)
        }
        block.append_op(type=case.type, inputs=slots, outputs=outputs, attrs={**case.attributes})
        executor = paddle.static.Executor(paddle.CPUPlace())
        executor.run(start)
        for key, value in values.items():
            paddle.static.global_scope().find_var(key).get_tensor().set(value, paddle.CPUPlace())
        given = [slots[slot][0] for slot in case.rows]
        # With outputs that nobody reads: without them, kernels of this age end the process.
        paddle.static.save_inference_model(
            str(folder / name),
            given,
            outputs[case.output],
            executor,
            program=program,
            skip_prune_program=True,
            clip_extra=False,
        )
    parameters = folder / f"{name}.pdiparams"
    config = inference.Config(
        str(folder / f"{name}.pdmodel"), str(parameters) if parameters.is_file() else ""
    )
    config.disable_glog_info()
    config.disable_gpu()
    config.switch_ir_optim(False)
    predictor = inference.create_predictor(config)
    for run, lengths in enumerate(LENGTHS):
        arrays = {"in:x0_lengths": np.array(lengths)}
        for k, size in enumerate(case.rows.values()):
            # Steps that no sequence has, and padding that is not zero.
            padded = random.standard_normal((len(lengths), 7, size)).astype("float32")
            arrays[f"in:x{k}"] = padded
            rows = np.concatenate([x[:n] for x, n in zip(padded, lengths, strict=True)])
            handle = predictor.get_input_handle(f"x{k}")
            handle.reshape(rows.shape)
            handle.copy_from_cpu(rows)
            handle.set_lod([[0, *np.cumsum(lengths).tolist()]])
        predictor.run()
        (output,) = predictor.get_output_names()
        arrays["out"] = predictor.get_output_handle(output).copy_to_cpu()
        np.savez(folder / f"{name}.{run}.npz", **arrays)


def main() -> None:
    import paddle

    paddle.enable_static()
    for name in CASES:
        save(name, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
