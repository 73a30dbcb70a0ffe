"""The ONNX graph of all-MiniLM-L6-v2, made from its safetensors weights, with mean pooling and length one at its end.

Heavy: imports numpy, onnx and onnxruntime. Import it only where a model is built (`embedding/build.py`).
It takes one text at a time (`ids`, shape [1, n]), so there is no padding, and nothing to mask.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

LAYERS, WIDTH, HEADS = 6, 384, 12
LONGEST = 512
_HEAD = WIDTH // HEADS
_EPSILON = 1e-12
_OPSET = 20
#: The oldest file format that holds this opset, so that an older runtime reads the file too.
_IR_VERSION = 9

Array = Any


class _Graph:
    """Nodes and weights while they are put together; each step returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        name = f"{op}_{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, **attributes))
        return name

    def weight(self, value: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def linear(self, x: str, matrix: Array, bias: Array) -> str:
        return self.node("Add", self.node("MatMul", x, self.weight(matrix.T)), self.weight(bias))

    def norm(self, x: str, scale: Array, bias: Array) -> str:
        return self.node("LayerNormalization", x, self.weight(scale), self.weight(bias), axis=-1, epsilon=_EPSILON)


def fp32_model(weights: dict[str, Array]) -> Any:
    """The whole graph with full weights."""
    graph = _Graph()
    x = _embeddings(graph, weights)
    for i in range(LAYERS):
        x = _layer(graph, {k.split(".", 3)[3]: v for k, v in weights.items() if k.startswith(f"encoder.layer.{i}.")}, x)
    mean = graph.node("ReduceMean", x, graph.weight(np.array([1], np.int64)), keepdims=0)
    length = graph.node("ReduceL2", mean, graph.weight(np.array([1], np.int64)), keepdims=1)
    graph.nodes.append(helper.make_node("Div", [mean, length], ["vector"], name="vector"))
    built = helper.make_graph(
        graph.nodes, "all-MiniLM-L6-v2",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "n"])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, WIDTH])],
        graph.weights,
    )  # fmt: skip
    model = helper.make_model(built, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="comporta")
    model.ir_version = _IR_VERSION
    return model


def _embeddings(graph: _Graph, weights: dict[str, Array]) -> str:
    """Words and places; every token is of the first type, so that its row is added to the places at once."""
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    zero, one = graph.weight(np.array([0], np.int64)), graph.weight(np.array([1], np.int64))
    count = graph.node("Gather", graph.node("Shape", "ids"), one, axis=0)
    x = graph.node(
        "Add",
        graph.node("Gather", graph.weight(weights["embeddings.word_embeddings.weight"]), "ids", axis=0),
        graph.node("Slice", graph.weight(places), zero, count, zero),
    )
    return graph.norm(x, weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"])


def _layer(graph: _Graph, w: dict[str, Array], x: str) -> str:
    attended = graph.linear(
        _attention(graph, w, x), w["attention.output.dense.weight"], w["attention.output.dense.bias"]
    )
    x = graph.norm(
        graph.node("Add", attended, x), w["attention.output.LayerNorm.weight"], w["attention.output.LayerNorm.bias"]
    )
    inner = graph.node("Gelu", graph.linear(x, w["intermediate.dense.weight"], w["intermediate.dense.bias"]))
    outer = graph.linear(inner, w["output.dense.weight"], w["output.dense.bias"])
    return graph.norm(graph.node("Add", outer, x), w["output.LayerNorm.weight"], w["output.LayerNorm.bias"])


def _attention(graph: _Graph, w: dict[str, Array], x: str) -> str:
    """One product makes queries, keys and values; the scale of the queries is in their weights already."""
    scale = np.float32(_HEAD**-0.5)
    parts = [("query", scale), ("key", np.float32(1)), ("value", np.float32(1))]
    matrix = np.concatenate([w[f"attention.self.{name}.weight"] * by for name, by in parts])
    bias = np.concatenate([w[f"attention.self.{name}.bias"] * by for name, by in parts])
    split = graph.node("Split", graph.linear(x, matrix, bias), outputs=3, axis=-1, num_outputs=3)
    heads = graph.weight(np.array([1, -1, HEADS, _HEAD], np.int64))
    q, k, v = (graph.node("Reshape", f"{split}.{i}", heads) for i in range(3))
    likeness = graph.node(
        "MatMul", graph.node("Transpose", q, perm=[0, 2, 1, 3]), graph.node("Transpose", k, perm=[0, 2, 3, 1])
    )
    mixed = graph.node(
        "MatMul", graph.node("Softmax", likeness, axis=-1), graph.node("Transpose", v, perm=[0, 2, 1, 3])
    )
    back = graph.node("Transpose", mixed, perm=[0, 2, 1, 3])
    return graph.node("Reshape", back, graph.weight(np.array([1, -1, WIDTH], np.int64)))


def full_model(weights_file: Path) -> bytes:
    """The graph as it was trained."""
    model: bytes = fp32_model(load_file(weights_file)).SerializeToString()
    return model


def int8_model(weights_file: Path) -> bytes:
    """The graph with weights of eight bits, one scale for each channel: a quarter of the size, four times the speed."""
    model = fp32_model(load_file(weights_file))
    root = logging.getLogger()
    level = root.level
    # onnxruntime recommends a preparation that changes nothing for this graph, by a warning on the root logger.
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "int8.onnx"
            quantize_dynamic(model, out, weight_type=QuantType.QInt8, per_channel=True)
            return out.read_bytes()
    finally:
        root.setLevel(level)
