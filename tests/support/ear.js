// What a person before this page says and hears, recorded on one clock: loaded into a page before its own
// scripts. It taps every microphone that the page opens and every sound that a peer connection brings; it
// plays nothing itself, so a page that forgets to play the bot is silent here too.
(() => {
  const RATE = 16000;
  const BLOCK = 4096;
  const ear = { rate: RATE, peers: [], streams: [], blocks: [], take };
  Object.defineProperty(window, "__ear", { value: ear });
  let merger = null;

  function listen(stream, channel) {
    merger ??= open();
    merger.context.createMediaStreamSource(stream).connect(merger, 0, channel);
  }

  function open() {
    const context = new AudioContext({ sampleRate: RATE });
    const into = context.createChannelMerger(2);
    // A worklet would need a script of its own address, which the page's security policy refuses.
    const tap = context.createScriptProcessor(BLOCK, 2, 1);
    tap.onaudioprocess = ({ inputBuffer, playbackTime }) => {
      const sides = [0, 1].map((side) => Int16Array.from(inputBuffer.getChannelData(side), (x) => 32767 * x));
      ear.blocks.push({ at: place(Math.round(playbackTime * RATE)), sides });
    };
    into.connect(tap);
    tap.connect(context.destination);
    return into;
  }

  // Where a block begins. `playbackTime` is the time at which the page comes to the block, not that of its sound: a busy
  // page is late with some of them. Blocks follow each other, unless the page was later than a whole one: those are lost.
  function place(at) {
    if (!ear.blocks.length) return at;
    const next = ear.blocks[ear.blocks.length - 1].at + BLOCK;
    return next + Math.max(0, Math.round((at - next) / BLOCK)) * BLOCK;
  }

  // Microphone and bot so far: 16-bit PCM at `rate`, each in base64, beginning at the same sample.
  function take() {
    if (!ear.blocks.length) return ["", ""];
    const first = ear.blocks[0].at;
    const last = ear.blocks[ear.blocks.length - 1].at + BLOCK;
    return [0, 1].map((side) => {
      const pcm = new Int16Array(last - first);
      for (const block of ear.blocks) pcm.set(block.sides[side], block.at - first);
      const bytes = new Uint8Array(pcm.buffer);
      let text = "";
      for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
      return btoa(text);
    });
  }

  const devices = navigator.mediaDevices;
  if (devices) {
    const getUserMedia = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
      const stream = await getUserMedia(constraints);
      ear.streams.push(stream);
      if (stream.getAudioTracks().length) listen(stream, 0);
      return stream;
    };
  }

  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...options) {
      super(...options);
      ear.peers.push(this);
      this.addEventListener("track", ({ track }) => {
        if (track.kind === "audio") listen(new MediaStream([track]), 1);
      });
    }
  };
})();
