"""Leads to pipecat's package of this name, also where another package's `piopiy/__init__.py` is ours'."""

from piopiy._modules import stand_in

stand_in(__name__)
