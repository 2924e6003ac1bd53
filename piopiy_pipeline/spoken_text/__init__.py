"""Text fit to be spoken, for any TTS: what a model writes for the eye, written out for the ear.

`SpokenText` is all that others need. Heavy libraries (babel, num2words, phonenumbers, emoji) are imported when a
text is read, or ahead of that by `SpokenText.load`.
"""

from __future__ import annotations

from piopiy_pipeline.spoken_text.spoken_text import SpokenText

__all__ = ["SpokenText"]
