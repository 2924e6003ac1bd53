/**
 * Makes the outline of a WAV file while it arrives: the loudest sample of each side in each of many short
 * stretches. The file itself may be larger than what memory should hold.
 */

const HEADER_LIMIT = 64 * 1024;

export class WavOutline {
  /** @type {Uint8Array} */ #rest = new Uint8Array(0);
  #frame = 0;
  #inData = false;
  #channels = 0;
  #totalFrames = 0;

  /**
   * @param {number} totalBytes the size of the file: a header that was never finished may say 0
   * @param {number} buckets how many stretches
   */
  constructor(totalBytes, buckets) {
    this.totalBytes = totalBytes;
    this.buckets = buckets;
    /** @type {Float32Array[]} of each channel, 0 to 1 */
    this.peaks = [];
    this.seconds = 0;
    /** Whether the file is not 16-bit PCM, so that it has no outline. */
    this.unreadable = false;
  }

  /** @param {Uint8Array} bytes the next ones */
  push(bytes) {
    if (this.unreadable) return;
    const all = new Uint8Array(this.#rest.length + bytes.length);
    all.set(this.#rest);
    all.set(bytes, this.#rest.length);
    this.#rest = this.#inData ? this.#samples(all) : this.#header(all);
  }

  /** @param {Uint8Array} all @returns {Uint8Array} what waits for more bytes */
  #header(all) {
    const view = new DataView(all.buffer);
    const name = (at) => String.fromCharCode(...all.subarray(at, at + 4));
    if (all.length >= 12 && (name(0) !== "RIFF" || name(8) !== "WAVE")) return this.#giveUp();
    let at = 12;
    let rate = 0;
    while (at + 8 <= all.length) {
      const size = view.getUint32(at + 4, true);
      if (name(at) === "fmt " && at + 24 <= all.length) {
        if (view.getUint16(at + 8, true) !== 1 || view.getUint16(at + 22, true) !== 16) return this.#giveUp();
        this.#channels = view.getUint16(at + 10, true);
        rate = view.getUint32(at + 12, true);
      } else if (name(at) === "data" && this.#channels) {
        this.#totalFrames = Math.max(1, Math.floor((this.totalBytes - at - 8) / (2 * this.#channels)));
        this.seconds = this.#totalFrames / rate;
        this.peaks = Array.from({ length: this.#channels }, () => new Float32Array(this.buckets));
        this.#inData = true;
        return this.#samples(all.slice(at + 8));
      }
      at += 8 + size + (size % 2);
    }
    return all.length > HEADER_LIMIT ? this.#giveUp() : all;
  }

  /** @param {Uint8Array} all @returns {Uint8Array} */
  #samples(all) {
    const width = this.#channels;
    const frames = Math.floor(all.length / (2 * width));
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    for (let frame = 0; frame < frames; frame += 1, this.#frame += 1) {
      const bucket = Math.min(this.buckets - 1, Math.floor((this.#frame * this.buckets) / this.#totalFrames));
      for (let channel = 0; channel < width; channel += 1) {
        const loud = Math.abs(view.getInt16(2 * (frame * width + channel), true)) / 32768;
        if (loud > this.peaks[channel][bucket]) this.peaks[channel][bucket] = loud;
      }
    }
    return all.slice(frames * 2 * width);
  }

  #giveUp() {
    this.unreadable = true;
    return new Uint8Array(0);
  }
}

/**
 * When the stretch of speech that ended at `end` began. Pauses shorter than `pause_s` belong to it.
 * @param {Float32Array} peaks of the speaker's side
 * @param {number} seconds the whole recording
 * @param {number} end @param {number} earliest both in seconds
 * @returns {number}
 */
export function beganBefore(peaks, seconds, end, earliest, pause_s = 0.9, loud = 0.03) {
  const perSecond = peaks.length / seconds;
  let began = -1;
  for (let at = Math.min(peaks.length - 1, Math.floor(end * perSecond)); at >= Math.max(0, earliest * perSecond); at -= 1) {
    if (peaks[at] >= loud) began = at;
    else if (began >= 0 && (began - at) / perSecond > pause_s) break;
  }
  return began < 0 ? earliest : began / perSecond;
}
