"""Nets with control flow as people write it for PaddlePaddle; saved and run by Paddle, in a process of its own.

    python paddle_flow.py FOLDER [NAME ...]

writes for each net NAME.json, NAME.pdiparams, and NAME.0.npz, NAME.1.npz ...: inputs `in:…` and outputs `out:…` of
`paddle.inference`, which together go through every branch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np


def _numbers(*shape, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1, shape).astype(np.float32)


UP, DOWN = _numbers(3, 4, shift=3), _numbers(2, 4, shift=-3)
STEPS = (_numbers(2, 5, 4), _numbers(3, 1, 4, seed=1), _numbers(1, 8, 4, seed=2))


class Net(NamedTuple):
    """A net.

    Attributes:
        body: The lines of its `forward`, of the inputs.
        shapes: Of its inputs, None for any size.
        runs: Inputs, for each run.
        made: The lines of `__init__`.
    """

    body: str
    shapes: dict
    runs: tuple
    made: str = "pass"


ROWS = {"x": [None, 4]}
BOTH = ((UP,), (DOWN,))
TIME = {"x": [None, None, 4]}
LINEAR = "self.linear = nn.Linear(4, 4)"

NETS = {
    "if_two_outputs": Net(
        """
if x.sum() > 0:
    y = self.linear(x)
    z = y + 1
else:
    y = x * 2
    z = x
return y, z
""",
        ROWS,
        BOTH,
        LINEAR,
    ),
    "if_without_else": Net(
        """
if x.mean() > 0:
    x = F.relu(self.linear(x))
return x + 1
""",
        ROWS,
        BOTH,
        LINEAR,
    ),
    "if_other_sizes": Net(
        """
if x.sum() > 0:
    y = paddle.concat([x, x], axis=0)
else:
    y = x[:1]
return y * 2
""",
        ROWS,
        BOTH,
    ),
    "if_returns": Net(
        """
if x.max() > 2:
    return self.linear(x)
return x.abs()
""",
        ROWS,
        BOTH,
        LINEAR,
    ),
    "if_in_if": Net(
        """
y = self.linear(x)
if x.sum() > 0:
    if y.mean() > x.mean():
        y = y - x
    else:
        y = y * x
elif x.min() < -4:
    y = x / 2
return y
""",
        ROWS,
        (*BOTH, (_numbers(2, 4, shift=-9),), (-UP * 0.01,)),
        LINEAR,
    ),
    "if_on_a_size": Net(
        """
if x.shape[0] > 2:
    y = x.mean(axis=0, keepdim=True)
else:
    y = x.max(axis=0, keepdim=True)
return y
""",
        ROWS,
        BOTH,
    ),
    "while_states": Net(
        """
i = paddle.zeros([], dtype="int64")
while x.abs().sum() < 100 and i < 10:
    x = x * 2 + 1
    i = i + 1
return x, i
""",
        ROWS,
        (*BOTH, (UP * 100,)),
    ),
    "while_grows": Net(
        """
while x.shape[0] < 8:
    x = paddle.concat([x, x.sum(axis=0, keepdim=True)], axis=0)
return x
""",
        ROWS,
        BOTH,
    ),
    "while_with_if": Net(
        """
i = paddle.zeros([1], dtype="int64")
while i < 5:
    if x.sum() > 0:
        x = x - self.linear(x)
    else:
        x = x + 0.5
    i = i + 1
return x
""",
        ROWS,
        BOTH,
        LINEAR,
    ),
    "while_in_while": Net(
        """
i = paddle.zeros([1], dtype="int64")
while i < 3:
    j = paddle.zeros([1], dtype="int64")
    while j < i + 1:
        x = F.tanh(self.linear(x))
        j = j + 1
    i = i + 1
return x
""",
        ROWS,
        BOTH,
        LINEAR,
    ),
    "for_break": Net(
        """
for i in range(x.shape[0]):
    x = x * 1.5
    if x.sum() > 30:
        break
return x
""",
        ROWS,
        BOTH,
    ),
    "for_time": Net(
        """
h = paddle.zeros([x.shape[0], 4])
for t in range(x.shape[1]):
    _, h = self.cell(x[:, t], h)
return h
""",
        TIME,
        tuple((one,) for one in STEPS),
        "self.cell = nn.GRUCell(4, 4)",
    ),
    "for_list": Net(
        """
h = paddle.zeros([x.shape[0], 4])
outputs = []
for t in range(x.shape[1]):
    y, h = self.cell(x[:, t], h)
    outputs.append(y)
return paddle.stack(outputs, axis=1), h
""",
        TIME,
        tuple((one,) for one in STEPS),
        "self.cell = nn.SimpleRNNCell(4, 4)",
    ),
    "for_backwards": Net(
        """
h = paddle.zeros([x.shape[0], 4])
c = paddle.zeros([x.shape[0], 4])
outputs = []
for t in range(x.shape[1] - 1, -1, -1):
    y, (h, c) = self.cell(x[:, t], (h, c))
    outputs.append(y)
return paddle.concat(outputs, axis=0)
""",
        TIME,
        tuple((one,) for one in STEPS),
        "self.cell = nn.LSTMCell(4, 4)",
    ),
    "for_attention": Net(
        """
