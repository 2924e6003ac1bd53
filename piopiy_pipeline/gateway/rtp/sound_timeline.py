"""Where the sound of each packet belongs on one timeline, however the phone counts its timestamps. No I/O.

RTP says when a packet's sound is to be played by a timestamp on the clock that signalling has named. Phones and
gateways count wrongly: G.722 at 16 kHz in the place of 8, Opus at the rate of its sound, 20 ms for packets of 30. Some
leave the timestamp as it is, let it jump, or write anything. To believe them would cut speech off, or tear holes into
it.

Packets that follow each other have their sound one behind the other, unless there was a pause between them. So what a
timestamp says is compared with the length of the sound before it. An overlap cannot be. A pause can: in a stream whose
timestamps have agreed with its sound so far it is believed as long as the sound does not run ahead of the arrivals, and
in others if the packet came later, too. A step that is wrong by the same factor each time is learned.

All streams of a call that follow each other are one timeline, so that a new source or codec is a short gap and no more.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from piopiy_pipeline.gateway.rtp.reception import StreamPosition

__all__ = ["SoundTimeline"]

_TOLERANCE_S = 0.01  # timestamps that are taken from a wall clock are not exact to the sample
_AHEAD_S = 0.1  # a pause that runs further ahead of the arrivals is none
_STALL_S = 0.2  # a packet without a usable timestamp that comes so late was sent late
_LONGEST_S = 0.12  # of a packet
_CLOSE = 4  # of packets so close to each other, few or none between them are keys
_ALIKE = 4  # steps that are wrong by the same factor: then it is learned
_TRUSTED, _MOST_TRUST, _DISTRUST = 10, 50, 5  # in packets with a right timestamp


class _Step(NamedTuple):
    """From one packet to the next: the seconds that timestamp, sound and arrival say."""

    claimed: float
    sound: float
    elapsed: float


class SoundTimeline:
    """The timeline of the sound of one call.

    Args:
        rate: The sample rate of the sound in Hz; places are counted in samples of it.
    """

    def __init__(self, *, rate: int) -> None:
        self._rate = rate
        self._tolerance = int(_TOLERANCE_S * rate)
        self._begun = self._spliced = False
        self._clock = 0
        self._sequence = self._shift = 0  # the newest packet's number, and what it is shifted by
        self._start = self._size = 0  # the newest packet's place and length
        self._timestamp = 0
        self._arrived = 0.0
        self._anchor = (0, 0)  # a timestamp and its place
        self._factor = 1.0  # how many times faster than declared the timestamps count
        self._trust = 0
        self._lead_s = float("-inf")  # the most that the timeline was ever ahead of the arrivals
        self._steps: deque[_Step] = deque(maxlen=_ALIKE)

    def splice(self) -> None:
        """The next packet belongs to another stream, whose numbers are not related to those before."""
        self._spliced = True

    def place(self, position: StreamPosition, samples: int, *, clock: int, arrived: float) -> StreamPosition:
        """Find the place of a packet's sound.

        Args:
            position: The packet's place in its stream, as it says itself.
            samples: The length of its sound, at the rate of this timeline.
            clock: The declared rate of its timestamp in Hz.
            arrived: The time of its arrival in seconds.

        Returns:
            Its number and the place of its first sample, both in this timeline.
        """
        if not self._begun or self._spliced or clock != self._clock:
            return self._begin(position, samples, clock, arrived)
        ahead = position.sequence - self._sequence
        if ahead <= 0:
            return StreamPosition(
                position.sequence + self._shift, self._overtaken(position.timestamp, ahead, samples)
            )
        if ahead <= _CLOSE:
            self._learn(position.timestamp, ahead, arrived)
        claimed, end = self._claimed(position.timestamp), self._start + self._size
        if ahead <= _CLOSE and abs(claimed - end - (ahead - 1) * self._size) <= self._tolerance:
            place = end if ahead == 1 else claimed
            self._trust = min(self._trust + 1, _MOST_TRUST)
        elif self._believable(claimed, ahead, arrived):
            place = claimed
        else:
            place = end + self._guessed_gap(ahead, arrived)
            self._anchor = (position.timestamp, place)
            self._trust = max(self._trust - _DISTRUST, 0)
        self._lead_s = max(self._lead_s, place / self._rate - arrived)
        return self._go_on(position, place, samples, arrived)

    def _begin(self, position: StreamPosition, samples: int, clock: int, arrived: float) -> StreamPosition:
        place = 0
        if self._begun:
            ahead = 1 if self._spliced else max(1, position.sequence - self._sequence)
            place = self._start + self._size + self._guessed_gap(ahead, arrived)
            if self._spliced:
                self._shift += self._sequence + 1 - position.sequence
        self._begun, self._spliced, self._clock = True, False, clock
        self._factor, self._trust = 1.0, 0
        self._steps.clear()
        self._anchor = (position.timestamp, place)
        return self._go_on(position, place, samples, arrived)

    def _go_on(self, position: StreamPosition, place: int, samples: int, arrived: float) -> StreamPosition:
        self._sequence, self._timestamp = position
        self._start, self._size, self._arrived = place, samples, arrived
        return StreamPosition(position.sequence + self._shift, place)

    def _overtaken(self, timestamp: int, ahead: int, samples: int) -> int:
        """The place of a packet that comes behind one that was sent later."""
        claimed = self._claimed(timestamp)
        if self._trust >= _TRUSTED and 0 < self._start - claimed <= _LONGEST_S * self._rate * -ahead:
            return claimed
        return self._start + ahead * samples

    def _claimed(self, timestamp: int) -> int:
        """The place that a timestamp says."""
        since, place = self._anchor
        return place + round((timestamp - since) * self._rate / (self._clock * self._factor))

    def _believable(self, claimed: int, ahead: int, arrived: float) -> bool:
        """Whether a pause, or the time of the packets that are missing, can be as long as the timestamp says."""
        end = self._start + self._size
        if claimed < end - self._tolerance * (ahead > 1):
            return False
        if self._trust >= _TRUSTED:
            return claimed / self._rate - arrived <= self._lead_s + _AHEAD_S
        missing = (ahead - 1) * self._size
        pause = claimed - end - missing
        return (
            pause <= 2 * max(0.0, (arrived - self._arrived) * self._rate - self._size - missing) + missing / 2
        )

    def _guessed_gap(self, ahead: int, arrived: float) -> int:
        """How many samples are missing before a packet whose timestamp is of no use."""
        missing = (ahead - 1) * self._size
        late = max(0, round((arrived - self._arrived) * self._rate) - self._size)
        if late > missing + _STALL_S * self._rate:
            return late
        return min(missing, late + round(_AHEAD_S * self._rate))

    def _learn(self, timestamp: int, ahead: int, arrived: float) -> None:
        """Note the step to a packet. After a few that are wrong by the same factor, that is the clock's."""
        claimed = (timestamp - self._timestamp) / (self._clock * self._factor)
        step = _Step(claimed, ahead * self._size / self._rate, arrived - self._arrived)
        if abs(step.claimed - step.sound) <= 0.05 * step.sound:
            if self._steps:
                self._steps.clear()
            return
        self._steps.append(step)
        if len(self._steps) < _ALIKE:
            return
        factors = [one.claimed / one.sound for one in self._steps]
        if min(factors) < 0.01 or max(factors) > 1.02 * min(factors):
            return
        elapsed_s = sum(one.elapsed for one in self._steps)
        sound_s, claimed_s = (sum(one[n] for one in self._steps) for n in (1, 0))
        if abs(elapsed_s - sound_s) < abs(elapsed_s - claimed_s):
            self._factor *= sum(factors) / len(factors)
            self._anchor = (self._timestamp, self._start)
            self._steps.clear()
