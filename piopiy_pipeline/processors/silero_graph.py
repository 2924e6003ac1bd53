"""The Silero model of one sample rate, as a chain of operations without a branch.

The file has both rates in the branches of an "If", and in each of them six more, which ask how many dimensions a tensor
has and always get the same answer. They and what they need are two thirds of the operations. In a loop that is free;
in a call, a run comes when the caches are cold, and there it took a third of its time. So the chain is made anew of
the file's weights. `SileroModel` compares the two before it uses this one.

The file makes a product of matrices for each window, in which three of four lanes of the processor multiply nothing,
since a window has only four columns. Here the windows of a row are one image, as high as the row is long, so that one
product serves all of them. Each number is summed up in the same order as in the file: its windows are scored to
the bit as if each was alone.

The operations are those of the file, as `silero_vad.onnx` of silero-vad 5 and 6 has them (https://github.com/snakers4/silero-vad).
Tested in `tests/processors/test_silero.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from piopiy_pipeline.onnx_graph import Node, OnnxGraph, encode_model, encode_node

__all__ = ["HIDDEN", "chain_of"]

HIDDEN = 128
"""The length of the recurrent state, of which there are two."""
_OPSET = 16
_ENCODER_STRIDES = (1, 2, 2, 1)
_ROWS_UNTIL = 2
"""From this one on a window is a single column, which the file multiplies in another order than several."""
_STFT, _RNN = "stft.forward_basis_buffer", "decoder.rnn."

Array = npt.NDArray[np.float32]


class _Operations:
    """Operations in order, each of which takes what the one before it has made."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.weights: dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]] = {}

    def add(
        self,
        operation: str,
        inputs: Sequence[str],
        outputs: str | Sequence[str],
        **attributes: int | str | Sequence[int],
    ) -> None:
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(encode_node(operation, inputs, outputs, **attributes))

    def convolve(
        self, before: str, name: str, weights: Sequence[Array], *, stride: int, pad: int, rows: bool = False
    ) -> None:
        """Add a convolution over time; with `rows` of a whole row of windows at once."""
        kernel, *bias = weights
        strides, pads = [stride], [pad, pad]
        if rows:
            kernel, strides, pads = kernel[:, :, np.newaxis], [1, stride], [0, pad, 0, pad]
        for i, each in enumerate((kernel, *bias)):
            self.weights[f"{name}.{i}"] = each
        inputs = [before, *(f"{name}.{i}" for i in range(len(weights)))]
        self.add("Conv", inputs, name, kernel_shape=kernel.shape[2:], strides=strides, pads=pads)

    def axis(self, name: str, *values: int) -> str:
        self.weights[name] = np.array(values, np.int64)
        return name


