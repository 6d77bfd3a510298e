"""The step of ONNX Runtime: inference only, on a graph made here, which it optimises itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx  # type: ignore[import-not-found, unused-ignore]
import onnxruntime  # type: ignore[import-not-found, unused-ignore]
from onnx import helper, numpy_helper

from . import networks
from .job import Job, Step


class Graph:
    """The nodes and weights of a network, added layer by layer."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape, dtype=np.float32) * 0.1)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def add(self, x: str, kind: str, *sizes: int) -> str:
        """One layer, see :mod:`.networks`; returns its result's name."""
        if kind == "conv":
            return self.conv(x, *sizes)
        if kind == "bn":
            ones, zeros = np.ones(sizes[0], np.float32), np.zeros(sizes[0], np.float32)
            return self.node("BatchNormalization", x, *map(self.constant, (ones, zeros, zeros, ones)))
        if kind == "linear":
            return self.node("Gemm", x, self.random(sizes[1], sizes[0]), self.random(sizes[1]), transB=1)
        if kind == "pool":
            return self.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        if kind == "mean":
            return self.node("Flatten", self.node("GlobalAveragePool", x))
        if kind == "block":
            return self.block(x, *sizes)
        return self.node({"relu": "Relu", "flatten": "Flatten"}[kind], x)

    def conv(
        self, x: str, c_in: int, c_out: int, k: int, stride: int, padding: int, groups: int, bias: int
    ) -> str:
        inputs = [x, self.random(c_out, c_in // groups, k, k)] + [self.random(c_out)] * bool(bias)
        return self.node("Conv", *inputs, strides=[stride] * 2, pads=[padding] * 4, group=groups)

    def block(self, x: str, c_in: int, c_out: int, stride: int) -> str:
        y = x
        for layer in (("conv", c_in, c_out, 3, stride, 1, 1, 0), ("bn", c_out), ("relu",)):
            y = self.add(y, *layer)
        for layer in (("conv", c_out, c_out, 3, 1, 1, 1, 0), ("bn", c_out)):
            y = self.add(y, *layer)
        more = (c_out - c_in) // 2
        if more:
            starts, ends, axes, steps = ([0, 0], [2**31 - 1] * 2, [2, 3], [stride] * 2)
            x = self.node(
                "Slice", x, *(self.constant(np.array(v, np.int64)) for v in (starts, ends, axes, steps))
            )
            x = self.node("Pad", x, self.constant(np.array([0, more, 0, 0, 0, more, 0, 0], np.int64)))
        return self.node("Relu", self.node("Add", x, y))


def prepare(job: Job, images: Any, labels: Any) -> tuple[Step, dict[str, Any]]:
    """The step, and facts about it; see :mod:`.job`."""
    if job.mode != "infer":
        raise SystemExit("onnxruntime does not train")
    graph, result = Graph(), "x"
    for layer in networks.LAYERS[job.model]:
        result = graph.add(result, *layer)
    floats = onnx.TensorProto.FLOAT
    x = helper.make_tensor_value_info("x", floats, ["N", *networks.INPUT[job.model]])
    y = helper.make_tensor_value_info(result, floats, None)
    made = helper.make_graph(graph.nodes, job.model, [x], [y], graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings would end up among our lines
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    count = networks.parameters(networks.LAYERS[job.model])
    facts = {"version": onnxruntime.__version__, "parameters": count}
    return lambda: session.run(None, {"x": images}), facts
