/**
 * The microphone: how to open it, which ones there are, how loud it is, and what to do if there is none.
 */

/** @type {MediaTrackConstraints} */
const CLEAN = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** Why there is no microphone, with what to do about it. */
export class MicrophoneProblem extends Error {
  /** @param {string} cause "insecure", "refused", "none", "busy" or "other" @param {string} message */
  constructor(cause, message) {
    super(message);
    this.cause = cause;
  }
}

/**
 * Open a microphone.
 * @param {string} [deviceId] the one that was chosen; if it is gone, the system's own choice
 * @returns {Promise<MediaStream>}
 * @throws {MicrophoneProblem}
 */
export async function openMicrophone(deviceId) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    throw new MicrophoneProblem(
      "insecure",
      "This page was not opened securely, and browsers give such a page no microphone. Open it at " +
        "https://…, or, on the gateway's own machine, at " +
        `http://localhost${location.port ? `:${location.port}` : ""}/.`,
    );
  }
  try {
    const audio = deviceId ? { ...CLEAN, deviceId: { exact: deviceId } } : CLEAN;
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    if (error.name === "OverconstrainedError" && deviceId) return openMicrophone();
    throw problemOf(error);
  }
}

/** @param {DOMException} error @returns {MicrophoneProblem} */
function problemOf(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return /system/i.test(error.message)
        ? new MicrophoneProblem(
            "refused",
            "The system does not let this browser use the microphone. Allow it in the system's settings " +
              "(Privacy, Microphone), then press Talk again.",
          )
        : new MicrophoneProblem(
            "refused",
            "The browser was told not to give this page the microphone. Press the symbol at the left of " +
              "the address, allow the microphone there, then press Talk again.",
          );
    case "NotFoundError":
    case "OverconstrainedError":
      return new MicrophoneProblem("none", "No microphone was found. Connect one, then press Talk again.");
    case "NotReadableError":
    case "AbortError":
      return new MicrophoneProblem(
        "busy",
        "The microphone is there but cannot be opened: most often another program is using it. " +
          "Close that one or choose another microphone, then press Talk again.",
      );
    default:
      return new MicrophoneProblem("other", `The microphone could not be opened: ${error.message || error.name}.`);
  }
}

/**
 * The microphones that this page may choose from. They have names only after the user allowed one.
 * @returns {Promise<{id: string, name: string}[]>}
 */
export async function listMicrophones() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter((device) => device.kind === "audioinput" && device.deviceId && device.label)
    .map((device) => ({ id: device.deviceId, name: device.label }));
}

/** How loud a stream is, on an audio context that all meters of the page share. */
export class Loudness {
  /** @type {AudioContext|null} */ static #context = null;
  static #inUse = 0;

  /** @param {MediaStream} stream */
  constructor(stream) {
    Loudness.#context ??= new AudioContext();
    void Loudness.#context.resume();
    Loudness.#inUse += 1;
    this.source = Loudness.#context.createMediaStreamSource(stream);
    this.analyser = Loudness.#context.createAnalyser();
    this.analyser.fftSize = 1024;
    this.samples = new Float32Array(this.analyser.fftSize);
    this.source.connect(this.analyser);
  }

  /** @returns {number} 0 (below -60 dBFS) to 1 (full scale), linear in decibels */
  read() {
    this.analyser.getFloatTimeDomainData(this.samples);
    let sum = 0;
    for (const sample of this.samples) sum += sample * sample;
    const decibels = 10 * Math.log10(sum / this.samples.length + 1e-12);
    return Math.min(1, Math.max(0, (decibels + 60) / 60));
  }

  /** End the meter. Call this once. Between calls nothing is computed. */
  close() {
    this.source.disconnect();
    Loudness.#inUse -= 1;
    if (!Loudness.#inUse) void Loudness.#context.suspend();
  }
}
