"""`from piopiy.agent import Agent`."""

from piopiy import _modules as _modules
from piopiy_pipeline.agent.agent import ROOM_CTX, TOKEN_CTX, URL_CTX, Agent, AuthenticationError

__all__ = ["ROOM_CTX", "TOKEN_CTX", "URL_CTX", "Agent", "AuthenticationError"]
