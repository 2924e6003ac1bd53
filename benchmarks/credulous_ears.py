"""A worker that hears as `moonshine_worker` does and takes every sound for speech, to measure what refusing costs."""

from __future__ import annotations

import math

from piopiy_pipeline.services.stt import moonshine_worker

if __name__ == "__main__":
    moonshine_worker.SPEECH = -math.inf
    moonshine_worker.MAX_REPEATS = 1_000
    moonshine_worker.main()
