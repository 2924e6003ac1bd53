"""Cuts ONNX models into parts and makes small ones, without the `onnx` package: 100 MB for a few lines of what it does.

A model is one protobuf message, and a part of it is a message with some of its nodes and weights: they are copied
as bytes and never decoded. It stands on the ground floor because voices and the VAD need it.
Tested in `tests/services/tts/test_piper_voice.py` and `tests/processors/test_silero.py`.
https://protobuf.dev/programming-guides/encoding/ has the encoding, and
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto the numbers of the fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Node", "OnnxGraph", "encode_model", "encode_node"]

_GRAPH = 7  # of ModelProto
_IR_VERSION, _OPSET = 1, 8  # of ModelProto
_ATTRIBUTES = 5  # of NodeProto
_NODES, _NAME, _WEIGHTS, _INPUTS, _OUTPUTS = 1, 2, 5, 11, 12  # of GraphProto
_FLOAT, _INT64 = 1, 7  # of TensorProto.DataType
_BYTES = 2  # the wire type of messages and strings
_INT_KIND, _TEXT_KIND, _INTS_KIND = 2, 3, 7  # of AttributeProto.type

Bytes = bytes | memoryview


@dataclass(slots=True, frozen=True)
class Node:
    """One operation of a graph, with the names of the tensors that it reads and writes."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encoded: Bytes