def chain_of(model: bytes, *, samples: int, context: int) -> bytes:
    """Return the model of one sample rate, with the inputs `input`, `state` and `steps`, and the outputs `output` and
    `stateN`.

    `input` has the shape ``[rows, windows of a row, context + samples]``. Taken one after the other, these windows are
    the next one of each stream, then the one after it of each, and so on. `steps` is ``[windows of a stream, streams,
    128]``. The outputs are those of each stream's last window.

    Args:
        model: The bytes of the file.
        samples: How many samples a window has, which tells the rate.
        context: How many come before them.

    Raises:
        ValueError: The file is not built as this one expects.
    """
    weights = _weights_of(model, window=samples // 2)
    chain = _Operations()
    basis = weights[_STFT]
    last, first = chain.axis("last", 2), chain.axis("first", 0)
    chain.add("Pad", ["input", chain.axis("pads", 0, 0, 0, 0, 0, context)], "padded", mode="reflect")
    chain.add("Unsqueeze", ["padded", chain.axis("channel", 1)], "sound")
    chain.convolve("sound", "stft", [basis], stride=samples // 4, pad=0, rows=True)
    half = basis.shape[0] // 2
    chain.add("Split", ["stft", chain.axis("halves", half, half)], ["real", "imaginary"], axis=1)
    chain.weights["two"] = np.array(2, np.float32)
    chain.add("Pow", ["real", "two"], "real2")
    chain.add("Pow", ["imaginary", "two"], "imaginary2")
    chain.add("Add", ["real2", "imaginary2"], "power")
    chain.add("Sqrt", ["power"], "encoded")
    before = "encoded"
    for i, stride in enumerate(_ENCODER_STRIDES):
        kernel, bias = (weights[f"encoder.{i}.reparam_conv.{each}"] for each in ("weight", "bias"))
        if i == _ROWS_UNTIL:
            chain.add("Transpose", [before], "windows", perm=[0, 2, 1, 3])
            chain.add(
                "Reshape", ["windows", chain.axis("each", -1, kernel.shape[1], 2)], before := "each_window"
            )
        chain.convolve(before, f"encoder{i}", [kernel, bias], stride=stride, pad=1, rows=i < _ROWS_UNTIL)
        chain.add("Relu", [f"encoder{i}"], before := f"encoded{i}")
    chain.add("Squeeze", [before, last], "features")
    chain.add("Reshape", ["features", "steps"], "step")
    chain.add("Split", ["state", chain.axis("states", 1, 1)], ["hidden", "cell"], axis=0)
    chain.weights["rnn.w"] = _gates(weights[_RNN + "weight_ih"])
    chain.weights["rnn.r"] = _gates(weights[_RNN + "weight_hh"])
    chain.weights["rnn.b"] = np.concatenate(
        [_gates(weights[_RNN + "bias_ih"]), _gates(weights[_RNN + "bias_hh"])], axis=1
    )
    inputs = ["step", "rnn.w", "rnn.r", "rnn.b", "", "hidden", "cell"]
    chain.add("LSTM", inputs, ["", "hidden_after", "cell_after"], hidden_size=HIDDEN)
    chain.add("Concat", ["hidden_after", "cell_after"], "stateN", axis=0)
    chain.add("Squeeze", ["hidden_after", first], "heard")
    chain.add("Unsqueeze", ["heard", last], "heard_step")
    chain.add("Relu", ["heard_step"], "decoded")
    decoder = [weights[f"decoder.decoder.2.{each}"] for each in ("weight", "bias")]
    chain.convolve("decoded", "decoder", decoder, stride=1, pad=0)
    chain.add("Sigmoid", ["decoder"], "score")
    chain.add("Squeeze", ["score", last], "output")
    return encode_model(
        chain.nodes,
        weights=chain.weights,
        inputs={"input": [None, None, context + samples], "state": [2, None, HIDDEN], "steps": [3]},
        integers=["steps"],
        outputs=["output", "stateN"],
        opset=_OPSET,
    )


def _weights_of(model: bytes, *, window: int) -> dict[str, Array]:
    """Return the weights of the branch whose Fourier transform has windows of so many samples, by their short names."""
    graph = OnnxGraph(model)
    for node in graph.find("If"):
        for branch in graph.branches(node):
            constants = branch.constants()
            for name, basis in constants.items():
                if name.endswith(_STFT) and basis.ndim == 3 and basis.shape[2] == window:
                    prefix = name.removesuffix(_STFT)
                    found = {each.removeprefix(prefix): values for each, values in constants.items()}
                    return _Named(found)
    raise ValueError(f"no branch of the VAD's model has an {_STFT} of {window} samples")


class _Named(dict[str, Array]):
    """Weights by name; one that is missing is a `ValueError`."""

    def __missing__(self, name: str) -> Array:
        raise ValueError(f"the VAD's model has no {name}")


def _gates(weights: Array) -> Array:
    """Put the gates of PyTorch's LSTM into the order of ONNX, with its dimension of directions."""
    into, forget, cell, out = np.split(weights, 4)
    return np.concatenate([into, out, forget, cell])[np.newaxis]
