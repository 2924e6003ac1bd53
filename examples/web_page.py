"""A web page from which visitors call the bot, and the server behind it.

The page never sees an API key. It asks its own server for a client token, which is good for calls to one
agent, for ten minutes, under the name of this visitor; with the token it calls the gateway over WebRTC.
What the server puts into `metadata` is what the bot's callback receives as `metadata`.

    python -m examples.web_page            # then open http://127.0.0.1:8000 and press Call

This starts a gateway and the front desk too. With GATEWAY_URL and PIOPIY_API_KEY set it uses a gateway that is
there already, which has to know the page's origin: allowed_origins = ["http://127.0.0.1:8000"].
"""

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from examples import front_desk
from piopiy.agent import Agent
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.services.providers import prepare

AGENT_ID = "front_desk"
PORT = int(os.getenv("PORT", "8000"))
ORIGIN = f"http://127.0.0.1:{PORT}"

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Olive and Thyme</title>
<style>body { font: 18px/1.5 sans-serif; max-width: 36em; margin: 4em auto; padding: 0 1em }
button { font: inherit; padding: .5em 2em }</style>
<h1>Olive and Thyme</h1>
<p>Book a table by voice.</p>
<button id="call">Call</button> <span id="state" role="status"></span>
<audio id="bot" autoplay></audio>
<script type="module">
const state = document.getElementById("state"), button = document.getElementById("call");
let peer = null, microphone = null;

async function answered(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(body.error ?? body.detail);      // a sentence that says what to do
  return body;
}

async function call() {
  const { token, gateway } = await answered(await fetch("/token", { method: "POST" }));
  microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true } });
  const mine = peer = new RTCPeerConnection();
  const ended = (why) => { if (peer === mine) hangUp(why); };
  mine.addTrack(microphone.getAudioTracks()[0], microphone);
  mine.createDataChannel("chat").onclose = () => ended("The call has ended.");      // the bot has hung up
  mine.ontrack = (event) => { document.getElementById("bot").srcObject = new MediaStream([event.track]); };
  mine.onconnectionstatechange = () => {
    state.textContent = mine.connectionState;
    if (mine.connectionState === "failed") ended("The connection was lost.");
  };
  await mine.setLocalDescription(await mine.createOffer());
  await new Promise((done) => {                     // all candidates go with the offer: one request
    if (mine.iceGatheringState === "complete") done();
    mine.onicegatheringstatechange = () => { if (mine.iceGatheringState === "complete") done(); };
    setTimeout(done, 2000);
  });
  const body = await answered(await fetch(`${gateway}/api/offer`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ sdp: mine.localDescription.sdp, type: "offer" }),
  }));
  await mine.setRemoteDescription({ sdp: body.sdp, type: body.type });
  button.textContent = "Hang up";
}

function hangUp(why) {
  microphone?.getTracks().forEach((track) => track.stop());      // else the browser shows that the page listens
  peer?.close();
  peer = microphone = null;
  button.textContent = "Call";
  state.textContent = why;
}

button.onclick = async () => {
  if (peer) return hangUp("");
  button.disabled = true;      // a second click would begin a second call
  try { await call(); } catch (error) { hangUp(error.message); }
  button.disabled = false;
};
</script>
</html>
"""


def build_app(gateway_url: str, api_key: str) -> FastAPI:
    """The shop's own server. `gateway_url` is where browsers find the gateway, as ``http://host:port``."""
    app = FastAPI()

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.post("/token")
    async def token() -> dict[str, str]:
        visitor = f"visitor-{secrets.token_hex(4)}"  # whoever is logged in, in a real shop
        order = {"agent_id": AGENT_ID, "identity": visitor, "metadata": {"page": "home"}, "ttl_s": 600}
        key = {"Authorization": f"Bearer {api_key}"}
        try:
            async with httpx.AsyncClient(base_url=gateway_url, timeout=10, trust_env=False) as gateway:
                answer = await gateway.post("/api/tokens", json=order, headers=key)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            print(f"no token for {visitor}: {error}", flush=True)
            raise HTTPException(502, "Nobody can be called just now. Please try again later.") from None
        return {"token": answer.json()["token"], "gateway": gateway_url}

    return app


@contextlib.asynccontextmanager
async def everything() -> AsyncIterator[tuple[str, str]]:
    """A gateway and the front desk in this process: the gateway's address, and an API key for it."""
    api_key, agent_token = secrets.token_urlsafe(), secrets.token_urlsafe()
    config = GatewayConfig(
        port=0,
        agents={AGENT_ID: agent_token},
        api_keys=[api_key],
        allowed_origins=[ORIGIN],
        records=False,
    )
    await prepare(playbook=front_desk.PLAYBOOK)  # so that the first caller does not wait for the models
    async with Gateway(config) as gateway:
        agent = Agent(AGENT_ID, agent_token, front_desk.on_new_session, signaling_url=gateway.url)
        serving = asyncio.create_task(agent.connect())
        try:
            await gateway.wait_for_agent(AGENT_ID, 30)
            await gateway.ready()
            yield gateway.console_url.rstrip("/"), api_key
        finally:
            await agent.shutdown()
            await asyncio.gather(serving, return_exceptions=True)


async def main() -> None:
    async with contextlib.AsyncExitStack() as stack:
        if "GATEWAY_URL" in os.environ:
            url, api_key = os.environ["GATEWAY_URL"], os.getenv("PIOPIY_API_KEY", "")
            if not api_key:
                sys.exit(
                    "set PIOPIY_API_KEY, too: the gateway at GATEWAY_URL gives tokens to those who have one"
                )
        else:
            url, api_key = await stack.enter_async_context(everything())
        print(f"open {ORIGIN}", flush=True)
        config = uvicorn.Config(
            build_app(url.rstrip("/"), api_key), host="127.0.0.1", port=PORT, log_level="warning"
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
