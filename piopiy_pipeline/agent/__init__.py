"""The agent's process: `Agent` registers with a gateway, accepts its offers, and runs one session a call."""

from piopiy_pipeline.agent.agent import ROOM_CTX, TOKEN_CTX, URL_CTX, Agent, AuthenticationError

__all__ = ["ROOM_CTX", "TOKEN_CTX", "URL_CTX", "Agent", "AuthenticationError"]
