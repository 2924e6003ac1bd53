// Listening: a click on the voices goes there, and a line shows where the recording is.
for (const call of document.querySelectorAll(".call")) {
  const audio = call.querySelector("audio");
  const canvas = call.querySelector(".canvas");
  const head = call.querySelector(".playhead");
  if (!audio || !canvas) continue;
  const seconds = Number(canvas.dataset.seconds);
  canvas.style.cursor = "pointer";
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    audio.currentTime = ((event.clientX - box.left) / box.width) * seconds;
    audio.play();
  });
  const follow = () => {
    head.hidden = false;
    head.style.left = `${(100 * audio.currentTime) / seconds}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", follow);
  audio.addEventListener("seeked", follow);
}
