"""A worker process whose answer names something that its parent does not have."""

from __future__ import annotations

from piopiy_pipeline.services.workers.worker_loop import serve


class Unreadable:
    """Is read as an attribute that there is not."""

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (str, "no_such_method")


if __name__ == "__main__":
    serve({"answer": Unreadable, "greet": lambda: "hello"})
