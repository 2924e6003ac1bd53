// Somebody's page: Pipecat's client as its documentation shows it, unchanged, and a note of what it tells.
// Its Wav media manager, because the default one loads a part of itself from a host on the internet.
import { PipecatClient, RTVIEvent } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";

const told = [];
const client = new PipecatClient({
  transport: new SmallWebRTCTransport({ mediaManager: new WavMediaManager() }),
  enableMic: true,
  enableCam: false,
});
for (const event of Object.values(RTVIEvent)) {
  client.on(event, (...data) => {
    const plain = data.map((one) => (one instanceof MediaStreamTrack ? { track: one.kind } : one));
    told.push({ event, at: performance.now() / 1000, data: JSON.parse(JSON.stringify(plain)) });
  });
}
client.on(RTVIEvent.TrackStarted, (track, participant) => {
  if (participant?.local || track.kind !== "audio") return;
  document.getElementById("bot").srcObject = new MediaStream([track]);
});

window.told = told;
window.client = client;
const outcome = (connecting) =>
  connecting
    .then((ready) => ({ ready }))
    .catch((error) => ({ name: error.name, message: error.message, status: error.status ?? null }));
const bearer = (token) => new Headers({ Authorization: `Bearer ${token}` });
window.connect = (endpoint, token) =>
  outcome(client.connect({ webrtcRequestParams: { endpoint, headers: bearer(token) } }));
window.startAndConnect = (endpoint, token) =>
  outcome(client.startBotAndConnect({ endpoint, headers: bearer(token), requestData: {} }));