h = paddle.zeros([x.shape[0], 4])
token = paddle.zeros([x.shape[0], 1], dtype="int64")
scores = []
for step in range(x.shape[1] + 3):
    weights = F.softmax(x @ h.unsqueeze(2), axis=1)
    seen = (weights * x).sum(axis=1)
    _, h = self.cell(seen + self.embedding(token.squeeze(-1)), h)
    score = self.head(h)
    token = score.argmax(axis=-1, keepdim=True)
    scores.append(score)
    if (token == 3).all():
        break
return paddle.stack(scores, axis=1)
""",
        TIME,
        tuple((one,) for one in STEPS),
        "self.cell = nn.GRUCell(4, 4); self.embedding = nn.Embedding(5, 4); self.head = nn.Linear(4, 5)",
    ),
    "for_rows_of_a_list": Net(
        """
parts = []
for i in range(x.shape[1]):
    parts.append(self.linear(x[:, i]))
total = paddle.zeros_like(parts[0])
for i in range(len(parts)):
    total = total * 0.5 + parts[i]
return total
""",
        TIME,
        tuple((one,) for one in STEPS),
        LINEAR,
    ),
}

SOURCE = """import paddle
import paddle.nn.functional as F
from paddle import nn


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        {made}

    def forward(self, {names}):
{body}
"""


def layer_of(name, folder):
    """The layer of a net, whose weights are as they are drawn."""
    import importlib.util

    import paddle

    net = NETS[name]
    source = folder / f"net_{name}.py"
    body = "\n".join(f"        {line}" for line in net.body.strip().splitlines())
    source.write_text(SOURCE.format(made=net.made, names=", ".join(net.shapes), body=body))
    spec = importlib.util.spec_from_file_location(source.stem, source)
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.stem] = module
    spec.loader.exec_module(module)
    paddle.seed(1)
    return module.Net()


def save(name, folder):
    """Save a net as a program and run that."""
    import paddle
    from paddle import inference

    net, layer = NETS[name], layer_of(name, folder)
    layer.eval()
    specs = [
        paddle.static.InputSpec(shape, str(array.dtype), name=key)
        for (key, shape), array in zip(net.shapes.items(), net.runs[0], strict=True)
    ]
    paddle.jit.save(layer, str(folder / name), input_spec=specs)
    parameters = folder / f"{name}.pdiparams"
    config = inference.Config(
        str(folder / f"{name}.json"), str(parameters) if parameters.is_file() else ""
    )
    config.disable_glog_info()
    config.switch_ir_optim(False)
    config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    for run, arrays in enumerate(net.runs):
        given = dict(zip(net.shapes, arrays, strict=True))
        for key in predictor.get_input_names():
            handle = predictor.get_input_handle(key)
            handle.reshape(given[key].shape)
            handle.copy_from_cpu(given[key])
        predictor.run()
        found = {
            f"out:{key}": predictor.get_output_handle(key).copy_to_cpu()
            for key in predictor.get_output_names()
        }
        given = {f"in:{key}": array for key, array in given.items()}
        np.savez(folder / f"{name}.{run}.npz", **given, **found)


def negated(x, name=None, out=None):
    """`logical_not` as programs of the older form have it: PaddlePaddle 3 adds only the new one."""
    import paddle

    block = paddle.static.default_main_program().current_block()
    made = block.create_var(dtype="bool", shape=x.shape)
    block.append_op(type="logical_not", inputs={"X": [x]}, outputs={"Out": [made]})
    return made


def chosen(x):
    """Two values that a condition chooses."""
    import paddle
    from paddle.nn.functional import softmax

    positive = paddle.mean(x) > paddle.full([], 0.0)
    return paddle.static.nn.cond(
        positive, lambda: (x * 2.0, softmax(x)), lambda: (paddle.scale(x, -1.0), x)
    )


def repeated(x):
    """A value that five rounds change."""
    import paddle
    from paddle.nn.functional import softmax

    counts = [paddle.full([1], number, "int64") for number in (0, 5)]
    states = [counts[0], x]
    rounds = paddle.static.nn.while_loop(
        lambda i, _: i < counts[1], lambda i, y: [i + 1, softmax(y * 1.5)], states
    )
    return [rounds[1] + 1.0]


OLD = {"chosen": chosen, "repeated": repeated}


def save_old(name, folder):
    """Save and run a program of the older form, for which FLAGS_enable_pir_api must be 0."""
    import paddle

    paddle.enable_static()
    paddle.logical_not = negated
    program = paddle.static.Program()
    with paddle.static.program_guard(program, paddle.static.Program()):
        x = paddle.static.data("x", [None, 4], "float32")
        outputs = [*OLD[name](x)]
        executor = paddle.static.Executor(paddle.CPUPlace())
        path = str(folder / name)
        paddle.static.save_inference_model(path, [x], outputs, executor, program=program)
        program, _, outputs = paddle.static.load_inference_model(path, executor)
        for run, (array,) in enumerate(BOTH):
            found = executor.run(program, feed={"x": array}, fetch_list=outputs)
            made = {f"out:{one.name}": value for one, value in zip(outputs, found, strict=True)}
            np.savez(folder / f"{name}.{run}.npz", **{"in:x": array}, **made)


def main():
    """Each net in turn; what ends the process is named by NAME.begun without NAME.0.npz."""
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or NETS:
        if (folder / f"{name}.begun").exists():
            continue
        (folder / f"{name}.begun").touch()
        try:
            (save_old if name in OLD else save)(name, folder)
        except Exception as error:
            (folder / f"{name}.failed").write_text(f"{type(error).__name__}: {error}"[-2000:])


if __name__ == "__main__":
    main()
