"""Write the ONNX graph of a BERT model, or of the n-gram tower, beside the folder of its weights.

    python -m training.graph rag/models/embedder
    python -m training.graph rag/models/embedder/ngrams
    python -m training.graph rag/models/reader

The graph holds no weights: each of its tensors points into the safetensors files of the folder, so that nothing is
stored twice and ONNX Runtime reads what transformers reads. It lies beside the folder and not in it, since tensors may
only lie below their graph and the reader shares the embedder's words. float16 on disk is made float32 when a session is
opened, but for the word embeddings, of which only the rows of a text are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

_MICROSOFT = "com.microsoft"
_INPUTS = ("input_ids", "attention_mask")
_OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid(_MICROSOFT, 1))
_TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT, "U8": TensorProto.UINT8}


class _Graph:
    """Nodes and tensors as they are added; names of results are made up."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self._places = _places(folder)

    def add(
        self, operator: str, inputs: Sequence[str], *, domain: str = "", outputs: int = 1, **attributes: Any
    ) -> str:
        """Add a node; return the name of its first output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        names = [name, *(f"{name}_{n}" for n in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        """Add a small tensor of the graph's own."""
        self.tensors.append(onnx.numpy_helper.from_array(value, name))
        return name

    def stored(self, name: str) -> str:
        """Add a tensor of the safetensors files, as it lies there."""
        file, kind, shape, offset, length = self._places[name]
        tensor = TensorProto(name=name, data_type=_TYPES[kind], dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", file), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self.tensors.append(tensor)
        return name

    def weight(self, name: str) -> str:
        """Return a stored tensor in float32."""
        return self.add("Cast", [self.stored(name)], to=TensorProto.FLOAT)

    def matrix(self, name: str) -> str:
        """Return the weight of a linear layer the way a product wants it: (in, out)."""
        return self.add("Transpose", [self.weight(name)], perm=[1, 0])


def _places(folder: Path) -> dict[str, tuple[str, str, list[int], int, int]]:
    """Return file, type, shape, offset and length in bytes of each tensor that the folder's index names."""
    found = {}
    root = folder.resolve().parent
    index = folder / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text("utf-8"))["weight_map"] if index.exists() else {}
    for file in sorted(set(weight_map.values()) or {"model.safetensors"}):
        with open(folder / file, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        prefix = next((name.removesuffix(key) for name in weight_map for key in header if name.endswith(key)), "")
        for key, tensor in header.items():
            if key == "__metadata__":
                continue
            first, last = tensor["data_offsets"]
            name = prefix + key if weight_map and key not in weight_map else key
            place = (folder / file).resolve().relative_to(root).as_posix()
            found[name] = place, tensor["dtype"], tensor["shape"], 8 + size + first, last - first
    return found


def bert(folder: Path) -> onnx.ModelProto:
    """Return the graph of a BERT encoder, or of one with a question answering head, without weights.

    Inputs ``input_ids`` and ``attention_mask``, int64 of shape (batch, tokens); every token is of type 0, as in
    training. Output ``last_hidden_state``, float32 (batch, tokens, hidden); with the head ``logits``, float32
    (batch, tokens, 2).
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise ValueError(f"{folder} is no BERT model with gelu")
    graph = _Graph(folder)
    has_head = config["architectures"] == ["BertForQuestionAnswering"]
    root = "bert." if has_head else ""
    hidden, epsilon = config["hidden_size"], float(config["layer_norm_eps"])
    embeddings = f"{root}embeddings."
    words = graph.add("Gather", [graph.stored(f"{embeddings}word_embeddings.weight"), "input_ids"])
    rows = graph.weight(f"{embeddings}token_type_embeddings.weight")
    types = graph.add("Gather", [rows, graph.constant("zero", np.array([0]))])  # (1, hidden)
    length = graph.add("Gather", [graph.add("Shape", ["input_ids"]), graph.constant("one", np.array([1]))])
    rows = graph.weight(f"{embeddings}position_embeddings.weight")
    positions = graph.add("Slice", [rows, "zero", length, "zero"])
    state = graph.add("Add", [graph.add("Cast", [words], to=TensorProto.FLOAT), types])
    state = graph.add("Add", [state, positions])

    def norm(inputs: Sequence[str], name: str) -> str:
        weights = [graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")]
        if len(inputs) == 1:
            return graph.add("LayerNormalization", [*inputs, *weights], axis=-1, epsilon=epsilon)
        bias = graph.weight(inputs[2])
        return graph.add(
            "SkipLayerNormalization", [inputs[0], inputs[1], *weights, bias], domain=_MICROSOFT, epsilon=epsilon
        )

    state = norm([state], f"{embeddings}LayerNorm")
    mask = graph.add("Cast", ["attention_mask"], to=TensorProto.INT32)
    for n in range(config["num_hidden_layers"]):
        layer = f"{root}encoder.layer.{n}."
        names = [f"{layer}attention.self.{part}" for part in ("query", "key", "value")]
        merged = graph.add("Concat", [graph.matrix(f"{name}.weight") for name in names], axis=1)
        bias = graph.add("Concat", [graph.weight(f"{name}.bias") for name in names], axis=0)
        seen = graph.add(
            "Attention", [state, merged, bias, mask], domain=_MICROSOFT, num_heads=config["num_attention_heads"]
        )
        out = graph.add("MatMul", [seen, graph.matrix(f"{layer}attention.output.dense.weight")])
        dense = f"{layer}attention.output.dense.bias"
        state = norm([out, state, dense], f"{layer}attention.output.LayerNorm")
        wide = graph.add("MatMul", [state, graph.matrix(f"{layer}intermediate.dense.weight")])
        wide = graph.add("BiasGelu", [wide, graph.weight(f"{layer}intermediate.dense.bias")], domain=_MICROSOFT)
        out = graph.add("MatMul", [wide, graph.matrix(f"{layer}output.dense.weight")])
        state = norm([out, state, f"{layer}output.dense.bias"], f"{layer}output.LayerNorm")
    output, width = "last_hidden_state", hidden
    if has_head:
        product = graph.add("MatMul", [state, graph.matrix("qa_outputs.weight")])
        state = graph.add("Add", [product, graph.weight("qa_outputs.bias")])
        output, width = "logits", 2
    graph.nodes.append(helper.make_node("Identity", [state], [output]))
    made = helper.make_graph(
        graph.nodes,
        "bert",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in _INPUTS],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "tokens", width])],
        graph.tensors,
    )
    return helper.make_model(made, opset_imports=_OPSETS, ir_version=9, producer_name="sanad")


def ngrams(folder: Path) -> onnx.ModelProto:
    """Return the graph of the n-gram tower (``training.ngrams.Ngrams``), without weights.

    Inputs as in `bert`; output ``vector``, float32 (batch, dim), not of unit length.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    epsilon = float(config["epsilon"])
    graph = _Graph(folder)
    last = graph.constant("last", np.array([-1]))
    mask = graph.add("Unsqueeze", [graph.add("Cast", ["attention_mask"], to=TensorProto.FLOAT), last])
    packed = graph.add("Gather", [graph.stored("table"), "input_ids"])
    upper = graph.add("BitShift", [packed, graph.constant("four", np.array(4, dtype=np.uint8))], direction="RIGHT")
    upper, packed = (graph.add("Cast", [part], to=TensorProto.FLOAT) for part in (upper, packed))
    sixteen = graph.constant("sixteen", np.array(16, dtype=np.float32))
    lower = graph.add("Sub", [packed, graph.add("Mul", [upper, sixteen])])
    eight = graph.constant("eight", np.array(8, dtype=np.float32))
    numbers = graph.add("Sub", [graph.add("Concat", [upper, lower], axis=-1), eight])
    blocks = graph.constant("blocks", np.array([0, 0, -1, config["block"]]))
    scale = graph.add("Gather", [graph.stored("scale"), "input_ids"])
    scale = graph.add("Unsqueeze", [graph.add("Cast", [scale], to=TensorProto.FLOAT), last])
    vectors = graph.add("Mul", [graph.add("Reshape", [numbers, blocks]), scale])
    vectors = graph.add("Reshape", [vectors, graph.constant("row", np.array([0, 0, config["dim"]]))])

    def linear(value: str, weight: str, bias: str | None = None) -> str:
        product = graph.add("MatMul", [value, graph.weight(weight)])
        return product if bias is None else graph.add("Add", [product, graph.weight(bias)])

    def norm(value: str, name: str) -> str:
        weights = [graph.weight(name.replace("ln", "ln_g")), graph.weight(name.replace("ln", "ln_b"))]
        return graph.add("LayerNormalization", [value, *weights], axis=-1, epsilon=epsilon)

    def window(value: str, width: int, left: int, name: str) -> str:
        sides = graph.constant(f"{name}_sides", np.array([0, left, 0, 0, width - 1 - left, 0]))
        padded = graph.add("Pad", [graph.add("Mul", [value, mask]), sides])
        slices = []
        for n in range(width):
            end = n - width + 1 if n < width - 1 else np.iinfo(np.int64).max
            ends = [graph.constant(f"{name}_{part}_{n}", np.array([at])) for part, at in (("from", n), ("to", end))]
            slices.append(graph.add("Slice", [padded, *ends, "axis"]))
        return graph.add("Concat", slices, axis=-1)

    graph.constant("axis", np.array([1]))
    features = [vectors]
    for width, left in ((2, 0), (3, 1), (5, 2)):
        state = norm(linear(vectors, f"proj{width}", f"proj_b{width}"), f"ln{width}")
        for layer in (1, 2):
            seen = linear(window(state, width, left, f"w{layer}_{width}_"), f"w{layer}_{width}", f"b{layer}_{width}")
            state = graph.add("Add", [graph.add("Relu", [seen]), state])
        features.append(state)
    whole = norm(graph.add("Concat", features, axis=-1), "ln")
    total = graph.add("ReduceSum", [graph.add("Mul", [whole, mask]), "axis"], keepdims=0)
    length = graph.add("ReduceSum", [mask, "axis"], keepdims=0)  # (batch, 1)
    bias = graph.add("Mul", [length, graph.weight("cnn_b")])
    mean = graph.add("Div", [graph.add("Add", [linear(total, "cnn_W"), bias]), graph.add("Sqrt", [length])])
    inner = linear(graph.add("Relu", [linear(mean, "d0")]), "d1")
    first = graph.add("Relu", [graph.add("Add", [linear(mean, "p1"), inner])])
    inner = linear(graph.add("Relu", [linear(first, "d2")]), "d3")
    sum_ = graph.add("Add", [linear(first, "p3"), inner])
    graph.nodes.append(helper.make_node("Tanh", [sum_], ["vector"]))
    made = helper.make_graph(
        graph.nodes,
        "ngrams",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in _INPUTS],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", config["dim"]])],
        graph.tensors,
    )
    return helper.make_model(made, opset_imports=_OPSETS, ir_version=9, producer_name="sanad")


def write_graph(folder: Path) -> Path:
    """Write ``FOLDER.onnx`` beside a folder whose weights are in place; return its path."""
    is_bert = "model_type" in json.loads((folder / "config.json").read_text("utf-8"))
    path = folder.resolve().with_suffix(".onnx")
    path.write_bytes((bert if is_bert else ngrams)(folder).SerializeToString())
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds config.json and safetensors")
    print(write_graph(parser.parse_args().folder))