class OnnxGraph:
    """The nodes, weights, inputs and outputs of a model.

    Args:
        model: The bytes of an ONNX file, without external data.

    Raises:
        ValueError: It is not such a model.
    """

    def __init__(self, model: bytes) -> None:
        self.nodes: list[Node] = []
        self.inputs: dict[str, Bytes] = {}
        self.outputs: dict[str, Bytes] = {}
        self._weights: dict[str, Bytes] = {}
        self._header: list[Bytes] = []
        try:
            self._read(memoryview(model))
        except (IndexError, UnicodeDecodeError) as error:
            raise ValueError(f"not an ONNX model: {error}") from error
        if not (self.nodes and self.outputs):
            raise ValueError("not an ONNX model: it has no graph")

    def _read(self, model: memoryview) -> None:
        for number, value, encoded in _fields(model):
            if number == _GRAPH:
                self._read_graph(value)
            else:
                self._header.append(encoded)

    def _read_graph(self, graph: memoryview) -> None:
        for kind, item, whole in _fields(graph):
            if kind == _NODES:
                texts: dict[int, list[str]] = {1: [], 2: [], 4: []}
                for field, text, _ in _fields(item):
                    if field in texts:
                        texts[field].append(str(text, "utf-8"))
                operation = "".join(texts[4])
                self.nodes.append(Node(operation, tuple(texts[1]), tuple(texts[2]), whole))
            elif kind in (_INPUTS, _OUTPUTS):
                kept = self.inputs if kind == _INPUTS else self.outputs
                kept[_name(item, 1)] = whole
            elif kind == _WEIGHTS:
                self._weights[_name(item, 8)] = whole

    def branches(self, node: Node) -> list[OnnxGraph]:
        """Return the graphs that are attributes of a node: both branches of an "If"."""
        graphs = []
        for _, attribute in _attributes(node):
            for field, value, _ in _fields(attribute):
                if field == 6:  # AttributeProto.g
                    graph = OnnxGraph.__new__(OnnxGraph)
                    graph.nodes, graph.inputs, graph.outputs = [], {}, {}
                    graph._weights, graph._header = {}, []
                    graph._read_graph(value)
                    graphs.append(graph)
        return graphs

    def constants(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the tensors of floats that nodes "Constant" hold, by name. They are copies."""
        found = {}
        for node in self.find("Constant"):
            for name, attribute in _attributes(node):
                tensors = [value for field, value, _ in _fields(attribute) if field == 5]  # AttributeProto.t
                if name == "value" and tensors and (values := _floats(tensors[0])) is not None:
                    found[node.outputs[0]] = values
        return found

    def find(self, operation: str) -> list[Node]:
        """Return the nodes of an operation, in their order."""
        return [node for node in self.nodes if node.operation == operation]

    def replace(self, node: Node, *instead: Node) -> None:
        """Put other nodes in the place of one."""
        at = self.nodes.index(node)
        self.nodes[at : at + 1] = instead

    def add_input(self, name: str) -> None:
        """Make a tensor of floats, of any shape, an input of the graph."""
        tensor = _message(1, _varint(1 << 3) + _varint(_FLOAT))  # TypeProto.tensor_type.elem_type
        self.inputs[name] = _message(_INPUTS, _message(1, name.encode()) + _message(2, tensor))

    def add_weight(self, name: str, values: Sequence[int]) -> None:
        """Add a constant vector of int64, none of them negative."""
        shape, kind = _varint(1 << 3) + _varint(len(values)), _varint(2 << 3) + _varint(_INT64)
        data = b"".join(_varint(7 << 3) + _varint(value) for value in values)
        self._weights[name] = _message(_WEIGHTS, shape + kind + data + _message(8, name.encode()))

    def part(self, outputs: Sequence[str], *, given: Collection[str] = ()) -> bytes:
        """Return a model of what is needed to compute some tensors.

        Args:
            outputs: The names of the tensors.
            given: Tensors that need not be computed: the model has them as inputs, of floats.
        """
        for name in given:
            self.add_input(name)
        makers = {name: node for node in self.nodes for name in node.outputs}
        needed: set[str] = set()
        chosen: set[int] = set()
        waiting = list(outputs)
        while waiting:
            name = waiting.pop()
            if name in needed:
                continue
            needed.add(name)
            if name in makers and name not in given:
                chosen.add(id(makers[name]))
                waiting += makers[name].inputs
        graph = [node.encoded for node in self.nodes if id(node) in chosen]
        graph.append(_message(_NAME, b"part"))
        graph += [weight for name, weight in self._weights.items() if name in needed]
        graph += [value for name, value in self.inputs.items() if name in needed]
        graph += [self.outputs.get(name, _message(_OUTPUTS, _message(1, name.encode()))) for name in outputs]
        head = _varint(_GRAPH << 3 | _BYTES) + _varint(sum(map(len, graph)))
        return b"".join([*self._header, head, *graph])


def encode_node(
    operation: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | str | Sequence[int]
) -> Node:
    """Make a node. Numbers in its attributes are not negative."""
    body = b"".join(_message(1, name.encode()) for name in inputs)
    body += b"".join(_message(2, name.encode()) for name in outputs)
    body += _message(4, operation.encode())
    for name, value in attributes.items():
        if isinstance(value, int):
            kind, data = _INT_KIND, _number(3, value)
        elif isinstance(value, str):
            kind, data = _TEXT_KIND, _message(4, value.encode())
        else:
            kind, data = _INTS_KIND, b"".join(_number(8, each) for each in value)
        body += _message(_ATTRIBUTES, _message(1, name.encode()) + data + _number(20, kind))
    return Node(operation, tuple(inputs), tuple(outputs), _message(_NODES, body))


def encode_model(
    nodes: Sequence[Node],
    *,
    weights: Mapping[str, npt.NDArray[Any]],
    inputs: Mapping[str, Sequence[int | None]],
    outputs: Sequence[str],
    opset: int,
    integers: Collection[str] = (),
) -> bytes:
    """Make a model of nodes in the order in which they are computed.

    Args:
        nodes: Made by `encode_node`.
        weights: Constant tensors by name, of float32 or int64.
        inputs: The shapes of tensors by name; None for a length that is not known before.
        outputs: The names of the tensors that it computes.
        opset: The version of ONNX' operators.
        integers: The inputs that are of int64 and not of float32.
    """
    graph = [node.encoded for node in nodes]
    graph.append(_message(_NAME, b"model"))
    for name, values in weights.items():
        shape = b"".join(_number(1, length) for length in values.shape)
        kind = _number(2, _INT64 if values.dtype == np.int64 else _FLOAT)
        graph.append(
            _message(_WEIGHTS, shape + kind + _message(8, name.encode()) + _message(9, values.tobytes()))
        )
    for name, lengths in inputs.items():
        each = [_message(1, b"" if length is None else _number(1, length)) for length in lengths]
        tensor = _message(1, _number(1, _INT64 if name in integers else _FLOAT) + _message(2, b"".join(each)))
        graph.append(_message(_INPUTS, _message(1, name.encode()) + _message(2, tensor)))
    graph += [_message(_OUTPUTS, _message(1, name.encode())) for name in outputs]
    return _number(_IR_VERSION, 8) + _message(_OPSET, _number(2, opset)) + _message(_GRAPH, b"".join(graph))


def _attributes(node: Node) -> Iterator[tuple[str, memoryview]]:
    """Go through the attributes of a node: the name of each, and its message."""
    (_, body, _), *_ = _fields(memoryview(node.encoded))
    for field, value, _ in _fields(body):
        if field == _ATTRIBUTES:
            yield _name(value, 1), value


def _floats(tensor: memoryview) -> npt.NDArray[np.float32] | None:
    """Decode a TensorProto; None if it is of another type than float."""
    shape, kind, data = [], 0, b""
    for field, value, _ in _fields(tensor):
        if field == 1:
            shape.append(_read_varint(value, 0)[0])
        elif field == 2:
            kind = _read_varint(value, 0)[0]
        elif field in (4, 9):  # float_data, packed, or raw_data
            data = bytes(value)
    if kind != _FLOAT or len(data) != 4 * int(np.prod(shape)):
        return None
    return np.frombuffer(data, "<f4").astype(np.float32).reshape(shape)


def _name(message: memoryview, field: int) -> str:
    return next(str(value, "utf-8") for number, value, _ in _fields(message) if number == field)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Go through a message: each field's number, its value if it has a length, and the whole field."""
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        match key & 7:
            case 0:
                size = _read_varint(message, at)[1] - at
            case 1:
                size = 8
            case 2:
                size, at = _read_varint(message, at)
            case 5:
                size = 4
            case wire:
                raise IndexError(f"wire type {wire}")
        if at + size > len(message):
            raise IndexError("it is cut off")
        yield key >> 3, message[at : at + size], message[start : at + size]
        at += size


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(body)) + body
