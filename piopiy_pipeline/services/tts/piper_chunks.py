"""Which latent frames are decoded for which samples, so that a sentence is streamed and sounds as if decoded at once.

A piper voice (VITS) makes a sentence in two steps: an encoder makes *latents*, one vector for each 256 samples,
and a decoder makes audio of them. The decoder is a convolution: a sample depends on no latents farther away than
its receptive field. So a piece of audio is decoded from its own latents and `CONTEXT` more on both sides, and
equals the same piece of the whole to the last digits of a float. The same holds for the resampler behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

__all__ = ["CONTEXT", "Chunk", "plan_chunks"]

CONTEXT = 10
"""Latents to each side that the decoder is given. With 10 a voice of medium quality gives the same samples as with
all, to 2e-7; with 8, to 3e-4. The kernels of high quality reach 13 far, of which the last few weigh as little."""
MARGIN = 512
"""Samples to each side that the resampler is given: more than its filter is long."""
GROWTH_S = (0.4, 0.6, 1.0)
"""How long the first chunks are, in seconds, and all later ones as the last of these: the first is soon there,
and a later one costs one request for more audio. It bounds what a call takes from others at once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request to the decoder.

    Args:
        frames: The latents to decode: from, to.
        skip: Samples to drop from the beginning of what was decoded.
        samples: Samples after them that go to the resampler.
        out: What to take of the resampler's result: from, to.
        first: Whether it begins the sentence.
        last: Whether it ends the sentence.
    """

    frames: tuple[int, int]
    skip: int
    samples: int
    out: tuple[int, int]
    first: bool
    last: bool


def plan_chunks(
    count: int, begin: int, end: int, *, hop: int, rate_in: int, rate_out: int, context: int = CONTEXT
) -> Iterator[Chunk]:
    """Plan the chunks of a sentence.

    Args:
        count: How many latents it has.
        begin: The first latent that is wanted: what comes before is silence.
        end: Where the wanted ones end.
        hop: Samples for each latent.
        rate_in: The voice's sample rate in Hz.
        rate_out: The wanted sample rate in Hz.
        context: How many latents more the decoder needs to each side.
    """
    divisor = gcd(rate_in, rate_out)
    grid, grid_out = rate_in // divisor, rate_out // divisor  # samples after which both rates meet again
    total = (end - begin) * hop
    low, high = -begin * hop, (count - begin) * hop
    margin = -(-MARGIN // grid) * grid
    number = at = 0
    while at < total:
        length = int(GROWTH_S[min(number, len(GROWTH_S) - 1)] * rate_in) // grid * grid
        until = at + length if length else total  # of odd rates a chunk would be seconds long
        if total - until < rate_in // 20:  # no crumbs
            until = total
        start = max(at - margin, at - (at - low) // grid * grid)
        stop = min(until + margin, high)
        first_frame = max(0, (start - low) // hop - context)
        last_frame = min(count, -(-(stop - low) // hop) + context)
        out = (at - start) // grid * grid_out
        size = round((until - at) * rate_out / rate_in)
        yield Chunk(
            frames=(first_frame, last_frame),
            skip=start - low - first_frame * hop,
            samples=stop - start,
            out=(out, out + size),
            first=number == 0,
            last=until == total,
        )
        number, at = number + 1, until
