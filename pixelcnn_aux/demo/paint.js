// Painting a region over a picture. A canvas of the picture's pixels lies on it: by mouse, finger or pen; or,
// once it has the focus, by arrow keys, which move a brush, and space, which paints. Delete wipes all.
(() => {
  const pen = (canvas) => canvas.getContext("2d", { willReadFrequently: true });
  const size = (canvas) => Math.max(1, Math.round(Math.max(canvas.width, canvas.height) / 12));

  // Whole pixels: a smooth edge would be neither known nor drawn.
  function dot(canvas, x, y) {
    const side = size(canvas);
    pen(canvas).fillStyle = "#e6007e";
    pen(canvas).fillRect(Math.round(x - side / 2), Math.round(y - side / 2), side, side);
  }

  function line(canvas, from, to) {
    const steps = Math.ceil(Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1));
    for (let k = 0; k <= steps; k++) {
      dot(canvas, from[0] + (to[0] - from[0]) * k / steps, from[1] + (to[1] - from[1]) * k / steps);
    }
  }

  function place(canvas, event) {
    const box = canvas.getBoundingClientRect();
    return [
      (event.clientX - box.left) * canvas.width / box.width,
      (event.clientY - box.top) * canvas.height / box.height,
    ];
  }

  function wipe(canvas) {
    pen(canvas).clearRect(0, 0, canvas.width, canvas.height);
  }

  // The brush of the keyboard, in pixels, and where it is shown.
  function brush(canvas) {
    canvas.brush ??= [canvas.width / 2, canvas.height / 2];
    return canvas.brush;
  }

  function showBrush(canvas) {
    const [x, y] = brush(canvas), side = size(canvas), mark = canvas.parentElement.querySelector(".brush");
    mark.style.left = `${100 * (x - side / 2) / canvas.width}%`;
    mark.style.top = `${100 * (y - side / 2) / canvas.height}%`;
    mark.style.width = `${100 * side / canvas.width}%`;
    mark.style.height = `${100 * side / canvas.height}%`;
  }

  const canvasOf = (event) => event.target.closest?.("canvas.paint");
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let last = null; // where the pointer was that paints

  document.addEventListener("pointerdown", (event) => {
    const canvas = canvasOf(event);
    if (!canvas || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    last = place(canvas, event);
    dot(canvas, ...last);
  });
  document.addEventListener("pointermove", (event) => {
    const canvas = canvasOf(event);
    if (!canvas || !last) return;
    const here = place(canvas, event);
    line(canvas, last, here);
    last = here;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, () => { last = null; });
  }
  document.addEventListener("focusin", (event) => {
    const canvas = canvasOf(event);
    if (canvas) showBrush(canvas);
  });
  document.addEventListener("keydown", (event) => {
    const canvas = canvasOf(event);
    if (!canvas) return;
    if (event.key in MOVES) {
      const step = Math.max(1, Math.round(size(canvas) / 2)), limits = [canvas.width, canvas.height];
      canvas.brush = brush(canvas).map(
        (x, axis) => Math.min(limits[axis], Math.max(0, x + step * MOVES[event.key][axis])));
      showBrush(canvas);
    } else if (event.key === " ") {
      dot(canvas, ...brush(canvas));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      wipe(canvas);
    } else {
      return;
    }
    event.preventDefault(); // a page that scrolls
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("button.wipe")) wipe(document.querySelector("canvas.paint"));
  });

  // What is painted, row by row: 1 where something is, 0 elsewhere.
  window.paintedRegion = () => {
    const canvas = document.querySelector("canvas.paint");
    if (!canvas) return "";
    const { data } = pen(canvas).getImageData(0, 0, canvas.width, canvas.height);
    let text = "";
    for (let k = 3; k < data.length; k += 4) text += data[k] ? "1" : "0";
    return text;
  };
})();
