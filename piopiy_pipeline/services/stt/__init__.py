"""Speech to text offline: moonshine behind pipecat's `STTService`, what prepares its audio and mends its words.

`moonshine.py` is the service, in the agent's process. `moonshine_worker.py` is the process that computes, with
`moonshine_model.py` in it. `moonshine_files.py` finds the model, and `moonshine_download.py` fetches it where there
is no wheel.
"""
