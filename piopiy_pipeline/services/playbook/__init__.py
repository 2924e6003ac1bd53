"""A playbook: conversations from a YAML file of intents. It is not a language model, and says so.

`model.py` defines what the file contains, and `loading.py` reads it and names the line of a mistake. `words.py`
writes what was said as plain words, `values.py` and `days.py` find numbers, times and days in them, and
`consent.py` yes and no. `sentence_kinds.py` finds what is refused and what is a question. `likeness.py` compares
sentences with examples, by `sentence_vectors.py` and by letters. `matching.py` finds what was meant with all of
these, `doubt.py` reads back what may have been misheard, and `dialogue.py` decides what to do from where the
conversation stands (`dialogue_state.py`). `service.py` is the pipecat service. All but the last know nothing of
pipecat.
"""
