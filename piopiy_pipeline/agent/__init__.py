"""The agent's process: `Agent` registers with a gateway, accepts its offers, and runs one session a call."""

from piopiy_pipeline.agent.agent import Agent, AuthenticationError

__all__ = ["Agent", "AuthenticationError"]
