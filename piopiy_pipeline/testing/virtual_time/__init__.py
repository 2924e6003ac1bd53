"""An event loop whose clock jumps, the `time` module on that clock, and limits on both clocks."""
