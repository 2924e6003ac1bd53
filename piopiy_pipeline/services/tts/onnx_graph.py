"""Cuts an ONNX model into parts without the `onnx` package, which is 100 MB for a few lines of what it does.

A model is one protobuf message, and a part of it is a message with some of its nodes and weights: they are copied
as bytes and never decoded. https://protobuf.dev/programming-guides/encoding/ has the encoding, and
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto the numbers of the fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Node", "OnnxGraph", "encode_node"]

_GRAPH = 7  # of ModelProto
_NODES, _NAME, _WEIGHTS, _INPUTS, _OUTPUTS = 1, 2, 5, 11, 12  # of GraphProto
_FLOAT, _INT64 = 1, 7  # of TensorProto.DataType
_BYTES = 2  # the wire type of messages and strings

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
            if number != _GRAPH:
                self._header.append(encoded)
                continue
            for kind, item, whole in _fields(value):
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


def encode_node(operation: str, inputs: Sequence[str], outputs: Sequence[str]) -> Node:
    """Make a node without attributes."""
    body = b"".join(_message(1, name.encode()) for name in inputs)
    body += b"".join(_message(2, name.encode()) for name in outputs)
    body += _message(4, operation.encode())
    return Node(operation, tuple(inputs), tuple(outputs), _message(_NODES, body))


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


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(body)) + body
