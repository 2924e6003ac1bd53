"""One kind of caller a file. `base` says what a call asks of its leg, and what a leg tells its call."""
