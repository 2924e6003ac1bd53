"""Worker processes for native libraries that must not share the agent's process.

`worker_processes.py` is the agent's side, `worker_loop.py` the worker's, and `worker_pipe.py` what is between them.
`worker_pool.py` has what all calls share, and `worker_queue.py` decides which request comes first.
"""
