# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.mcp_service import *
from piopiy_pipeline.session.mcp_client import MCPClient as _MCPClient
MCPClient = _MCPClient
