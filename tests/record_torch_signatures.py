"""Record what PyTorch says about the names that minicnn shares with it.

Run with an interpreter that has torch, from the repository:  python tests/record_torch_signatures.py

* ``tests/nn/torch_signatures.json``: parameter names and defaults of constructors and functions.
* ``tests/nn/layers.json``: for each row (a layer as an expression, and its input's shape) the text,
  the state's shapes, and numbers that depend on every argument. Add rows by hand, then run this.
* ``tests/models/torch_models.json``: the same for the models, whose own source is run with
  PyTorch's ``nn`` for that.
"""

import ast
import inspect
import json
import pathlib
import re
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent / "nn"

# Names that are none of minicnn's business: private, other dimensions, other kinds of models.
OTHERS = re.compile(
    "^_|^[A-Z].?$|3d|Lazy|Fractional|Transformer|LSTM|GRU|RNN|Attention|Quant|quantized|jit|fx"
)

# Models, and the input to record them with.
MODELS = {
    "mlp": (2, 784),
    "lenet5": (2, 1, 28, 28),
    "digits_cnn": (2, 1, 8, 8),
    "vgg_small": (2, 3, 32, 32),
    "resnet20": (2, 3, 16, 16),
    "depthwise_small": (2, 3, 16, 16),
}


def described(parameters):
    """Name and, if there is one, default of each parameter; a star before names that are no positions."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    stars[inspect.Parameter.KEYWORD_ONLY] = "*, "
    rows = []
    for p in parameters:
        row = [stars.get(p.kind, "") + p.name]
        if p.default is not p.empty:
            row.append(p.default if isinstance(p.default, (int, float, str, type(None))) else repr(p.default))
        rows.append(row)
    return rows


def parameters_of(name, function):
    """The parameters; of functions written in C, from the first line of their documentation."""
    dispatched = getattr(F, f"_{name}", None)
    if dispatched is not None and list(inspect.signature(function).parameters) == ["args", "kwargs"]:
        function = dispatched
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        line = function.__doc__.strip().splitlines()[0].split(" -> ")[0].replace("*, ", "")
        call = ast.parse("def " + line + ": pass").body[0].args
        defaults = [inspect.Parameter.empty] * (len(call.args) - len(call.defaults))
        defaults += [ast.literal_eval(value) for value in call.defaults]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return [inspect.Parameter(a.arg, kind, default=d) for a, d in zip(call.args, defaults, strict=True)]


def record_signatures():
    warnings.simplefilter("ignore")
    sources = {"nn": nn, "nn.functional": F, "nn.init": nn.init, "nn.utils": nn.utils, "nn.Module": nn.Module}
    recorded = {}
    for source, namespace in sources.items():
        found = recorded[source] = {}
        for name in sorted(vars(namespace)):
            value = getattr(namespace, name)
            wanted = (
                inspect.isclass(value) and issubclass(value, (nn.Module, nn.Parameter))
                if source == "nn"
                else callable(value)
            )
            if not wanted or OTHERS.search(name) or (source != "nn" and inspect.isclass(value)):
                continue
            try:
                found[name] = described(parameters_of(name, value))
            except (ValueError, SyntaxError, AttributeError, TypeError):
                continue  # neither a signature nor a documented one
    return recorded


def filled(shape, start=0.0):
    """Numbers in [-1, 1] that all differ."""
    return np.sin(start + 0.7 * np.arange(int(np.prod(shape)))).reshape(shape)


def set_state(module):
    """Numbers that do not depend on random draws."""
    for place, (name, tensor) in enumerate(module.state_dict().items()):
        if tensor.is_floating_point():
            values = torch.from_numpy(filled(tuple(tensor.shape), place + 1.0))
            tensor.copy_(values.abs() + 0.5 if name.endswith("var") else values)


def digest(tensor):
    """One number that every element changes."""
    y = tensor.detach().numpy().astype(np.float64)
    return float((y * np.cos(np.arange(y.size)).reshape(y.shape)).sum())


def target_of(row, shape):
    if row["target"] == "labels":
        return torch.from_numpy(np.arange(shape[0]) % shape[1])
    return torch.from_numpy(np.abs(filled(tuple(shape), 2.0)) + 0.1)


def record_layer(row):
    module = eval(row["layer"], {**vars(nn), "tensor": torch.tensor}).double()
    set_state(module)
    seen = {"repr": repr(module), "state": {name: list(t.shape) for name, t in module.state_dict().items()}}
    for mode in ("eval", "train"):
        x = torch.from_numpy(filled(row["input"])).requires_grad_()
        module.train(mode == "train")
        y = module(x * 1, target_of(row, row["input"])) if "target" in row else module(x * 1)
        y, *_ = y if isinstance(y, tuple) else (y,)
        (y * torch.from_numpy(filled(tuple(y.shape), 3.0))).sum().backward()
        seen[mode] = {"shape": list(y.shape), "output": digest(y), "gradient": digest(x.grad)}
    seen["buffers"] = {name: digest(buffer) for name, buffer in module.named_buffers()}
    return seen


def torch_models():
    """The functions of minicnn/models, made from their source with torch's layers."""
    found = {"image_size_at_least": lambda least, size, model: (size, size), "whole": lambda *_: None}
    found |= {"nn": nn, "F": F, "Tensor": torch.Tensor, "__name__": "models"}
    for path in sorted((HERE.parents[1] / "minicnn" / "models").glob("*.py")):
        if path.stem not in ("__init__", "sizes"):
            source = re.sub("^from (minicnn|__future__).*", "", path.read_text(), flags=re.MULTILINE)
            exec(compile("from __future__ import annotations\n" + source, str(path), "exec"), found)
    return {name: found[name] for name in MODELS}


def without_dropout(module):
    if isinstance(module, nn.Dropout):
        module.p = 0.0


def record_model(model, shape):
    model = model.double()
    set_state(model)
    seen = {"state": {name: list(tensor.shape) for name, tensor in model.state_dict().items()}}
    for mode in ("eval", "train"):
        x = torch.from_numpy(filled(shape)).requires_grad_()
        model.train(mode == "train").apply(without_dropout)
        y = model(x)
        (y * torch.from_numpy(filled(tuple(y.shape), 3.0))).sum().backward()
        seen[mode] = {"output": digest(y), "gradient": digest(x.grad)}
    return seen


def main():
    signatures = {"torch": torch.__version__, **record_signatures()}
    lines = [f'"torch": {json.dumps(signatures.pop("torch"))}']
    for source, found in signatures.items():
        entries = ",\n".join(f"  {json.dumps(name)}: {json.dumps(rows)}" for name, rows in found.items())
        lines.append(f"{json.dumps(source)}: {{\n{entries}\n}}")
    (HERE / "torch_signatures.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    path = HERE / "layers.json"
    rows = json.loads(path.read_text())
    for row in rows:
        row["torch"] = record_layer(row)
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    models = torch_models()
    seen = {name: {"input": MODELS[name], **record_model(models[name](), MODELS[name])} for name in MODELS}
    entries = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in seen.items())
    (HERE.parent / "models" / "torch_models.json").write_text("{\n" + entries + "\n}\n")


if __name__ == "__main__":
    main()
