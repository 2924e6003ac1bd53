"""A playbook: conversations from a YAML file of intents. It is not a language model, and says so.

`model.py` defines what the file contains, and `loading.py` reads it and names the line of a mistake.
`values.py`
finds numbers, days and times in what was said, `matching.py` finds what was meant, and `dialogue.py` decides
what to
do. `phrases.py` lists what a recogniser should expect, and `service.py` is the pipecat service. All but the
last
know nothing of pipecat.
"""
